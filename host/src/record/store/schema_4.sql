-- The index, version 4: what strangers sent, and what they were answered.

-- Each submission by the hash of its file, which names its blob too. author is a public key, parent the hash of the
-- source that it was made from. arrived and taken are numbers of one counter, and say whose turn it is. One without a
-- receipt is not answered yet.
CREATE TABLE submissions (
  hash             TEXT PRIMARY KEY,
  author           TEXT NOT NULL,
  task             TEXT NOT NULL,
  name             TEXT NOT NULL,
  licence          TEXT,
  parent           TEXT,
  source_blob      TEXT NOT NULL,
  bytes            INTEGER NOT NULL,
  arrived          INTEGER NOT NULL,
  arrived_unix_ms  INTEGER NOT NULL,
  taken            INTEGER,
  receipt_blob     TEXT,
  answered_unix_ms INTEGER
) STRICT;
CREATE INDEX submissions_by_author ON submissions (author);

-- The submission that a proposal is.
ALTER TABLE proposals ADD COLUMN submission TEXT REFERENCES submissions;
CREATE INDEX proposals_by_submission ON proposals (submission);

-- Whom a trial is owed to, if a stranger sent it: the submission, who signed it, its licence, and the hash of the
-- source that it was made from.
ALTER TABLE trials ADD COLUMN submission TEXT REFERENCES submissions;
ALTER TABLE trials ADD COLUMN author TEXT;
ALTER TABLE trials ADD COLUMN licence TEXT;
ALTER TABLE trials ADD COLUMN made_from TEXT;
CREATE INDEX trials_by_submission ON trials (submission);
