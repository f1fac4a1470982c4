//! Why a program gave no answer.
use crate::system::untrusted_folder::UntrustedFileError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No such program.
    #[error("the program `{0}` was not found; install it, or give its path in the policy's `argv`")]
    NotFound(String),
    /// It cannot be executed.
    #[error("`{0}` cannot be executed; make it executable (chmod +x), or start it by its interpreter")]
    NotExecutable(String),
    /// The system would not start it.
    #[error("`{program}` could not be started: {reason}")]
    NotStarted {
        /// Its path.
        program: String,
        /// Why.
        reason: String,
    },
    /// A variable that the policy names is not set.
    #[error("the policy gives the program the variable {0}, but it is not set here; set it, or take it out of `env`")]
    NoVariable(String),
    /// The work folder, or the pipes to the program.
    #[error("no work for the program: {0}")]
    Io(#[from] std::io::Error),
    /// It ended with an error.
    #[error("the program {how}{}", said(.output))]
    Crashed {
        /// "ended with code 3", "was killed by signal 9".
        how: String,
        /// The last lines that it said.
        output: String,
    },
    /// It took too long.
    #[error("the program was killed: no end after {seconds} s{}", said(.output))]
    TimedOut {
        /// The limit.
        seconds: u32,
        /// The last lines that it said.
        output: String,
    },
    /// It left the source as it was.
    #[error("the program left train.rs unchanged{}", said(.output))]
    Unchanged {
        /// The last lines that it said.
        output: String,
    },
    /// What it left is no source.
    #[error("what the program left is not taken: {0}")]
    Left(#[from] UntrustedFileError),
    /// Stopped by the user.
    #[error("stopped by the user; the program was killed")]
    Interrupted,
}

impl CommandError {
    /// Whether the next call would fail the same way: the program is not to be called again. Otherwise this one answer is
    /// refused, or ([`CommandError::Interrupted`]) nobody wants it.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NotFound(_) | Self::NotExecutable(_) | Self::NotStarted { .. } | Self::NoVariable(_) | Self::Io(_)
        )
    }

    /// What the record calls it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NotFound(_) | Self::NotExecutable(_) | Self::NotStarted { .. } | Self::NoVariable(_) => "not started",
            Self::Io(_) => "host fault",
            Self::Crashed { .. } => "crashed",
            Self::TimedOut { .. } => "timeout",
            Self::Unchanged { .. } => "unchanged",
            Self::Left(_) => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

pub(super) fn said(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!("; it said last:\n{output}") }
}
