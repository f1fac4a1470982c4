//! Verdicts of earlier versions that blame a mutation for a condition of the machine, such as a full disk. They kept
//! good sources from being tried: mending takes the verdicts back. Verdicts of this version are not looked at, as a
//! guest can make the compiler say anything.

use crate::record::ending::Ending;
use crate::record::store::check::Check;
use crate::record::store::error::StoreError;
use crate::record::store::folder::Store;
use crate::record::store::index::whole;
use crate::record::store::record::DryRunResult;
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

/// Words of the machine.
const WORDS: [&str; 10] = [
    "linking with `",
    "the compiler could not be run:",
    "the compiler was not started:",
    "extern location for ",
    "can't find crate for ",
    "No space left on device",
    "Cannot allocate memory",
    "the compiler failed (signal",
    "signal: 9 (SIGKILL)",
    "(os error ",
];
const REMEDY: &str = "takes them back, so that their sources may be tried again";

/// Whether a reason tells of the machine.
fn tells_of_the_machine(reason: &str) -> bool {
    !reason.starts_with("panic") && WORDS.iter().any(|words| reason.contains(words))
}

/// The trial that a reason names as the one that was repeated: "the same source as #12 (source key)".
fn repeated(reason: &str) -> Option<u64> {
    let (_, rest) = reason.split_once(" as #")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The trials of a night whose verdicts are false, and the reason of the first one.
struct FalseVerdicts {
    trials: Vec<i64>,
    number: u64,
    reason: String,
}

impl Check<'_> {
    /// False verdicts of trials, and the dry runs and experiments that led to them.
    pub(super) fn false_verdicts(&mut self) -> Result<(), StoreError> {
        let found = false_verdicts(self.store)?;
        let store = self.store;
        // All at once: a repeat is only known by the verdict that it repeats.
        let transaction = if self.mend { Some(store.begin()?) } else { None };
        for (night, found) in found {
            let (count, number) = (found.trials.len(), found.number);
            let reason = found.reason.lines().next().unwrap_or_default();
            let what = format!("{count} verdicts of night {night} tell of the machine, as that of #{number}: {reason}");
            self.mendable(what, REMEDY, |store| {
                for trial in &found.trials {
                    let sql = "UPDATE trials SET verdict = ? WHERE id = ?";
                    store.execute(sql, params![Ending::HostFault, trial])?;
                }
                Ok(true)
            })?;
        }
        transaction.map_or(Ok(()), |transaction| store.commit(transaction))?;
        self.false_dry_runs()?;
        self.false_experiments()
    }

    fn false_dry_runs(&mut self) -> Result<(), StoreError> {
        let rows = self.store.rows(
            "SELECT rowid, facts FROM behaviours
             WHERE rowid <= (SELECT last_row FROM doubted WHERE of_table = 'behaviours')",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?;
        for (row, facts) in rows {
            let Ok(Err((_, message))) = serde_json::from_str::<DryRunResult>(&facts) else { continue };
            if tells_of_the_machine(&message) {
                let what = format!("the dry run in row {row} of behaviours tells of the machine: {message}");
                self.mendable(what, "forgets it: it is run again when it is needed", |store| {
                    Ok(store.execute("DELETE FROM behaviours WHERE rowid = ?", params![row])? == 1)
                })?;
            }
        }
        Ok(())
    }

    fn false_experiments(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT key, message FROM experiments WHERE status NOT IN ('completed', 'panic')
         AND key NOT IN (SELECT experiment_key FROM scores)
         AND rowid <= (SELECT last_row FROM doubted WHERE of_table = 'experiments')";
        let rows = self.store.rows(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        for (key, message) in rows.into_iter().filter(|(_, message)| tells_of_the_machine(message)) {
            let what = format!("experiment {key} tells of the machine: {message}");
            self.mendable(what, "forgets it: it runs again when it is needed", |store| {
                let transaction = store.begin()?;
                for sql in [
                    "UPDATE trials SET experiment_key = NULL WHERE experiment_key = ?",
                    "DELETE FROM runs WHERE experiment_key = ?",
                    "DELETE FROM checkpoints WHERE experiment_key = ?",
                    "DELETE FROM experiments WHERE key = ?",
                ] {
                    store.execute(sql, params![key])?;
                }
                store.commit(transaction)?;
                Ok(true)
            })?;
        }
        Ok(())
    }
}

/// The false verdicts of each night. A repeat of a trial with a false verdict is one, too.
fn false_verdicts(store: &Store) -> Result<BTreeMap<i64, FalseVerdicts>, StoreError> {
    let sql = "SELECT trials.id, night, context, number, verdict, reason FROM trials JOIN nights ON nights.id = night
         WHERE verdict IN ('refused', 'failed', 'same')
         AND trials.id <= (SELECT last_row FROM doubted WHERE of_table = 'trials') ORDER BY trials.id";
    let rows = store.rows(sql, [], |row| {
        let (id, night): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (context, verdict): (String, Ending) = (row.get(2)?, row.get(4)?);
        Ok((id, night, context, whole(row, 3)?, verdict, row.get::<_, String>(5)?))
    })?;
    let (mut numbers, mut found) = (BTreeSet::new(), BTreeMap::new());
    for (id, night, context, number, verdict, reason) in rows {
        let is_false = match verdict {
            Ending::Same => repeated(&reason).is_some_and(|first| numbers.contains(&(context.clone(), first))),
            _ => tells_of_the_machine(&reason),
        };
        if is_false {
            numbers.insert((context, number));
            let first = || FalseVerdicts { trials: Vec::new(), number, reason };
            found.entry(night).or_insert_with(first).trials.push(id);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::{ContextKey, TaskHash};
    use crate::record::trial::{Findings, Trial};

    #[test]
    fn a_source_that_the_machine_had_condemned_may_be_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let night = store.start_night("n", "", &TaskHash::of(b"t"), &ContextKey::of(b"c"), 1).unwrap();
        let add = |number, verdict, reason: &str| {
            let found = Findings { reason: reason.into(), ..Findings::new(verdict) };
            let trial = Trial { number, source_blob: store.put_blob(b"").unwrap(), ..Trial::baseline("", found) };
            store.add_trial(night, &trial, &[]).unwrap();
        };
        add(1, Ending::Refused, "the compiler could not be run: No such file or directory (os error 2)");
        add(2, Ending::Same, "the same source as #1 (source key)");
        add(3, Ending::Failed, "trap: Cannot allocate memory");
        add(4, Ending::Refused, "compile-error: error[E0308]: mismatched types");
        add(5, Ending::Failed, "panic: the guest says (os error 2)");
        add(6, Ending::Same, "the same source as #4 (source key)");
        let verdicts =
            || -> Vec<Ending> { store.trials(None).unwrap().iter().map(|record| record.trial.found.verdict).collect() };
        let before = verdicts();
        assert_eq!(store.check(false, &mut |_| {}).unwrap().faults, [], "they are of this version");
        store.execute("UPDATE doubted SET last_row = 6", params![]).unwrap();
        let checked = store.check(false, &mut |_| {}).unwrap();
        assert_eq!((checked.faults.len(), verdicts()), (1, before), "{checked:?}");
        let checked = store.check(true, &mut |_| {}).unwrap();
        assert!(checked.faults[0].is_mended && checked.faults[0].what.contains("3 verdicts of night 1"), "{checked:?}");
        let (fault, same) = (Ending::HostFault, Ending::Same);
        assert_eq!(verdicts(), [fault, fault, fault, Ending::Refused, Ending::Failed, same]);
        assert_eq!(store.check(false, &mut |_| {}).unwrap().faults, []);
    }
}
