//! Takes in what other labs found: signature and place, then whether it is news here and has a known parent, then a
//! replay of a sample.

use crate::community::{Licence, Negatives, PublicKey, Signed};
use crate::night::commons::draw::Draw;
use crate::night::commons::error::CommonsError;
use crate::night::commons::news::{self, Here, News, Sorted};
use crate::night::commons::prove::{self, Settled};
use crate::night::commons::refusal::{Refusal, Refused};
use crate::night::commons::sample::Sample;
use crate::night::commons::tree::{self, Found, Tree};
use crate::night::past;
use crate::record::hint::Hint;
use crate::record::key::{Hash, SourceKey};
use crate::record::store::{NewFinding, Proof, Store};
use crate::sandbox::Progress;
use crate::system::clock::unix_ms;
use crate::system::untrusted_folder::Folder;
use std::collections::BTreeSet;
use std::path::Path;

/// How a commons is followed.
pub struct Follow {
    pub sample: Sample,
    /// Whether findings without a free licence are refused.
    pub is_free_only: bool,
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
    /// Findings that wait for the next time, since neither they nor enough of their lab were run again.
    pub later: usize,
    /// New results without gain.
    pub hints: u64,
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
    let mut here = Here::open(store, &night, how.is_free_only)?;
    let (draw, known) = (Draw::new()?, store.proved_labs()?.into_iter().collect());
    let Tree { findings, lists, refused } = tree::read(&folder, (how.own, &known), &draw);
    let mut followed = Followed { refused, ..Followed::default() };
    let (own, others): (Vec<Found>, Vec<Found>) =
        findings.into_iter().partition(|found| Some(found.signed.by) == how.own);
    let own: BTreeSet<Hash> = own.into_iter().map(|found| found.signed.text.source).collect();
    followed.known = own.len();
    let Sorted { news, known, refused } = news::news(&here, &folder, own, others)?;
    followed.known += known;
    followed.refused.extend(refused);
    followed.comparable = news.iter().filter(|one| one.is_comparable).count();
    let settled = prove::prove(&mut here, (&folder, &news, &draw), how.sample, &mut followed.replayed, watch)?;
    for (news, settled) in news.into_iter().zip(settled) {
        let lab = news.found.signed.by.to_string();
        let reason = here.distrusted.get(&lab).map(|reason| Refusal::Distrusted(reason.clone()));
        match (reason, settled) {
            (_, Settled::Refused(reason)) => followed.refuse(&news.found, reason),
            (Some(reason), _) => followed.refuse(&news.found, reason),
            (None, Settled::Holds(proof)) => take(store, (&folder, &news), proof, &mut followed)?,
            (None, Settled::Later) => followed.later += 1,
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
