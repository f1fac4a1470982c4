-- The index, version 3: what a guest brought and how much it trained (trials of earlier versions
-- have neither), and the secrets of splits.

-- Bytes of data that the source carries, and its training tokens as a share of the seed guest's.
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
