-- The index, version 3: what a guest brought, and how much it trained. Trials of earlier versions have neither.

-- Bytes of data that the source carries, and its training tokens as a share of the seed guest's.
ALTER TABLE trials ADD COLUMN data_bytes INTEGER;
ALTER TABLE trials ADD COLUMN trained_share REAL;
