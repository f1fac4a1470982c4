//! What finds a fault of a mutation before it is trained.

/// What finds a fault before any training.
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
    /// As users and the store have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Source => "source",
            Self::Compile => "compile",
            Self::DryRun => "dry run",
        }
    }
}
