//! Why a policy or a profile cannot be used.

use crate::policy::diagnostic::Diagnostic;

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No shipped file has this name.
    #[error("no {kind} is called `{name}`: shipped are {known}; a path contains `/` or ends in `.toml`")]
    Unknown {
        /// `policy` or `profile`.
        kind: &'static str,
        name: String,
        /// The shipped names.
        known: String,
    },
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    /// The file is not valid TOML, or a field is unknown or out of range.
    #[error("{0}")]
    Invalid(Box<Diagnostic>),
    /// The profile differs from the one that the policy pins.
    #[error(
        "profile `{name}` has hash {found}, but the policy pins {pinned}: results would not compare; use the pinned profile, or pin this one"
    )]
    ProfileDiffers {
        name: String,
        /// Hash of the profile.
        found: String,
        /// Hash that the policy pins.
        pinned: String,
    },
    /// The profile lacks a cost class, or a value is impossible.
    #[error("profile `{name}`: {source}")]
    Profile { name: String, source: kernels::cost::ProfileError },
    /// The policy holds a value that TOML cannot express.
    #[error("the policy cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
}
