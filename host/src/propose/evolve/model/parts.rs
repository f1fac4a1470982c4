//! The parts of the search, each of which can be switched off to measure what it is worth.

/// The parts of the search that can be switched off, to measure what they are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Gains that were measured are believed; without it only priors are.
    pub model: bool,
    /// Several changes at once.
    pub bundles: bool,
    /// What probably gains and was not kept is tried together.
    pub near_misses: bool,
    /// Without a keep for long, steps become larger and priors count less.
    pub widening: bool,
    /// What failed is drawn less.
    pub failures: bool,
    /// Parts of what others wrote are carried onto the champion.
    pub patches: bool,
    /// Changes interact, so a large gain tells less about its changes on the next champion. Without it, effects add up:
    /// what they did where they were tried.
    pub misfit: bool,
}

impl Parts {
    pub const ALL: Self = Self {
        model: true,
        bundles: true,
        near_misses: true,
        widening: true,
        failures: true,
        patches: true,
        misfit: true,
    };
}
