-- The index, version 5: what other labs published in a commons.

-- Each finding that was taken in, by the hash of its signed text, which names its blob too. lab signed it, author wrote
-- the mutation; both are public keys. context is the terms on which it was measured there, parent the hash of the
-- source that was changed. proof says what was done about its claim here: proved (it was run again), trusted (another
-- one of that lab was), or other-terms (nothing can be compared).
CREATE TABLE findings (
  hash            TEXT PRIMARY KEY,
  lab             TEXT NOT NULL,
  author          TEXT NOT NULL,
  licence         TEXT,
  task            TEXT NOT NULL,
  context         TEXT NOT NULL,
  parent          TEXT NOT NULL,
  source_blob     TEXT NOT NULL,
  source_key      TEXT NOT NULL,
  change          TEXT NOT NULL,
  proof           TEXT NOT NULL,
  arrived         INTEGER NOT NULL,
  arrived_unix_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX findings_by_source ON findings (source_key);

-- Labs whose claims were refuted here. Nothing more is taken from them.
CREATE TABLE distrusted (
  lab     TEXT PRIMARY KEY,
  finding TEXT NOT NULL,
  reason  TEXT NOT NULL,
  unix_ms INTEGER NOT NULL
) STRICT;

-- What labs say that they tried without gain, by terms. Nothing of it was checked.
CREATE TABLE hints (
  lab        TEXT NOT NULL,
  context    TEXT NOT NULL,
  source_key TEXT NOT NULL,
  ending     TEXT NOT NULL,
  delta      REAL,
  change     TEXT NOT NULL,
  PRIMARY KEY (lab, context, source_key)
) STRICT;
CREATE INDEX hints_by_context ON hints (context);

-- The finding that a proposal or a trial is. The author, licence and made_from of such a trial are the finding's.
ALTER TABLE proposals ADD COLUMN finding TEXT REFERENCES findings;
ALTER TABLE trials ADD COLUMN finding TEXT REFERENCES findings;
CREATE INDEX proposals_by_finding ON proposals (finding);
CREATE INDEX trials_by_finding ON trials (finding);
