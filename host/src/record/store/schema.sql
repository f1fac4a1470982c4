-- The index, version 1. Yours to query: sqlite3 'file:index.sqlite?mode=ro'.
-- Keys and blob names are 64 hexadecimal digits; blob AABB… is the file blobs/AA/BB…. Times are Unix milliseconds.

-- What compiling a source yields: (source, SDK, compiler, flags) → component.
CREATE TABLE components (
  compile_key    TEXT PRIMARY KEY,
  component_key  TEXT NOT NULL,
  component_blob TEXT NOT NULL,
  source_key     TEXT NOT NULL,
  source_blob    TEXT NOT NULL,
  compiler       TEXT NOT NULL
) STRICT;
CREATE INDEX components_by_key ON components (component_key);

-- What dry runs found: facts is JSON, {"Ok": …} or {"Err": [kind, message]}.
CREATE TABLE behaviours (
  dry_run_key   TEXT PRIMARY KEY,
  component_key TEXT NOT NULL,
  task          TEXT NOT NULL,
  behaviour_key TEXT,
  facts         TEXT NOT NULL
) STRICT;
CREATE INDEX behaviours_by_key ON behaviours (behaviour_key);

-- Results. The manifest is JSON and holds all that the outcome depends on.
CREATE TABLE experiments (
  key              TEXT PRIMARY KEY,
  manifest         TEXT NOT NULL,
  component_key    ANY AS (manifest ->> '$.component'),
  task             ANY AS (manifest ->> '$.task'),
  random_seed      ANY AS (manifest ->> '$.random_seed'),
  outcome_hash     TEXT NOT NULL,
  outcome_blob     TEXT NOT NULL,
  status           TEXT NOT NULL,
  message          TEXT NOT NULL,
  val_bpb          REAL,
  state_blob       TEXT,
  finished_unix_ms INTEGER NOT NULL,
  wall_ms          INTEGER NOT NULL
) STRICT;
CREATE INDEX experiments_by_component ON experiments (component_key);

-- Where a replay of one interval can start.
CREATE TABLE checkpoints (
  experiment_key TEXT NOT NULL REFERENCES experiments,
  interval       INTEGER NOT NULL,
  blob           TEXT NOT NULL,
  PRIMARY KEY (experiment_key, interval)
) STRICT;

-- Nights on the same terms (task, budget, profile, limits, contract, numerics class) have the same context: their
-- trials are numbered through, and the last one kept among them is the champion.
CREATE TABLE nights (
  id              INTEGER PRIMARY KEY,
  policy_name     TEXT NOT NULL,
  policy_blob     TEXT NOT NULL,
  task            TEXT NOT NULL,
  context         TEXT NOT NULL,
  started_unix_ms INTEGER NOT NULL,
  ended_unix_ms   INTEGER
) STRICT;

-- Each proposal of a night and what became of it.
CREATE TABLE trials (
  id             INTEGER PRIMARY KEY,
  night          INTEGER NOT NULL REFERENCES nights,
  number         INTEGER NOT NULL,
  unix_ms        INTEGER NOT NULL,
  proposer       TEXT NOT NULL,
  parent         INTEGER NOT NULL,
  source_blob    TEXT NOT NULL,
  source_key     TEXT,
  component_key  TEXT,
  behaviour_key  TEXT,
  experiment_key TEXT REFERENCES experiments,
  verdict        TEXT NOT NULL,
  bpb            REAL,
  delta          REAL,
  p_better       REAL,
  description    TEXT NOT NULL,
  operator       TEXT NOT NULL,
  reason         TEXT NOT NULL,
  peak_bytes     INTEGER,
  wall_ms        INTEGER NOT NULL,
  UNIQUE (night, number)
) STRICT;
CREATE INDEX trials_by_source ON trials (source_key);

-- The experiments that a trial's verdict rests on.
CREATE TABLE runs (
  trial          INTEGER NOT NULL REFERENCES trials,
  experiment_key TEXT NOT NULL REFERENCES experiments,
  role           TEXT NOT NULL,
  PRIMARY KEY (trial, experiment_key, role)
) STRICT;

-- Every look at a split other than the one searched on: each row is one look.
CREATE TABLE scores (
  id             INTEGER PRIMARY KEY,
  experiment_key TEXT NOT NULL REFERENCES experiments,
  split          TEXT NOT NULL,
  bpb            REAL NOT NULL,
  score_blob     TEXT NOT NULL,
  purpose        TEXT NOT NULL,
  unix_ms        INTEGER NOT NULL
) STRICT;

-- What the hashes in manifests stand for: kind is task or profile, definition is JSON.
CREATE TABLE definitions (
  hash       TEXT PRIMARY KEY,
  kind       TEXT NOT NULL,
  definition TEXT NOT NULL
) STRICT;
