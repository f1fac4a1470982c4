-- The index, version 7: which verdicts are of versions that took a condition of the machine for a fault of a mutation.

-- Rows of a table up to last_row are of such a version. Their verdicts are doubted, see false_verdict.rs.
CREATE TABLE doubted (
  of_table TEXT PRIMARY KEY,
  last_row INTEGER NOT NULL
) STRICT;
INSERT INTO doubted SELECT 'trials', COALESCE(MAX(rowid), 0) FROM trials;
INSERT INTO doubted SELECT 'behaviours', COALESCE(MAX(rowid), 0) FROM behaviours;
INSERT INTO doubted SELECT 'experiments', COALESCE(MAX(rowid), 0) FROM experiments;
