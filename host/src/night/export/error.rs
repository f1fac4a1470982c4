//! Why a night could not be exported.

use crate::record::safetensors::SafeTensorError;
use crate::record::store::StoreError;
use crate::system::atomic_file::WriteError;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("a table cannot be written: {0}")]
    Table(#[from] csv::Error),
    #[error("a table cannot be written: {0}")]
    Columns(#[from] parquet::errors::ParquetError),
    #[error("the database cannot be written: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("the weights cannot be written: {0}")]
    Weights(#[from] SafeTensorError),
    #[error("the configuration cannot be written: {0}")]
    Configuration(#[from] serde_json::Error),
    #[error("the held-out text has chunks of different lengths")]
    Chunks,
    #[error("{0} is not of `host export`; name another folder")]
    NotOurs(PathBuf),
    #[error("{0} is open in another program, or was when it ended; close it there")]
    Open(PathBuf),
    #[error("{0} holds other files; name a folder that is empty or does not exist yet")]
    NotEmpty(PathBuf),
    #[error("`git` could not be started: {0}; it has to be in PATH")]
    NoGit(io::Error),
    #[error("`git {command}` failed: {said}")]
    Git { command: &'static str, said: String },
}
