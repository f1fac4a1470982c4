-- The index, version 3: trials are judged in pairs of runs on the same random seeds.

-- How many random seeds a verdict rests on, the standard deviation of the difference between them, the probability of a
-- gain that was assumed before, and what was changed of the champion: constant, constants or structure.
ALTER TABLE trials ADD COLUMN pairs INTEGER;
ALTER TABLE trials ADD COLUMN spread REAL;
ALTER TABLE trials ADD COLUMN prior REAL;
ALTER TABLE trials ADD COLUMN change TEXT;
