//! Tables of angles, which an executor keeps from one rotation to the next: the first ones of a run, so that their
//! price depends on the records alone.

use super::demand::Cost;
use std::collections::BTreeMap;

/// Tables that are kept; others are made again each time.
pub const KEPT_TABLES: usize = 8;

/// What names a table: the bits of the base, and the width of a head.
pub type TableKey = (u32, u32);

/// A table that an op reads.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub key: TableKey,
    /// Positions that it has at least.
    pub time: u32,
    /// What making it costs.
    pub cost: Cost,
}

/// The tables that are kept, with the positions that they have.
#[derive(Debug, Default)]
pub struct Tables(BTreeMap<TableKey, u32>);

impl Tables {
    /// Whether there is such a table; from now on there is, unless too many are kept.
    pub fn keeps(&mut self, key: TableKey, time: u32) -> bool {
        let room = self.0.len() < KEPT_TABLES;
        match self.0.get_mut(&key) {
            Some(has) if *has >= time => true,
            Some(has) => {
                *has = time;
                false
            }
            None => {
                if room {
                    self.0.insert(key, time);
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tables_are_kept_and_grow() {
        let mut tables = Tables::default();
        assert_eq!([4, 3, 5, 5].map(|time| tables.keeps((1, 8), time)), [false, true, false, true]);
        for base in 2..=KEPT_TABLES as u32 {
            assert!(!tables.keeps((base, 8), 1) && tables.keeps((base, 8), 1));
        }
        assert!(!tables.keeps((99, 8), 1) && !tables.keeps((99, 8), 1), "one too many");
    }
}
