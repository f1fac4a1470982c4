//! How a trial ends.

/// How a trial ended, as users read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The new champion.
    Keep,
    /// Worse.
    Discard,
    /// Within the noise, or not proven.
    Noise,
    /// Tried before.
    Same,
    /// Not trained: source, compiler, component or dry run.
    Refused,
    /// The guest failed while it trained or was evaluated.
    Failed,
    /// The host could not finish it: says nothing about the mutation.
    HostFault,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 7] =
        [Self::Keep, Self::Discard, Self::Noise, Self::Same, Self::Refused, Self::Failed, Self::HostFault];

    /// The ending of that name; what a later version may have written reads as a host fault, which decides nothing.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|ending| ending.name() == name).unwrap_or(Self::HostFault)
    }

    /// As the log and the store have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Discard => "discard",
            Self::Noise => "noise",
            Self::Same => "same",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::HostFault => "host-fault",
        }
    }
}
