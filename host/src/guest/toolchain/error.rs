//! Why there is no compiler.

use crate::guest::toolchain::rustc::TARGET;
use std::io;
use std::path::PathBuf;

/// Why there is no compiler.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// Nothing found and nothing could be installed.
    #[error("no compiler for {TARGET}: {tried}. {advice}")]
    Missing {
        /// What was tried, and how it ended.
        tried: String,
        /// Commands to run.
        advice: &'static str,
    },
    /// A step of the installation failed.
    #[error("{step} failed: {output}")]
    Failed {
        /// In words.
        step: String,
        /// The end of what it said.
        output: String,
    },
    /// Nothing says where cargo keeps its sources.
    #[error("no folder of cargo's: neither CARGO_HOME is set nor is there a home folder; set CARGO_HOME")]
    NoCargoHome,
    /// The cache could not be used.
    #[error("{path}: {source}; set HOST_CACHE to a folder that can be written")]
    Cache {
        /// Which part.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No folder for the cache.
    #[error(transparent)]
    NoCache(#[from] crate::system::cache::CacheError),
}
