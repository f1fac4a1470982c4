-- The index, version 8: which guest was the baseline of a night.

-- Key of its component; NULL in nights of earlier versions.
ALTER TABLE nights ADD COLUMN baseline TEXT;
