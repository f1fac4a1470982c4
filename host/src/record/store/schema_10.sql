-- The index, version 10: a checksum of each row, so that a change that `host` did not make is found.

-- BLAKE3 of a row's table, columns and values. Triggers on all other tables keep it; `host` makes them. They call a
-- function of `host`, so other programs can read the index and cannot write it.
CREATE TABLE checksums (
  tbl      TEXT NOT NULL,
  row      INTEGER NOT NULL,
  checksum TEXT NOT NULL,
  PRIMARY KEY (tbl, row)
) STRICT, WITHOUT ROWID;
