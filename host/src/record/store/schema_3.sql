-- The index, version 3: how it is known that a score is causal.

-- proved: from the operations of forward, for all texts; probed: on the scored text, with other text behind it and in
-- other rows, by this random seed (64 bits, as a signed number). NULL: evaluated by an older version, which probed with
-- a seed that followed from the key, or not evaluated.
ALTER TABLE experiments ADD COLUMN causality TEXT;
ALTER TABLE experiments ADD COLUMN probe_seed INTEGER;
