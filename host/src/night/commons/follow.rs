//! Takes in what other labs found: signature and place, then whether it is news here and has a known parent, then a
//! replay of a sample.

use crate::community::{Licence, Negatives, PublicKey, Signed};
use crate::guest::source::Source;
use crate::night::commons::draw::Draw;
use crate::night::commons::error::CommonsError;
use crate::night::commons::refusal::{Refusal, Refused};
use crate::night::commons::sample::{self, Shown};
use crate::night::commons::tree::{self, Found, Tree};
use crate::night::{past, setup};
use crate::record::hint::Hint;
use crate::record::key::{ContextKey, Hash, SourceKey, TaskHash};
use crate::record::store::{NewFinding, NightRecord, Proof, Store};
use crate::sandbox::Progress;
use crate::system::clock::unix_ms;
use crate::system::untrusted_folder::Folder;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How a commons is followed.
pub struct Follow {
    /// Of this number of findings of a lab, one is run again.
    pub every: u32,
    pub threads: Option<u32>,
    /// The key of this lab, whose own findings are passed over.
    pub own: Option<PublicKey>,
}

/// A finding that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub finding: Hash,
    pub lab: String,
    pub change: String,
    pub proof: Proof,
    /// Whether its licence lets this lab publish what it builds on it.
    pub allows_changes: bool,
}

/// What became of what a commons holds.
#[derive(Debug, Default)]
pub struct Followed {
    pub taken: Vec<Taken>,
    pub refused: Vec<Refused>,
    /// Findings that were taken in before, and this lab's own.
    pub known: usize,
    /// Findings that could be run again here, and how many of them were.
    pub comparable: usize,
    pub replayed: usize,
    /// New results without gain.
    pub hints: u64,
}

/// A finding that is news here.
struct News {
    found: Found,
    source_key: SourceKey,
    /// Whether its run can be compared with one here.
    is_comparable: bool,
}

/// What this store knows, to compare a commons with.
struct Here<'a> {
    store: &'a Store,
    task: TaskHash,
    context: ContextKey,
    tried: BTreeMap<SourceKey, u64>,
    /// Why labs are distrusted, by their keys.
    distrusted: BTreeMap<String, String>,
}

/// Takes in what is new in a commons and holds, on the terms of the store's last night.
///
/// # Errors
/// The folder or the store cannot be read, or a finding could not be run again because of the machine.
pub fn follow(
    store: &Store,
    folder: &Path,
    how: &Follow,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Followed, CommonsError> {
    let (night, _) = past::night(store, None)?;
    let folder = tree::open(folder)?;
    let mut here = Here::open(store, &night)?;
    let (draw, known) = (Draw::new()?, store.proved_labs()?.into_iter().collect());
    let Tree { findings, lists, refused } = tree::read(&folder, (how.own, &known), &draw);
    let mut followed = Followed { refused, ..Followed::default() };
    let (own, others): (Vec<Found>, Vec<Found>) =
        findings.into_iter().partition(|found| Some(found.signed.by) == how.own);
    let own: BTreeSet<Hash> = own.into_iter().map(|found| found.signed.text.source).collect();
    followed.known = own.len();
    let news = news(&here, &folder, own, others, &mut followed)?;
    let proofs = prove(&mut here, (&folder, &news, &draw), how, &mut followed, watch)?;
    for (news, proof) in news.into_iter().zip(proofs) {
        let lab = news.found.signed.by.to_string();
        let reason = here.distrusted.get(&lab).map(|reason| Refusal::Distrusted(reason.clone()));
        match (reason, proof) {
            (Some(reason), Ok(_)) => followed.refuse(&news.found, reason),
            (_, Err(reason)) => followed.refuse(&news.found, reason),
            (None, Ok(proof)) => take(store, (&folder, &news), proof, &mut followed)?,
        }
    }
    for list in lists.iter().filter(|list| Some(list.by) != how.own) {
        match tree::list(&folder, list) {
            Ok(signed) => followed.hints += take_hints(&here, &signed)?,
            Err(reason) => followed.refused.push(Refused::at(&list.path, reason)),
        }
    }
    Ok(followed)
}

impl Followed {
    fn refuse(&mut self, found: &Found, reason: Refusal) {
        self.refused.push(Refused::at(&found.path, reason));
    }
}

impl<'a> Here<'a> {
    fn open(store: &'a Store, night: &NightRecord) -> Result<Self, CommonsError> {
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
        })
    }

    /// Whether a finding is of use here, as far as its page tells.
    fn check(&self, found: &Found) -> Result<(), Refusal> {
        let Signed { by, text, .. } = &found.signed;
        if let Some(reason) = self.distrusted.get(&by.to_string()) {
            return Err(Refusal::Distrusted(reason.clone()));
        }
        match text.evidence.manifest.task {
            task if task == self.task => Ok(()),
            task => Err(Refusal::OtherTask { found: task, wanted: self.task }),
        }
    }

    /// Whether a source is news here.
    fn check_source(&self, key: &SourceKey) -> Result<(), CommonsOr<Refusal>> {
        if let Some(number) = self.tried.get(key) {
            return Err(CommonsOr::Other(Refusal::Tried(*number)));
        }
        if self.store.has_run(key, &self.context).map_err(CommonsError::from)? {
            return Err(CommonsOr::Other(Refusal::Ran));
        }
        match self.store.finding_of_source(key).map_err(CommonsError::from)? {
            Some(finding) => Err(CommonsOr::Other(Refusal::Taken(finding.hash))),
            None => Ok(()),
        }
    }
}

/// An error that ends all, or one that is about one finding.
enum CommonsOr<T> {
    Commons(CommonsError),
    Other(T),
}

impl<T> From<CommonsError> for CommonsOr<T> {
    fn from(error: CommonsError) -> Self {
        Self::Commons(error)
    }
}

/// The findings of others that are news here, each after the one that it was made from.
fn news(
    here: &Here,
    folder: &Folder,
    own: BTreeSet<Hash>,
    mut others: Vec<Found>,
    followed: &mut Followed,
) -> Result<Vec<News>, CommonsError> {
    // What was measured on the same terms says more than the same source on others.
    others.sort_by_key(|found| found.signed.text.evidence.manifest.context_key() != here.context);
    let (mut parents, mut waiting, mut seen) = (own, Vec::new(), BTreeMap::new());
    for found in others {
        if here.store.finding(&found.signed.hash())?.is_some() {
            followed.known += 1;
            parents.insert(found.signed.text.source);
            continue;
        }
        match read(here, folder, &found, &mut seen) {
            Ok(source_key) => {
                let manifest = &found.signed.text.evidence.manifest;
                let is_comparable = manifest.context_key() == here.context && manifest.intervals == setup::INTERVALS;
                waiting.push(News { found, source_key, is_comparable });
            }
            Err(CommonsOr::Commons(error)) => return Err(error),
            Err(CommonsOr::Other(reason)) => followed.refuse(&found, reason),
        }
    }
    let mut ready = Vec::new();
    loop {
        let mut rest = Vec::new();
        let before = ready.len();
        for news in waiting {
            let parent = news.found.signed.text.parent;
            if parents.contains(&parent) || here.store.knows_source(&parent)? {
                parents.insert(news.found.signed.text.source);
                ready.push(news);
            } else {
                rest.push(news);
            }
        }
        waiting = rest;
        if ready.len() == before {
            break;
        }
    }
    for news in waiting {
        followed.refuse(&news.found, Refusal::Stale(news.found.signed.text.parent));
    }
    Ok(ready)
}

/// Reads a finding's source, and checks all but its parent. `seen` has the findings of this commons by their sources.
fn read(
    here: &Here,
    folder: &Folder,
    found: &Found,
    seen: &mut BTreeMap<SourceKey, Hash>,
) -> Result<SourceKey, CommonsOr<Refusal>> {
    here.check(found).map_err(CommonsOr::Other)?;
    let source = tree::source(folder, found).map_err(CommonsOr::Other)?;
    let key = Source::parse(&source).map_err(|error| CommonsOr::Other(error.into()))?.key();
    here.check_source(&key)?;
    if let Some(other) = seen.get(&key) {
        return Err(CommonsOr::Other(Refusal::Taken(*other)));
    }
    seen.insert(key, found.signed.hash());
    Ok(key)
}

/// What a sample shows of each finding. A lab with a refuted claim is distrusted from then on.
fn prove(
    here: &mut Here,
    (folder, news, draw): (&Folder, &[News], &Draw),
    how: &Follow,
    followed: &mut Followed,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Vec<Result<Proof, Refusal>>, CommonsError> {
    let mut proofs: Vec<Result<Proof, Refusal>> =
        news.iter().map(|one| Ok(if one.is_comparable { Proof::Trusted } else { Proof::OtherTerms })).collect();
    let comparable: Vec<usize> = (0..news.len()).filter(|at| news[*at].is_comparable).collect();
    let labs: Vec<String> = comparable.iter().map(|at| news[*at].found.signed.by.to_string()).collect();
    followed.comparable = comparable.len();
    for place in sample::draw(&labs, how.every, draw) {
        let (Some(&at), Some(lab)) = (comparable.get(place), labs.get(place)) else { continue };
        let (Some(one), Some(proof)) = (news.get(at), proofs.get_mut(at)) else { continue };
        if here.distrusted.contains_key(lab) {
            continue;
        }
        followed.replayed += 1;
        let source = match tree::source(folder, &one.found) {
            Err(changed) => {
                *proof = Err(changed);
                continue;
            }
            Ok(source) => source,
        };
        *proof = match sample::run_again(here.store, &one.found.signed, &source, how.threads, watch)? {
            Shown::Holds => Ok(Proof::Proved),
            Shown::Nothing => Ok(Proof::OtherTerms),
            Shown::Unfit(reason) => Err(Refusal::Compile(reason)),
            Shown::Fault(reason) => Err(Refusal::Machine(reason)),
            Shown::Refuted(reason) => {
                let finding = one.found.signed.hash();
                let why = format!("its claim in the finding {} was refuted: {reason}", finding.short());
                here.store.distrust(lab, &finding, &why, unix_ms())?;
                here.distrusted.insert(lab.clone(), why);
                Err(Refusal::Refuted(reason))
            }
        };
    }
    Ok(proofs)
}

fn take(
    store: &Store,
    (folder, news): (&Folder, &News),
    proof: Proof,
    followed: &mut Followed,
) -> Result<(), CommonsError> {
    // It was read before, and is not kept in memory: a commons may hold many.
    let source = match tree::source(folder, &news.found) {
        Err(changed) => {
            followed.refuse(&news.found, changed);
            return Ok(());
        }
        Ok(source) => source,
    };
    let signed = &news.found.signed;
    let (lab, author, text) = (signed.by.to_string(), signed.text.author.to_string(), signed.to_bytes());
    let licence = signed.text.licence.as_ref().map(ToString::to_string);
    let manifest = &signed.text.evidence.manifest;
    let new = NewFinding {
        text: &text,
        source: &source,
        source_key: news.source_key,
        lab: &lab,
        author: &author,
        licence: licence.as_deref(),
        task: manifest.task,
        context: manifest.context_key(),
        parent: signed.text.parent,
        change: signed.text.change.text(),
        proof,
    };
    if store.add_finding(&new, unix_ms())? {
        let change = signed.text.change.text().to_owned();
        let allows_changes = signed.text.licence.as_ref().is_some_and(Licence::allows_changes);
        followed.taken.push(Taken { finding: signed.hash(), lab, change, proof, allows_changes });
    } else {
        followed.refuse(&news.found, Refusal::Full);
    }
    Ok(())
}

/// What a lab that is not distrusted says of the same task.
fn take_hints(here: &Here, signed: &Signed<Negatives>) -> Result<u64, CommonsError> {
    let (lab, list) = (signed.by.to_string(), &signed.text);
    if list.task != here.task || here.distrusted.contains_key(&lab) {
        return Ok(0);
    }
    let hint = |(key, negative): (&SourceKey, &crate::community::Negative)| Hint {
        lab: lab.clone(),
        source_key: *key,
        ending: negative.ending,
        delta: negative.delta.map(|delta| delta.get()),
        change: negative.change.text().to_owned(),
    };
    let hints: Vec<Hint> = list.found.iter().map(hint).collect();
    Ok(here.store.add_hints(&list.context, &hints)?)
}
