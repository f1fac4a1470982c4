-- The index, version 6: findings of a commons that could not be run again.

-- One row for each attempt that ended with a fault of the machine or a source that does not compile. The finding was
-- not taken in, so that it has no row in findings. Rows are deleted after some days, and then it is tried again.
CREATE TABLE failed_attempts (
  finding TEXT NOT NULL,
  reason  TEXT NOT NULL,
  unix_ms INTEGER NOT NULL
) STRICT;
