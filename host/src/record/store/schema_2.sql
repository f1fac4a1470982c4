-- The index, version 2: what proposers wrote, and what it cost.

-- Each answer of a proposer. One turn is a first answer and its repairs: `first` is the id of the turn's first answer,
-- its own id for that one. Outcome is ready, faulty, unreadable, later or stopped; `fault` says why, for all but ready.
CREATE TABLE proposals (
  id          INTEGER PRIMARY KEY,
  night       INTEGER NOT NULL REFERENCES nights,
  first       INTEGER REFERENCES proposals,
  unix_ms     INTEGER NOT NULL,
  proposer    TEXT NOT NULL,
  parent      INTEGER NOT NULL,
  outcome     TEXT NOT NULL,
  stage       TEXT,
  fault       TEXT NOT NULL,
  answer_blob TEXT,
  hypothesis  TEXT NOT NULL,
  description TEXT NOT NULL,
  operator    TEXT NOT NULL,
  wall_ms     INTEGER NOT NULL
) STRICT;
CREATE INDEX proposals_by_night ON proposals (night);
CREATE INDEX proposals_by_first ON proposals (first);

-- What was sent to proposers and what came back. A request is reserved at the most that it may cost before it is sent,
-- and has status `reserved` until its answer is here; one whose host died in between stays so, and counts in full.
CREATE TABLE requests (
  id            INTEGER PRIMARY KEY,
  night         INTEGER NOT NULL REFERENCES nights,
  proposal      INTEGER REFERENCES proposals,
  proposer      TEXT NOT NULL,
  unix_ms       INTEGER NOT NULL,
  status        TEXT NOT NULL,
  requests      INTEGER NOT NULL,
  input_tokens  INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  micro_dollars INTEGER NOT NULL,
  request_blob  TEXT,
  response_blob TEXT,
  wall_ms       INTEGER NOT NULL
) STRICT;
CREATE INDEX requests_by_night ON requests (night);
CREATE INDEX requests_by_proposal ON requests (proposal);

-- What a night had taught after so many trials, in words; author is a proposer, or `host` for the plain one.
CREATE TABLE digests (
  id      INTEGER PRIMARY KEY,
  context TEXT NOT NULL,
  number  INTEGER NOT NULL,
  unix_ms INTEGER NOT NULL,
  author  TEXT NOT NULL,
  text    TEXT NOT NULL
) STRICT;
CREATE INDEX digests_by_context ON digests (context);

-- The champion that a trial was measured against (its parent may be an older one), what its author claimed, and the
-- proposal that it was.
ALTER TABLE trials ADD COLUMN champion INTEGER;
ALTER TABLE trials ADD COLUMN hypothesis TEXT NOT NULL DEFAULT '';
ALTER TABLE trials ADD COLUMN proposal INTEGER REFERENCES proposals;
CREATE INDEX trials_by_proposal ON trials (proposal);
