-- The index, version 9: which results rest on the word of somebody else alone.

-- A contributor of a swarm has said it, and no machine that is trusted has made the run again. See word.rs.
CREATE TABLE words (
  experiment_key TEXT PRIMARY KEY REFERENCES experiments ON DELETE CASCADE,
  contributor    TEXT NOT NULL
) STRICT;
CREATE INDEX words_by_contributor ON words (contributor);
