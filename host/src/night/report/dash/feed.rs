//! Looks at the store a few times a second, for all clients together. A look costs one number of SQLite; only if that
//! has changed, more is read.

use crate::night::report::dash::error::DashError;
use crate::record::key::Hash;
use crate::record::store::{Sight, Standing, Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const PAUSE: Duration = Duration::from_millis(500);
/// After so long the index is opened anew, as it may be another file by now.
const REOPEN: Duration = Duration::from_secs(10);

/// What is known of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    pub state: State,
    /// The last that was seen.
    pub sight: Arc<Sight>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Ready,
    /// There is no store yet.
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

/// Begins to look. It ends when nobody listens any more.
///
/// # Errors
/// If there is a store that cannot be read.
pub fn start(dir: PathBuf) -> Result<watch::Receiver<News>, DashError> {
    let mut watcher = Watcher { dir, open: None };
    let mut news = News { state: State::NoStore, sight: Arc::default() };
    match watcher.look(&mut news) {
        Err(StoreError::Busy(path)) => news.state = State::Waiting(StoreError::Busy(path).to_string()),
        looked => looked?,
    }
    let (send, receive) = watch::channel(news.clone());
    std::thread::spawn(move || {
        while !send.is_closed() {
            std::thread::sleep(PAUSE);
            if let Err(error) = watcher.look(&mut news) {
                watcher.open = None;
                let words = error.to_string();
                let is_busy = matches!(error, StoreError::Busy(_));
                news.state = if is_busy { State::Waiting(words) } else { State::Failed(words) };
            }
            send.send_if_modified(|told| {
                let is_new = *told != news;
                told.clone_from(&news);
                is_new
            });
        }
    });
    Ok(receive)
}

struct Watcher {
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
