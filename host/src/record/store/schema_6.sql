-- The index, version 6: findings of a commons that could not be run again, and components of submissions, stored once.

-- One row for each attempt that ended with a fault of the machine or a source that does not compile. The finding was
-- not taken in, so that it has no row in findings. Rows are deleted after some days, and then it is tried again.
CREATE TABLE failed_attempts (
  finding TEXT NOT NULL,
  reason  TEXT NOT NULL,
  unix_ms INTEGER NOT NULL
) STRICT;

-- The file of a submission with a component is stored in two blobs: the component, and the bytes around it.
-- component_at is where the component begins in the file. Of other submissions, and of those of earlier versions, hash
-- names the blob.
ALTER TABLE submissions ADD COLUMN around_blob TEXT;
ALTER TABLE submissions ADD COLUMN component_blob TEXT;
ALTER TABLE submissions ADD COLUMN component_at INTEGER;
