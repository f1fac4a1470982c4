//! Why nothing more of a commons is written or read.

use crate::community::KeyFileError;
use crate::night::past::PastError;
use crate::night::verify::VerifyError;
use crate::record::store::StoreError;
use crate::system::untrusted_folder::UntrustedFileError;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum CommonsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Past(#[from] PastError),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(
        "cannot open the folder {path}: {source}; a commons is a folder that exists, such as a clone of a repository"
    )]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot write into the commons: {0}")]
    Write(UntrustedFileError),
    #[error("findings cannot be run again here, which says nothing about them: {0}")]
    Verify(#[from] VerifyError),
    #[error("no random numbers to choose the sample by: {0}")]
    Random(io::Error),
}
