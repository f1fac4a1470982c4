//! The stages that a mutation passes before it is trained.

/// The stage before training that found a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the answer.
    Answer,
    /// Parsing the source.
    Source,
    /// The compiler.
    Compile,
    /// The component's check and the dry run.
    DryRun,
}

impl Stage {
    /// The name that users and the store see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Source => "source",
            Self::Compile => "compile",
            Self::DryRun => "dry run",
        }
    }
}
