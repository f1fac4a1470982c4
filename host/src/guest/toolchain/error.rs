//! Errors of finding or installing a compiler.

use crate::guest::toolchain::rustc::TARGET;
use std::io;
use std::path::PathBuf;

/// Why no compiler is available.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// No compiler was found, and none could be installed.
    #[error("no compiler for {TARGET}: {tried}. {advice}")]
    Missing {
        /// What was tried, with the result.
        tried: String,
        /// Commands that the user can run.
        advice: &'static str,
    },
    /// A step of the installation failed.
    #[error("{step} failed: {output}")]
    Failed {
        /// The step, in words.
        step: String,
        /// The end of the step's output.
        output: String,
    },
    /// The folder of cargo's sources is unknown.
    #[error("no folder of cargo's: neither CARGO_HOME is set nor is there a home folder; set CARGO_HOME")]
    NoCargoHome,
    /// A file of the cache failed.
    #[error("{path}: {source}; set HOST_CACHE to a folder that can be written")]
    Cache { path: PathBuf, source: io::Error },
    /// There is no cache folder.
    #[error(transparent)]
    NoCache(#[from] crate::system::cache::CacheError),
}

impl ToolchainError {
    /// A compiler that is there could not be asked.
    pub(super) fn unasked(output: String) -> Self {
        Self::Failed { step: "asking the compiler for its version".into(), output }
    }
}
