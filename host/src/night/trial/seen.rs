//! Detects repeats of earlier trials by the three keys: source, component and behaviour.

use crate::record::ending::Ending;
use crate::record::key::{BehaviourKey, ComponentKey, SourceKey};
use crate::record::trial::{Findings, Trial};
use std::collections::BTreeMap;

/// Keys of the earlier trials on the same terms, each with the number of its trial.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    sources: BTreeMap<SourceKey, u64>,
    components: BTreeMap<ComponentKey, u64>,
    behaviours: BTreeMap<BehaviourKey, u64>,
    /// Sources that were screened. They may still be judged.
    screened: BTreeMap<SourceKey, u64>,
}

impl Seen {
    /// Remembers the keys of a trial that say how another one would end. For each key, the first trial counts.
    ///
    /// A host fault says nothing about the mutation. A failure answers for its own source alone: its cause need not be
    /// in the other keys, for instance what was logged. The store still has its runs, so they are not repeated.
    pub fn insert(&mut self, trial: &Trial) {
        let Findings { verdict, source_key, component_key, behaviour_key, .. } = &trial.found;
        let scored = match verdict {
            Ending::HostFault => return,
            Ending::Screened => {
                self.screened.extend(source_key.map(|key| (key, trial.number)));
                return;
            }
            Ending::Same if !self.knows(&trial.found) => return,
            Ending::Refused | Ending::Failed => false,
            Ending::Keep | Ending::Discard | Ending::Noise | Ending::Same => true,
        };
        if let Some(key) = *source_key {
            self.sources.entry(key).or_insert(trial.number);
        }
        if let Some(key) = component_key.filter(|_| scored) {
            self.components.entry(key).or_insert(trial.number);
        }
        if let Some(key) = behaviour_key.filter(|_| scored) {
            self.behaviours.entry(key).or_insert(trial.number);
        }
    }

    /// Whether an earlier trial answers for one with these findings.
    fn knows(&self, found: &Findings) -> bool {
        found.source_key.is_some_and(|key| self.sources.contains_key(&key))
            || found.component_key.is_some_and(|key| self.components.contains_key(&key))
            || found.behaviour_key.is_some_and(|key| self.behaviours.contains_key(&key))
    }

    /// The first trial with this source.
    pub fn source(&self, key: &SourceKey) -> Option<u64> {
        self.sources.get(key).copied()
    }

    /// The last trial that screened this source.
    pub fn screened(&self, key: &SourceKey) -> Option<u64> {
        self.screened.get(key).copied()
    }

    /// The first trial with this component.
    pub fn component(&self, key: &ComponentKey) -> Option<u64> {
        self.components.get(key).copied()
    }

    /// The first trial with this behaviour.
    pub fn behaviour(&self, key: &BehaviourKey) -> Option<u64> {
        self.behaviours.get(key).copied()
    }
}

/// The kind of key that matched an earlier trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatKey {
    /// Detected before compiling.
    Source,
    /// Detected before the dry run.
    Component,
    /// Detected before training.
    Behaviour,
}

impl RepeatKey {
    /// The name that users read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source key",
            Self::Component => "component key",
            Self::Behaviour => "behaviour key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_trial_of_a_key_counts_and_a_host_fault_may_be_tried_again() {
        let key = SourceKey::of(b"source");
        let trial = |number, verdict| {
            let found = Findings { source_key: Some(key), ..Findings::new(verdict) };
            Trial { number, ..Trial::baseline("", found) }
        };
        let mut seen = Seen::default();
        seen.insert(&trial(1, Ending::HostFault));
        assert_eq!(seen.source(&key), None);
        seen.insert(&trial(2, Ending::Refused));
        seen.insert(&trial(3, Ending::Same));
        assert_eq!(seen.source(&key), Some(2));
    }

    #[test]
    fn what_was_screened_may_be_judged() {
        let key = SourceKey::of(b"source");
        let found = Findings { source_key: Some(key), ..Findings::new(Ending::Screened) };
        let mut seen = Seen::default();
        seen.insert(&Trial { number: 4, ..Trial::baseline("", found) });
        assert_eq!((seen.source(&key), seen.screened(&key)), (None, Some(4)));
    }

    /// What a guest logs is in no key of its behaviour, and ends a run that diverges.
    #[test]
    fn a_failure_answers_for_its_own_source_alone() {
        let behaviour = BehaviourKey::of(b"behaviour");
        let trial = |number: u64, source: &[u8], verdict| {
            let found = Findings {
                source_key: Some(SourceKey::of(source)),
                component_key: Some(ComponentKey::of(source)),
                behaviour_key: Some(behaviour),
                ..Findings::new(verdict)
            };
            Trial { number, ..Trial::baseline("", found) }
        };
        let mut seen = Seen::default();
        seen.insert(&trial(1, b"logs NaN", Ending::Failed));
        assert_eq!(seen.source(&SourceKey::of(b"logs NaN")), Some(1));
        assert_eq!((seen.behaviour(&behaviour), seen.component(&ComponentKey::of(b"logs NaN"))), (None, None));
        // An earlier version took the honest twin for a repeat. It may be tried again.
        seen.insert(&trial(2, b"honest", Ending::Same));
        assert_eq!(seen.source(&SourceKey::of(b"honest")), None);
        seen.insert(&trial(3, b"honest", Ending::Noise));
        seen.insert(&trial(4, b"another", Ending::Same));
        assert_eq!((seen.behaviour(&behaviour), seen.source(&SourceKey::of(b"another"))), (Some(3), Some(4)));
    }
}
