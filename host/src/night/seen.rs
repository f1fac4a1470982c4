//! What was tried before, by each of the three keys.

use crate::record::key::{BehaviourKey, ComponentKey, SourceKey};
use std::collections::BTreeMap;

/// What was tried before on the same terms, by each of the three keys.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    sources: BTreeMap<SourceKey, u64>,
    components: BTreeMap<ComponentKey, u64>,
    behaviours: BTreeMap<BehaviourKey, u64>,
}

impl Seen {
    /// Remembers what is known of a trial.
    pub fn insert(
        &mut self,
        trial: u64,
        source: Option<SourceKey>,
        component: Option<ComponentKey>,
        behaviour: Option<BehaviourKey>,
    ) {
        if let Some(key) = source {
            self.sources.entry(key).or_insert(trial);
        }
        if let Some(key) = component {
            self.components.entry(key).or_insert(trial);
        }
        if let Some(key) = behaviour {
            self.behaviours.entry(key).or_insert(trial);
        }
    }

    /// The trial that had this source.
    pub fn source(&self, key: &SourceKey) -> Option<u64> {
        self.sources.get(key).copied()
    }

    /// The trial that had this component.
    pub fn component(&self, key: &ComponentKey) -> Option<u64> {
        self.components.get(key).copied()
    }

    /// The trial that behaved like this.
    pub fn behaviour(&self, key: &BehaviourKey) -> Option<u64> {
        self.behaviours.get(key).copied()
    }
}

/// Which key stopped a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatKey {
    /// Found before compiling.
    Source,
    /// Found before the dry run.
    Component,
    /// Found before training.
    Behaviour,
}

impl RepeatKey {
    /// As users read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source key",
            Self::Component => "component key",
            Self::Behaviour => "behaviour key",
        }
    }
}
