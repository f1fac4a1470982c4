//! Why something is not shown.

use crate::night::past::PastError;
use crate::record::store::StoreError;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum DashError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Past(#[from] PastError),
    #[error("there is no store in {0} yet; `host run --policy smoke` makes one, and `--store DIR` names another")]
    NoStore(PathBuf),
    #[error("there is no trial {number} in night {night}")]
    NoTrial { night: i64, number: u64 },
    #[error("a page cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("port {0} is in use, perhaps by another `host dash`; `--port 0` takes a free one")]
    PortInUse(u16),
    #[error("cannot listen on port {port} of this machine: {source}; `--port 0` takes a free one")]
    Listen { port: u16, source: io::Error },
    #[error("the server could not start: {0}")]
    Runtime(io::Error),
    #[error("a page could not be made; the program that serves it has printed why")]
    Lost,
}

impl DashError {
    /// Whether somebody asked for what there is not.
    pub fn is_of_the_address(&self) -> bool {
        matches!(self, Self::NoTrial { .. } | Self::Past(PastError::NoNight(_)))
    }

    /// Whether it may be there when it is asked for again.
    pub fn will_pass(&self) -> bool {
        matches!(
            self,
            Self::NoStore(_)
                | Self::Past(PastError::NoNights)
                | Self::Store(StoreError::Busy(_))
                | Self::Past(PastError::Store(StoreError::Busy(_)))
        )
    }
}
