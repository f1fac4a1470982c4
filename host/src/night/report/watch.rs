//! Looks at a store that others write. A look costs one number of SQLite; only if that has changed, more is read.

use crate::night::now::Now;
use crate::record::key::Hash;
use crate::record::store::{Sight, Standing, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two looks.
pub const PAUSE: Duration = Duration::from_millis(500);
/// After so many seconds without a word, a night may have been stopped.
pub const SILENCE_S: f64 = 60.0;
/// After so long the index is opened anew, as it may be another file by now.
const REOPEN: Duration = Duration::from_secs(10);

/// What is known of the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    pub state: State,
    /// The last that was seen.
    pub sight: Arc<Sight>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    Ready,
    /// There is no store yet.
    #[default]
    NoStore,
    /// Another program locks it.
    Waiting(String),
    /// It cannot be read, in words.
    Failed(String),
}

/// What a client looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The list of nights, or two of them.
    All,
    /// The last night, whichever that is.
    Last,
    Night(i64),
}

impl News {
    /// What the night of a subject does now, as it says in its store; `None` if it says nothing.
    pub fn now(&self, store: &Path, subject: Subject) -> Option<Now> {
        let standing = self.standing(subject);
        let (night, ended) = standing.map_or((None, None), |at| (Some(at.night.id), at.night.ended_unix_ms));
        let is_ours = |now: &Now| match now.night {
            Some(of) => night == Some(of) && ended.is_none(),
            // A night that measures its baseline has no number yet.
            None => subject == Subject::Last && now.age_s() <= SILENCE_S && ended < Some(now.unix_ms),
        };
        Now::read(store).filter(is_ours)
    }

    pub fn standing(&self, subject: Subject) -> Option<&Standing> {
        match subject {
            Subject::All => None,
            Subject::Last => self.sight.nights.last(),
            Subject::Night(id) => self.sight.nights.iter().find(|standing| standing.night.id == id),
        }
    }

    /// A text that is another one when the page of a subject may be.
    pub fn stamp(&self, subject: Subject) -> String {
        if subject == Subject::All {
            return Hash::of(format!("{:?}", self.sight.nights).as_bytes()).short();
        }
        let Some(standing) = self.standing(subject) else { return "none".into() };
        let Standing { night, trials, last_trial, .. } = standing;
        // Runs are added to trials while a night goes on; scores are also read later.
        let run = if night.ended_unix_ms.is_none() { self.sight.last_run } else { 0 };
        let ended = night.ended_unix_ms.unwrap_or(0);
        format!("{}-{trials}-{}-{ended}-{run}-{}", night.id, last_trial.unwrap_or(0), self.sight.last_score)
    }
}

pub struct Watcher {
    dir: PathBuf,
    open: Option<Open>,
}

struct Open {
    store: Store,
    since: Instant,
    /// The store's version at the last look.
    version: Option<i64>,
}

impl Watcher {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, open: None }
    }

    /// Looks for the first time. A store that is locked will be seen later.
    ///
    /// # Errors
    /// If there is a store that cannot be read.
    pub fn first(&mut self) -> Result<News, StoreError> {
        let mut news = News::default();
        match self.look(&mut news) {
            Err(error @ StoreError::Busy(_)) => news.state = State::Waiting(error.to_string()),
            looked => looked?,
        }
        Ok(news)
    }

    /// Looks again. What cannot be read now stays as it was seen.
    pub fn again(&mut self, news: &mut News) {
        if let Err(error) = self.look(news) {
            self.open = None;
            let words = error.to_string();
            let is_busy = matches!(error, StoreError::Busy(_));
            news.state = if is_busy { State::Waiting(words) } else { State::Failed(words) };
        }
    }

    fn look(&mut self, news: &mut News) -> Result<(), StoreError> {
        if self.open.as_ref().is_none_or(|open| open.since.elapsed() > REOPEN) {
            self.open = None;
            let store = if Store::exists(&self.dir)? { Some(Store::open_to_watch(&self.dir)) } else { None };
            // Of version 0, somebody is making it at this moment.
            let Some(store) = store.filter(|store| !matches!(store, Err(StoreError::Older { found: 0, .. }))) else {
                news.state = State::NoStore;
                return Ok(());
            };
            self.open = Some(Open { store: store?, since: Instant::now(), version: None });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let version = open.store.version()?;
        if open.version != Some(version) {
            news.sight = Arc::new(open.store.sight()?);
            open.version = Some(version);
        }
        news.state = State::Ready;
        Ok(())
    }
}
