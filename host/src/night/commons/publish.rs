//! Writes what this lab found into a commons: its keeps as findings, and what had no gain as lists. Only what is not
//! there yet is written, and nothing is changed.

use crate::community::{
    Credits, CreditsError, Finding, Licence, Line, MOST_NEGATIVES, Negative, Negatives, Owed, PAGE, PrivateKey,
    PublicKey, Rounded, SOURCE, Signed,
};
use crate::data::task::Definition;
use crate::guest::source::Source;
use crate::night::commons::draw::Draw;
use crate::night::commons::error::CommonsError;
use crate::night::commons::refusal::{Refusal, Refused};
use crate::night::commons::tree::{self, Tree};
use crate::night::credits::{licence_of, owed, owing};
use crate::night::known;
use crate::record::key::{ContextKey, Hash, SourceKey, TaskHash};
use crate::record::store::{NightRecord, Store, StoreError};
use crate::record::trial::{Sent, Trial};
use crate::system::untrusted_folder::{Folder, UntrustedFileError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The page of the whole commons. Its bytes never change: labs that begin one at the same time write the same file.
const README: &str = include_str!("readme.md");
/// Longest change in a list of negatives, in characters.
const CHANGE_CHARS: usize = 160;

/// What was written, and what was not.
#[derive(Debug, Default)]
pub struct Published {
    /// Folders of findings.
    pub findings: Vec<PathBuf>,
    /// Lists of negatives.
    pub negatives: Vec<PathBuf>,
    /// Findings that were there already.
    pub known: usize,
    pub left_out: Vec<LeftOut>,
    /// What of the commons was not read: the same source may have been published there.
    pub unread: Vec<Refused>,
}

/// A keep that is not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub night: i64,
    pub number: u64,
    pub reason: String,
}

/// The trials of one context, and who publishes them where.
struct Press<'a> {
    store: &'a Store,
    folder: &'a Folder,
    key: &'a PrivateKey,
    licence: Option<&'a Licence>,
    night: &'a NightRecord,
    trials: &'a [&'a Trial],
    there: &'a There,
}

/// What the commons holds already.
struct There {
    own: PublicKey,
    findings: BTreeSet<String>,
    /// The lab that has published a source.
    sources: BTreeMap<Hash, PublicKey>,
    /// This lab's own negatives.
    negatives: BTreeSet<(ContextKey, SourceKey)>,
}

/// Publishes the keeps of all nights, and what had no gain. `licence` is that of this lab's own work.
///
/// # Errors
/// The store cannot be read, or the folder cannot be written.
pub fn publish(
    store: &Store,
    folder: &Path,
    key: &PrivateKey,
    licence: Option<&Licence>,
) -> Result<Published, CommonsError> {
    let folder = tree::open(folder)?;
    let (there, unread) = There::read(store, key.public(), &folder)?;
    // One that is there stays, whatever it says.
    if let Err(UntrustedFileError::Missing(_)) = folder.read(Path::new(PAGE), 1) {
        write(&folder, Path::new(PAGE), README.as_bytes())?;
    }
    let (mut published, mut seen) = (Published { unread, ..Published::default() }, BTreeSet::new());
    for night in store.nights()? {
        if !seen.insert(night.context) {
            continue;
        }
        let records = store.trials_in(&night.context)?;
        let trials: Vec<&Trial> = records.iter().map(|record| &record.trial).collect();
        let press = Press { store, folder: &folder, key, licence, night: &night, trials: &trials, there: &there };
        if !press.are_public_terms()? {
            continue;
        }
        for record in records.iter().filter(|record| record.trial.is_kept()) {
            match press.finding(&record.trial, &mut published)? {
                Ok(()) => {}
                Err(reason) => {
                    published.left_out.push(LeftOut { night: record.night, number: record.trial.number, reason });
                }
            }
        }
        press.negatives(&mut published)?;
    }
    Ok(published)
}

fn write(folder: &Folder, path: &Path, bytes: &[u8]) -> Result<bool, CommonsError> {
    folder.add(path, bytes).map_err(CommonsError::Write)
}

impl There {
    /// Reads what is there, and says what was not read of it.
    fn read(store: &Store, own: PublicKey, folder: &Folder) -> Result<(Self, Vec<Refused>), CommonsError> {
        let known = store.proved_labs()?.into_iter().collect();
        let Tree { findings, lists, mut refused } = tree::read(folder, (Some(own), &known), &Draw::new()?);
        let mut there = Self { own, findings: BTreeSet::new(), sources: BTreeMap::new(), negatives: BTreeSet::new() };
        for found in findings {
            if found.signed.by != own {
                there.sources.insert(found.signed.text.source, found.signed.by);
            } else if tree::source(folder, &found).is_ok() {
                there.findings.insert(found.signed.folder());
            }
        }
        for list in lists.iter().filter(|list| list.by == own) {
            let Ok(signed) = tree::list(folder, list) else { continue };
            let context = signed.text.context;
            there.negatives.extend(signed.text.found.into_keys().map(|key| (context, key)));
        }
        refused.retain(|one| matches!(one.reason, Refusal::Unread { .. }));
        Ok((there, refused))
    }
}

/// Why work of somebody else may not be changed and passed on, if it may not.
fn forbidden(owed: &Owed) -> Option<String> {
    let terms = match &owed.licence {
        None => "which has no licence".to_owned(),
        Some(licence) if licence.allows_changes() => return None,
        Some(licence) => format!("whose licence `{licence}` is not a free one of SPDX's list"),
    };
    let Owed { author, file, .. } = owed;
    Some(format!(
        "it goes back to the file {} of the key {author}, {terms}: its author has not allowed that",
        file.short()
    ))
}

impl Press<'_> {
    /// Whether others can have the terms of these trials: a night whose proposals were tried again has terms of its
    /// own, and while a secret chooses the held-out text, each exact score tells something about it.
    fn are_public_terms(&self) -> Result<bool, StoreError> {
        let first = self.trials.iter().find_map(|trial| trial.found.experiment);
        let Some(record) = first.map(|key| self.store.find_experiment(&key)).transpose()?.flatten() else {
            return Ok(false);
        };
        if record.manifest.context_key() != self.night.context {
            return Ok(false);
        }
        let definition = self.store.definition(&self.night.task.0)?;
        let definition = definition.and_then(|json| serde_json::from_str::<Definition>(&json).ok());
        Ok(match definition.map(|definition| definition.commitment) {
            None => false,
            Some(None) => true,
            Some(Some(secret)) => {
                self.store.secrets()?.iter().any(|known| known.commitment == secret && known.revealed.is_some())
            }
        })
    }

    /// Publishes a keep, or says why it is left out.
    fn finding(&self, trial: &Trial, published: &mut Published) -> Result<Result<(), String>, CommonsError> {
        let source = self.store.get_blob(&trial.source_blob)?;
        let is_finding_itself = match trial.credit.as_ref().map(|credit| credit.sent) {
            Some(Sent::Finding(hash)) => {
                self.store.finding(&hash)?.is_some_and(|finding| finding.source_blob == trial.source_blob)
            }
            _ => false,
        };
        if is_finding_itself {
            published.known += 1;
            return Ok(Ok(()));
        }
        if std::str::from_utf8(&source).ok().is_none_or(|text| Source::parse(text).is_err()) {
            return Ok(Err("only Rust sources are published, and it does not parse as one".into()));
        }
        let finding = match self.compose(trial, &source)? {
            Ok(finding) => finding,
            Err(reason) => return Ok(Err(reason)),
        };
        let signed = Signed::sign(finding, self.key);
        let folder = signed.folder();
        if self.there.findings.contains(&folder) {
            published.known += 1;
            return Ok(Ok(()));
        }
        if let Some(lab) = self.there.sources.get(&signed.text.source) {
            return Ok(Err(format!("the lab {} has published the same source", lab.short())));
        }
        let page = signed.page();
        // The page comes last: it tells that the finding is complete.
        for (name, bytes) in [(SOURCE, source.as_slice()), (PAGE, page.as_bytes())] {
            match write(self.folder, &Path::new(&folder).join(name), bytes) {
                Err(CommonsError::Write(taken @ UntrustedFileError::Taken(_))) => return Ok(Err(taken.to_string())),
                written => written.map(drop)?,
            }
        }
        published.findings.push(PathBuf::from(folder));
        Ok(Ok(()))
    }

    fn compose(&self, trial: &Trial, source: &[u8]) -> Result<Result<Finding, String>, CommonsError> {
        let found = &trial.found;
        let record = found.experiment.map(|key| self.store.find_experiment(&key)).transpose()?.flatten();
        let Some((record, bpb)) = record.and_then(|record| Some((record.val_bpb?, record)).map(|(b, r)| (r, b))) else {
            return Ok(Err("the store has lost its first run".into()));
        };
        let Some(parent) = self.source_of(trial.parent)? else {
            return Ok(Err(format!("the store has lost the source of #{}, from which it was made", trial.parent)));
        };
        let (author, licence) = match &trial.credit {
            None => (Some(self.there.own), self.licence.cloned()),
            Some(credit) => (credit.author.parse().ok(), licence_of(credit)),
        };
        let Some(author) = author else { return Ok(Err("the key of its author does not read".into())) };
        Ok(self.credits(trial.number)?.and_then(|credits| {
            Ok(Finding {
                change: Line::new(&trial.description),
                hypothesis: Line::new(&trial.hypothesis),
                licence,
                author,
                parent,
                credits,
                source: trial.source_blob,
                source_bytes: source.len() as u64,
                bpb,
                delta: found.delta.and_then(Rounded::new),
                p_better: found.p_better.and_then(Rounded::new),
                pairs: found.pairs,
                evidence: self.store.evidence(&record).map_err(|error| error.to_string())?,
            })
        }))
    }

    /// The hash of the source of a trial on these terms.
    fn source_of(&self, number: u64) -> Result<Option<Hash>, StoreError> {
        if number > 0 {
            return Ok(self.trials.iter().find(|trial| trial.number == number).map(|trial| trial.source_blob));
        }
        let seed = known::seed_guest(self.store, self.night)?.and_then(|(source, _)| source);
        Ok(seed.map(|text| Hash::of(text.as_bytes())))
    }

    /// To whom a keep goes back, besides this lab. All of it has to allow that it is changed and passed on.
    fn credits(&self, number: u64) -> Result<Result<Credits, String>, StoreError> {
        let mut all: Vec<Owed> = Vec::new();
        for one in owing(self.store, number, self.trials)? {
            let sent = one.credit.sent;
            let Some(before) = one.before else {
                return Ok(Err(format!(
                    "the store has lost the {} {}, which says to whom it goes back",
                    sent.name(),
                    sent.hash()
                )));
            };
            let Some(own) = owed(one.credit) else {
                return Ok(Err("the key of an author does not read".into()));
            };
            for one in before.into_iter().chain([own]) {
                if one.author == self.there.own || all.iter().any(|known| known.file == one.file) {
                    continue;
                }
                if let Some(reason) = forbidden(&one) {
                    return Ok(Err(reason));
                }
                all.push(one);
            }
        }
        Ok(Credits::new(all).map_err(|error: CreditsError| error.to_string()))
    }

    /// Whether the change of a trial may be told in words, which may quote it.
    fn may_tell(&self, trial: &Trial) -> bool {
        let Some(credit) = &trial.credit else { return true };
        let is_own = credit.author == self.there.own.to_string();
        let allows = licence_of(credit).is_some_and(|licence| licence.allows_changes());
        // A submission was sent to be tried, and not to be told.
        credit.sent.finding().is_some() && (is_own || allows)
    }

    /// Publishes what had no gain and is not told yet, in lists that are full but for the last.
    fn negatives(&self, published: &mut Published) -> Result<(), CommonsError> {
        let mut found = BTreeMap::new();
        for trial in self.trials {
            let Some(key) = trial.found.source_key else { continue };
            let is_told = self.there.negatives.contains(&(self.night.context, key));
            if trial.is_kept() {
                found.remove(&key);
            } else if Negatives::ENDINGS.contains(&trial.found.verdict) && !is_told && self.may_tell(trial) {
                let negative = Negative {
                    ending: trial.found.verdict,
                    delta: trial.found.delta.and_then(Rounded::new),
                    change: Line::new(&crate::system::sanitize::cut(&trial.description, CHANGE_CHARS, "…")),
                };
                found.insert(key, negative);
            }
        }
        let mut rest = found.into_iter();
        loop {
            let part: BTreeMap<SourceKey, Negative> = rest.by_ref().take(MOST_NEGATIVES).collect();
            if part.is_empty() {
                return Ok(());
            }
            let list = self.list(self.night.task, part);
            let path = PathBuf::from(tree::list_path(&list.by, &list.text));
            write(self.folder, &path, &list.to_bytes())?;
            published.negatives.push(path);
        }
    }

    fn list(&self, task: TaskHash, part: BTreeMap<SourceKey, Negative>) -> Signed<Negatives> {
        Signed::sign(Negatives::new(task, self.night.context, part), self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labs that begin a commons at the same time have to write the same bytes, whatever their version.
    #[test]
    fn the_page_of_a_commons_never_changes() {
        assert_eq!(Hash::of(README.as_bytes()).short(), "6918354c881d");
    }
}
