//! Why a policy or a profile cannot be used.

use crate::policy::diagnostic::Diagnostic;

/// Why a policy or profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No shipped file has this name.
    #[error("no {kind} is called `{name}`: shipped are {known}; a path contains `/` or ends in `.toml`")]
    Unknown {
        /// `policy` or `profile`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// Shipped names.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that it may not.
    #[error("{0}")]
    Invalid(Box<Diagnostic>),
    /// The profile is not the one that the policy pins.
    #[error(
        "profile `{name}` has hash {found}, but the policy pins {pinned}: results would not compare; use the pinned profile, or pin this one"
    )]
    ProfileDiffers {
        /// Its name.
        name: String,
        /// Its hash.
        found: String,
        /// The policy's.
        pinned: String,
    },
    /// The profile lacks a class, or says something impossible.
    #[error("profile `{name}`: {source}")]
    Profile {
        /// Its name.
        name: String,
        /// What is wrong.
        source: kernels::cost::ProfileError,
    },
    /// The policy holds a value that TOML cannot express.
    #[error("the policy cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
}
