//! Reads pages of nights, each once for a state of the store. Blocking.

use crate::night::past;
use crate::night::report::dash::error::DashError;
use crate::night::report::page::{Details, Page, details};
use crate::record::store::Store;
use axum::body::Bytes;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Pages that are kept for the next client.
const MOST_PAGES: usize = 6;

pub struct Reader {
    dir: PathBuf,
    /// The page that was asked for last stands at the end.
    pages: Mutex<Vec<Arc<Shown>>>,
}

/// The page of a night at a state of the store.
pub struct Shown {
    pub page: Page,
    night: i64,
    stamp: String,
    /// What was written of it last, and around what.
    written: Mutex<(String, Bytes)>,
}

impl Shown {
    /// The page as `write` writes it, which is called once for equal `around`.
    pub fn written(
        &self,
        around: String,
        write: impl FnOnce(&Page) -> Result<String, serde_json::Error>,
    ) -> Result<Bytes, DashError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.0 != around || written.1.is_empty() {
            *written = (around, write(&self.page)?.into());
        }
        Ok(written.1.clone())
    }
}

impl Reader {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, pages: Mutex::default() }
    }

    /// The folder of the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn open(&self) -> Result<Store, DashError> {
        match Store::exists(&self.dir)? {
            true => Ok(Store::open_to_watch(&self.dir)?),
            false => Err(DashError::NoStore(self.dir.clone())),
        }
    }

    /// The page of a night. While the store cannot be read, it is the one that was read last.
    pub fn page(&self, night: i64, stamp: &str) -> Result<Arc<Shown>, DashError> {
        // Others wait here for the same page, so that it is read once.
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pages.iter().position(|shown| shown.night == night).map(|at| pages.remove(at));
        let shown = match before {
            Some(shown) if shown.stamp == stamp => Ok(shown),
            before => match (self.read(night, stamp), before) {
                (Ok(shown), _) => Ok(Arc::new(shown)),
                (Err(error), Some(before)) if error.will_pass() => Ok(before),
                (Err(error), _) => Err(error),
            },
        }?;
        if pages.len() == MOST_PAGES {
            pages.remove(0);
        }
        pages.push(shown.clone());
        Ok(shown)
    }

    fn read(&self, night: i64, stamp: &str) -> Result<Shown, DashError> {
        let page = Page::of_night(&self.open()?, night)?;
        Ok(Shown { page, night, stamp: stamp.into(), written: Mutex::default() })
    }

    /// All about a trial.
    pub fn details(&self, night: i64, number: u64) -> Result<Details, DashError> {
        self.open()?.at_once(|store| {
            let (record, policy) = past::night(store, Some(night))?;
            details(store, &record, &policy, number)?.ok_or(DashError::NoTrial { night, number })
        })
    }
}
