-- The index, version 3: trials are judged in pairs of runs on the same random seeds; what guests carry; the secrets of
-- splits. Trials of earlier versions have none of these figures.

-- How many random seeds a verdict rests on, the standard deviation of the difference between them, the probability of a
-- gain that was assumed before, and what was changed of the champion: constant, constants or structure.
ALTER TABLE trials ADD COLUMN pairs INTEGER;
ALTER TABLE trials ADD COLUMN spread REAL;
ALTER TABLE trials ADD COLUMN prior REAL;
ALTER TABLE trials ADD COLUMN change TEXT;

-- Runs of a trial (ours) and of what it was compared with (theirs), with the same role, random seed and budget. gain is
-- in bits per byte, positive is better; NULL if one of the two failed.
CREATE VIEW meetings AS
SELECT our.trial, our.role, our.rowid AS run, theirs.val_bpb - ours.val_bpb AS gain
FROM runs AS our
JOIN trials ON trials.id = our.trial
JOIN experiments AS ours ON ours.key = our.experiment_key AND ours.component_key = trials.component_key
JOIN runs AS their ON their.trial = our.trial AND their.role = our.role
JOIN experiments AS theirs ON theirs.key = their.experiment_key AND theirs.component_key <> ours.component_key
  AND theirs.random_seed = ours.random_seed
  AND theirs.manifest ->> '$.budget_ps' = ours.manifest ->> '$.budget_ps';

-- What a guest brought and how much it trained: bytes of data that the source carries, and its training tokens as a
-- share of the seed guest's.
ALTER TABLE trials ADD COLUMN data_bytes INTEGER;
ALTER TABLE trials ADD COLUMN trained_share REAL;

-- The secrets that choose what is held out. Each is kept in a file beside the index; its digits are here only when it
-- was revealed. One that has ended chooses nothing new.
CREATE TABLE split_secrets (
  commitment    TEXT PRIMARY KEY,
  drawn_unix_ms INTEGER NOT NULL,
  ended_unix_ms INTEGER,
  revealed      TEXT
) STRICT;

-- How it is known that a score is causal. proved: from the operations of forward, for all texts; probed: on the scored
-- text, with other text behind it and in other rows, by this random seed (64 bits, as a signed number). NULL: not
-- evaluated, or by an older version, which probed with a seed that followed from the key.
ALTER TABLE experiments ADD COLUMN causality TEXT;
ALTER TABLE experiments ADD COLUMN probe_seed INTEGER;
