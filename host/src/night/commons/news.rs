//! Which findings of a commons are news here: for this task, with a source that is new and a parent that is known.

use crate::community::{Licence, Signed};
use crate::guest::source::Source;
use crate::night::commons::error::CommonsError;
use crate::night::commons::refusal::{Refusal, Refused};
use crate::night::commons::tree::{self, Found};
use crate::night::setup;
use crate::record::key::{ContextKey, Hash, SourceKey, TaskHash};
use crate::record::store::{NightRecord, Store, StoreError};
use crate::system::untrusted_folder::Folder;
use std::collections::{BTreeMap, BTreeSet};

/// A finding that is news here.
pub struct News {
    pub found: Found,
    pub source_key: SourceKey,
    /// Whether its run can be compared with one here.
    pub is_comparable: bool,
}

/// The findings of others, sorted.
#[derive(Default)]
pub struct Sorted {
    /// Each after the one that it was made from.
    pub news: Vec<News>,
    /// The number of those that were taken in before.
    pub known: usize,
    pub refused: Vec<Refused>,
}

/// What this store knows, to compare a commons with.
pub struct Here<'a> {
    pub store: &'a Store,
    pub task: TaskHash,
    context: ContextKey,
    tried: BTreeMap<SourceKey, u64>,
    /// Why labs are distrusted, by their keys.
    pub distrusted: BTreeMap<String, String>,
    is_free_only: bool,
}

impl<'a> Here<'a> {
    pub fn open(store: &'a Store, night: &NightRecord, is_free_only: bool) -> Result<Self, CommonsError> {
        let trials = store.trials_in(&night.context)?;
        let tried =
            trials.iter().rev().filter_map(|record| Some((record.trial.found.source_key?, record.trial.number)));
        let distrusted = store.distrusted()?.into_iter().map(|one| (one.lab, one.reason));
        Ok(Self {
            store,
            task: night.task,
            context: night.context,
            tried: tried.collect(),
            distrusted: distrusted.collect(),
            is_free_only,
        })
    }

    /// Whether a finding is of use here, as far as its page tells.
    fn check(&self, found: &Found) -> Result<(), Refusal> {
        let Signed { by, text, .. } = &found.signed;
        if let Some(reason) = self.distrusted.get(&by.to_string()) {
            return Err(Refusal::Distrusted(reason.clone()));
        }
        if self.is_free_only && !text.licence.as_ref().is_some_and(Licence::allows_changes) {
            return Err(Refusal::NotFree);
        }
        match text.evidence.manifest.task {
            task if task == self.task => Ok(()),
            task => Err(Refusal::OtherTask { found: task, wanted: self.task }),
        }
    }

    /// Whether a source is news here.
    fn check_source(&self, key: &SourceKey) -> Result<(), NoNews> {
        if let Some(number) = self.tried.get(key) {
            return Err(Refusal::Tried(*number).into());
        }
        if self.store.has_run(key, &self.context)? {
            return Err(Refusal::Ran.into());
        }
        match self.store.finding_of_source(key)? {
            Some(finding) => Err(Refusal::Taken(finding.hash).into()),
            None => Ok(()),
        }
    }
}

/// Why a finding is no news: an error that ends all, or one that is about it alone.
enum NoNews {
    Commons(CommonsError),
    Refused(Refusal),
}

impl From<StoreError> for NoNews {
    fn from(error: StoreError) -> Self {
        Self::Commons(error.into())
    }
}

impl From<Refusal> for NoNews {
    fn from(reason: Refusal) -> Self {
        Self::Refused(reason)
    }
}

/// Sorts the findings of others by what is news here. `own` has the sources of this lab's.
pub fn news(here: &Here, folder: &Folder, own: BTreeSet<Hash>, mut others: Vec<Found>) -> Result<Sorted, CommonsError> {
    let mut sorted = Sorted::default();
    // What was measured on the same terms says more than the same source on others.
    others.sort_by_key(|found| found.signed.text.evidence.manifest.context_key() != here.context);
    let (mut parents, mut waiting, mut seen) = (own, Vec::new(), BTreeMap::new());
    for found in others {
        if here.store.finding(&found.signed.hash())?.is_some() {
            sorted.known += 1;
            parents.insert(found.signed.text.source);
            continue;
        }
        match read(here, folder, &found, &mut seen) {
            Ok(source_key) => {
                let manifest = &found.signed.text.evidence.manifest;
                let is_comparable = manifest.context_key() == here.context && manifest.intervals == setup::INTERVALS;
                waiting.push(News { found, source_key, is_comparable });
            }
            Err(NoNews::Commons(error)) => return Err(error),
            Err(NoNews::Refused(reason)) => sorted.refused.push(Refused::at(&found.path, reason)),
        }
    }
    loop {
        let mut rest = Vec::new();
        let before = sorted.news.len();
        for news in waiting {
            let parent = news.found.signed.text.parent;
            if parents.contains(&parent) || here.store.knows_source(&parent)? {
                parents.insert(news.found.signed.text.source);
                sorted.news.push(news);
            } else {
                rest.push(news);
            }
        }
        waiting = rest;
        if sorted.news.len() == before {
            break;
        }
    }
    for news in waiting {
        let parent = news.found.signed.text.parent;
        sorted.refused.push(Refused::at(&news.found.path, Refusal::Stale(parent)));
    }
    Ok(sorted)
}

/// Reads a finding's source, and checks all but its parent. `seen` has the findings of this commons by their sources.
fn read(
    here: &Here,
    folder: &Folder,
    found: &Found,
    seen: &mut BTreeMap<SourceKey, Hash>,
) -> Result<SourceKey, NoNews> {
    here.check(found)?;
    let source = tree::source(folder, found)?;
    let key = Source::parse(&source).map_err(Refusal::from)?.key();
    here.check_source(&key)?;
    if let Some(other) = seen.get(&key) {
        return Err(Refusal::Taken(*other).into());
    }
    seen.insert(key, found.signed.hash());
    Ok(key)
}
