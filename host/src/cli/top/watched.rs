//! A night that others run, as its store has it.

use anyhow::Result;
use nightlab::night::now::Now;
use nightlab::night::past::PastError;
use nightlab::night::report::page::Page;
use nightlab::night::report::watch::{self, News, SILENCE_S, Subject, Watcher};
use nightlab::record::store::Store;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// After so many seconds without a word, nobody runs it: nothing that a night does takes so long without a word.
const LONG_SILENCE_S: f64 = 1800.0;
/// A night that says nothing at all may be about to go on for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// A page that cannot be read is read again after this time.
const AGAIN: Duration = Duration::from_secs(5);

/// How it stands with the night.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Running,
    /// It said what it does, but not lately.
    Silent,
    /// It has not ended, and nothing is known to run it.
    Stopped,
    Ended,
    /// There is no night yet.
    Awaited,
}

pub struct Watched {
    store: PathBuf,
    subject: Subject,
    watcher: Watcher,
    news: News,
    /// The night as it was read last; `None` if there is none yet.
    page: Option<Page>,
    /// Tells one state of the page from another.
    stamp: String,
    /// Why the page cannot be read now.
    problem: Option<String>,
    /// When that was tried last.
    failed: Option<Instant>,
    /// What the night does now, as it says.
    pub now: Option<Now>,
    /// Since when it says nothing.
    quiet: Option<Instant>,
}

impl Watched {
    /// Looks for the first time.
    ///
    /// # Errors
    /// If there is a store that cannot be read, or if it has no such night.
    pub fn open(store: &Path, night: Option<i64>) -> Result<Self> {
        let mut watcher = Watcher::new(store.to_owned());
        let news = watcher.first()?;
        let subject = night.map_or(Subject::Last, Subject::Night);
        if let (Some(night), None) = (night, news.standing(subject)) {
            return Err(PastError::NoNight(night).into());
        }
        let (store, stamp) = (store.to_owned(), String::new());
        let mut watched = Self {
            store,
            subject,
            watcher,
            news,
            page: None,
            stamp,
            problem: None,
            failed: None,
            now: None,
            quiet: None,
        };
        watched.read();
        Ok(watched)
    }

    /// Looks again. What cannot be read now stays as it was.
    pub fn look(&mut self) {
        self.watcher.again(&mut self.news);
        self.read();
    }

    fn read(&mut self) {
        let night = self.news.standing(self.subject).map(|standing| standing.night.id);
        self.now = self.news.now(&self.store, self.subject);
        let is_quiet = self.now.as_ref().is_none_or(|now| now.age_s() > SILENCE_S);
        self.quiet = is_quiet.then(|| self.quiet.unwrap_or_else(Instant::now));
        let stamp = self.news.stamp(self.subject);
        let is_due = self.failed.is_none_or(|failed| failed.elapsed() >= AGAIN);
        let Some(night) = night.filter(|_| self.stamp != stamp && is_due) else { return };
        match self.read_page(night) {
            Ok(page) => (self.page, self.stamp, self.problem, self.failed) = (Some(page), stamp, None, None),
            Err(error) => (self.problem, self.failed) = (Some(format!("{error:#}")), Some(Instant::now())),
        }
    }

    fn read_page(&self, night: i64) -> Result<Page> {
        Ok(Page::of_night(&Store::open_to_watch(&self.store)?, night)?)
    }

    /// The number of the night; `None` before its baseline is measured, and without a night.
    pub fn night(&self) -> Option<i64> {
        let begins = self.now.as_ref().is_some_and(|now| now.night.is_none());
        self.news.standing(self.subject).filter(|_| !begins).map(|at| at.night.id)
    }

    /// The page of that night, as it was read last.
    pub fn page(&self) -> Option<&Page> {
        self.page.as_ref().filter(|page| self.night() == Some(page.picture.night))
    }

    pub fn state(&self) -> State {
        let ended = self.news.standing(self.subject).map(|at| at.night.ended_unix_ms.is_some());
        match (&self.now, ended) {
            (Some(now), _) if now.age_s() > SILENCE_S => State::Silent,
            (Some(_), _) => State::Running,
            (None, Some(true)) => State::Ended,
            (None, Some(false)) => State::Stopped,
            (None, None) => State::Awaited,
        }
    }

    /// Whether nothing more is to be expected: the night has ended, or was silent for so long that nobody runs it.
    pub fn is_over(&self) -> bool {
        let quiet = self.quiet.map(|since| since.elapsed());
        match self.state() {
            State::Ended => true,
            State::Stopped => quiet >= Some(PATIENCE),
            State::Silent => self.now.as_ref().is_some_and(|now| now.age_s() >= LONG_SILENCE_S),
            State::Running | State::Awaited => false,
        }
    }

    /// Why there is nothing to show, or why it may be old.
    pub fn trouble(&self) -> Option<String> {
        match &self.news.state {
            watch::State::Waiting(words) | watch::State::Failed(words) => Some(words.clone()),
            watch::State::NoStore => {
                let store = self.store.display();
                Some(format!("there is no store in {store} yet; `host run --policy smoke` makes one"))
            }
            watch::State::Ready if self.page.is_none() && self.problem.is_none() && self.now.is_none() => {
                Some("the store has no night yet; `host run --policy smoke` begins one".into())
            }
            watch::State::Ready => self.problem.clone(),
        }
    }
}
