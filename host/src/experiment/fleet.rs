//! What the bench needs of other machines that run experiments in its place. Another room implements it.

use crate::experiment::ended::Ended;
use crate::guest::component::Component;
use crate::record::key::Manifest;
use crate::sandbox::Progress;
use std::time::Duration;

/// A run to be made by whichever machine is free.
#[derive(Clone, Debug)]
pub struct Order {
    pub manifest: Manifest,
    pub component: Component,
    /// Decides the probes where there is no proof.
    pub probe_seed: u64,
    /// Only by machines whose word is enough.
    pub is_for_trusted: bool,
}

/// Machines that take runs. No result depends on which machine ran it.
pub trait Fleet: Send + Sync {
    /// How many runs may be under way at the same time; at least one.
    fn room(&self) -> usize;

    /// Asks for a run. It is taken back when what is returned is dropped.
    fn ask(&self, order: Order) -> Box<dyn Asked>;

    /// What this contributor said was false: it gets no more runs.
    fn shut_out(&self, contributor: &str);
}

/// A run that was asked for.
pub trait Asked {
    /// What is heard next, within `patience`.
    fn hear(&mut self, patience: Duration) -> Heard;

    /// The result is in the store, so that nobody needs to keep it elsewhere.
    fn is_stored(&mut self);
}

pub enum Heard {
    Nothing,
    /// Something about the machines, for people.
    Note(String),
    Progress(Progress),
    /// This contributor lied: what rests on its word alone is in doubt.
    Lied(String),
    Ended(Box<Ended>),
}

/// What is heard of a run before it ends.
pub enum News<'a> {
    Progress(&'a Progress),
    /// For people.
    Note(String),
}
