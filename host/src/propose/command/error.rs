//! Errors of a program that proposes.
use crate::system::untrusted_folder::UntrustedFileError;

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program does not exist.
    #[error("the program `{0}` was not found; install it, or give its path in the policy's `argv`")]
    NotFound(String),
    /// The program cannot be executed.
    #[error("`{0}` cannot be executed; make it executable (chmod +x), or start it by its interpreter")]
    NotExecutable(String),
    /// The system failed to start the program.
    #[error("`{program}` could not be started: {reason}")]
    NotStarted { program: String, reason: String },
    /// A variable that the policy names is not set.
    #[error("the policy gives the program the variable {0}, but it is not set here; set it, or take it out of `env`")]
    NoVariable(String),
    /// The work folder or the pipes to the program failed.
    #[error("no work for the program: {0}")]
    Io(#[from] std::io::Error),
    /// The program ended with an error.
    #[error("the program {how}{}", said(.output))]
    Crashed {
        /// "ended with code 3", "was killed by signal 9".
        how: String,
        /// The last lines of its output.
        output: String,
    },
    /// The program exceeded its time limit.
    #[error("the program was killed: no end after {seconds} s{}", said(.output))]
    TimedOut {
        seconds: u32,
        /// The last lines of its output.
        output: String,
    },
    /// The program did not change the source.
    #[error("the program left train.rs unchanged{}", said(.output))]
    Unchanged {
        /// The last lines of its output.
        output: String,
    },
    /// The program's result is not a valid source file.
    #[error("what the program left is not taken: {0}")]
    Left(#[from] UntrustedFileError),
    /// Stopped by the user.
    #[error("stopped by the user; the program was killed")]
    Interrupted,
}

impl CommandError {
    /// Whether the next call would fail in the same way, so that the program is not called again. Otherwise only this
    /// answer is lost; it is refused, or ([`CommandError::Interrupted`]) no longer wanted.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::NotExecutable(_) | Self::NotStarted { .. } | Self::NoVariable(_))
    }

    /// The status word in the store.
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
