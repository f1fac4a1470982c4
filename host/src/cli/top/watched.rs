//! A night that others run, as its store has it.

use anyhow::Result;
use nightlab::night::now::Now;
use nightlab::night::past::{self, PastError};
use nightlab::night::report::page::Page;
use nightlab::night::report::watch::{News, State, Subject, Watcher};
use nightlab::record::store::Store;
use std::path::{Path, PathBuf};

pub struct Watched {
    store: PathBuf,
    subject: Subject,
    watcher: Watcher,
    pub news: News,
    /// The night as it was read last; `None` if there is none yet.
    pub page: Option<Page>,
    /// Tells one state of the page from another.
    stamp: String,
    /// Why the page cannot be read now.
    pub problem: Option<String>,
    /// What the night does now, as it says.
    pub now: Option<Now>,
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
        let mut watched = Self { store, subject, watcher, news, page: None, stamp, problem: None, now: None };
        watched.read();
        Ok(watched)
    }

    /// Looks again. What cannot be read now stays as it was.
    pub fn look(&mut self) {
        self.watcher.again(&mut self.news);
        self.read();
    }

    fn read(&mut self) {
        let standing = self.news.standing(self.subject);
        let (night, is_over) =
            standing.map_or((None, false), |at| (Some(at.night.id), at.night.ended_unix_ms.is_some()));
        // A night that measures its baseline has no number yet.
        let is_ours = |now: &Now| match now.night {
            Some(of) => night == Some(of) && !is_over,
            None => self.subject == Subject::Last,
        };
        self.now = Now::read(&self.store).filter(is_ours);
        let stamp = self.news.stamp(self.subject);
        let Some(night) = night.filter(|_| self.stamp != stamp || self.problem.is_some()) else { return };
        match self.read_page(night) {
            Ok(page) => (self.page, self.stamp, self.problem) = (Some(page), stamp, None),
            Err(error) => self.problem = Some(format!("{error:#}")),
        }
    }

    fn read_page(&self, night: i64) -> Result<Page> {
        Store::open_to_watch(&self.store)?.at_once(|store| {
            let (record, policy) = past::night(store, Some(night))?;
            Ok(Page::outline(store, &record, &policy)?)
        })
    }

    /// Whether nothing more will come: the night has ended, and none begins.
    pub fn is_over(&self) -> bool {
        self.now.is_none() && self.news.standing(self.subject).is_some_and(|at| at.night.ended_unix_ms.is_some())
    }

    /// Why there is nothing to show, or why it may be old.
    pub fn trouble(&self) -> Option<String> {
        match &self.news.state {
            State::Waiting(words) | State::Failed(words) => Some(words.clone()),
            State::NoStore => {
                let store = self.store.display();
                Some(format!("there is no store in {store} yet; `host run --policy smoke` makes one"))
            }
            State::Ready if self.page.is_none() && self.problem.is_none() && self.now.is_none() => {
                Some("the store has no night yet; `host run --policy smoke` begins one".into())
            }
            State::Ready => self.problem.clone(),
        }
    }
}
