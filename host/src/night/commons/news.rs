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
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A finding that is news here.
pub struct News {
    pub found: Found,
    pub source_key: SourceKey,
    /// Whether its run can be compared with one here.
    pub is_comparable: bool,
}

impl Made for News {
    fn parent(&self) -> Hash {
        self.found.signed.text.parent
    }

    fn source(&self) -> Hash {
        self.found.signed.text.source
    }
}

/// What was made from something, which others may be made from.
trait Made {
    fn parent(&self) -> Hash;
    fn source(&self) -> Hash;
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
    let mut is_known =
        |parent: &Hash| Ok::<_, CommonsError>(parents.contains(parent) || here.store.knows_source(parent)?);
    let stale;
    (sorted.news, stale) = after_parents(waiting, &mut is_known)?;
    for news in stale {
        sorted.refused.push(Refused::at(&news.found.path, Refusal::Stale(news.parent())));
    }
    Ok(sorted)
}

/// Puts each behind the one that it was made from; apart, those that go back to nothing that is known. Long chains are
/// no more work than short ones.
fn after_parents<T: Made, E>(
    all: Vec<T>,
    is_known: &mut dyn FnMut(&Hash) -> Result<bool, E>,
) -> Result<(Vec<T>, Vec<T>), E> {
    let (mut next, mut children) = (VecDeque::new(), BTreeMap::<Hash, Vec<T>>::new());
    for one in all {
        let parent = one.parent();
        if !children.contains_key(&parent) && is_known(&parent)? {
            next.push_back(parent);
        }
        children.entry(parent).or_default().push(one);
    }
    let mut ordered = Vec::new();
    while let Some(parent) = next.pop_front() {
        for one in children.remove(&parent).unwrap_or_default() {
            next.push_back(one.source());
            ordered.push(one);
        }
    }
    Ok((ordered, children.into_values().flatten().collect()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Parent and source.
    #[derive(Debug, PartialEq, Clone, Copy)]
    struct Link(u32, u32);

    fn hash(n: u32) -> Hash {
        Hash::of(&n.to_le_bytes())
    }

    impl Made for Link {
        fn parent(&self) -> Hash {
            hash(self.0)
        }

        fn source(&self) -> Hash {
            hash(self.1)
        }
    }

    fn sorted(links: Vec<Link>) -> (Vec<Link>, Vec<Link>) {
        let mut asked = 0;
        let count = links.len();
        let mut is_known = |parent: &Hash| {
            asked += 1;
            Ok::<_, Infallible>(*parent == hash(0))
        };
        let Ok(sorted) = after_parents(links, &mut is_known);
        assert!(asked <= count);
        sorted
    }

    #[test]
    fn each_comes_after_the_one_that_it_was_made_from() {
        let links = vec![Link(2, 3), Link(7, 8), Link(1, 2), Link(0, 1), Link(1, 4), Link(9, 9), Link(8, 7)];
        let (ordered, mut stale) = sorted(links);
        assert_eq!(ordered, [Link(0, 1), Link(1, 2), Link(1, 4), Link(2, 3)]);
        stale.sort_by_key(|link| link.0);
        assert_eq!(stale, [Link(7, 8), Link(8, 7), Link(9, 9)]);
    }

    /// In rounds, this would take ten thousand million steps.
    #[test]
    fn a_long_chain_from_its_end_is_no_more_work_than_any() {
        let chain: Vec<Link> = (0..100_000).rev().map(|n| Link(n, n + 1)).collect();
        let (ordered, stale) = sorted(chain.clone());
        assert!(stale.is_empty() && ordered.iter().eq(chain.iter().rev()));
    }
}
