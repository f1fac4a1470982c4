//! Whom a champion is owed to: the strangers and labs among the authors of the trials that it goes back to, and of the
//! sources that these name as theirs.

use crate::community::{Finding, Licence, Owed, Signed};
use crate::record::key::Hash;
use crate::record::store::{Store, StoreError};
use crate::record::trial::{Credit, Trial};
use crate::system::sanitize::one_line;
use std::collections::{BTreeMap, BTreeSet};

/// A trial that somebody sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Owing<'a> {
    pub trial: &'a Trial,
    pub credit: &'a Credit,
    /// To whom the finding that it was goes back, oldest first. `None` if the store has lost the text that says it.
    pub before: Option<Vec<Owed>>,
}

impl Owing<'_> {
    /// Its author, licence and file in words, for people.
    pub fn words(&self) -> String {
        let Credit { sent, author, licence, .. } = self.credit;
        words(author, licence.as_deref(), &format!("{} {}", sent.name(), sent.hash()))
    }

    /// The same of those to whom it goes back as a finding, oldest first.
    pub fn words_before(&self) -> Vec<String> {
        let Some(before) = &self.before else {
            return vec!["what it goes back to is not known: the store has lost its text".into()];
        };
        let owed = |Owed { author, file, licence }: &Owed| {
            words(&author.to_string(), licence.as_ref().map(ToString::to_string).as_deref(), &format!("file {file}"))
        };
        before.iter().map(owed).collect()
    }
}

fn words(author: &str, licence: Option<&str>, file: &str) -> String {
    one_line(&format!("key {author}, {}, {file}", licence_words(licence)))
}

/// `licence MIT`, or that there is none.
pub fn licence_words(licence: Option<&str>) -> String {
    licence.map_or_else(|| "no licence given".into(), |licence| format!("licence {licence}"))
}

/// What a trial goes back to and others sent, itself included, oldest first.
pub fn owing<'a>(store: &Store, number: u64, trials: &[&'a Trial]) -> Result<Vec<Owing<'a>>, StoreError> {
    let (mut open, mut lineage) = (vec![number], BTreeMap::new());
    while let Some(number) = open.pop() {
        let Some(trial) = trials.iter().find(|trial| trial.number == number) else { continue };
        if lineage.insert(number, *trial).is_some() {
            continue;
        }
        open.push(trial.parent);
        let made_from = trial.credit.as_ref().and_then(|credit| credit.made_from);
        open.extend(trials.iter().filter(|other| Some(other.source_blob) == made_from).map(|other| other.number));
    }
    let sent = lineage.into_values().filter_map(|trial| Some((trial, trial.credit.as_ref()?)));
    sent.map(|(trial, credit)| Ok(Owing { trial, credit, before: before(store, credit)? })).collect()
}

/// To whom a finding goes back: the findings of this store that it was made from, and whom their labs name. What an
/// author signed counts more than what another lab says of its licence.
fn before(store: &Store, credit: &Credit) -> Result<Option<Vec<Owed>>, StoreError> {
    let Some(first) = credit.sent.finding() else { return Ok(Some(Vec::new())) };
    let Some(mut all) = named(store, &first)? else { return Ok(None) };
    let (mut seen, mut source) = (BTreeSet::from([first]), credit.made_from);
    while let Some(parent) = source.map(|source| store.finding_of_source_blob(&source)).transpose()?.flatten()
        && seen.insert(parent.hash)
    {
        let (Some(older), Some(own)) = (named(store, &parent.hash)?, owed(&parent.credit())) else { return Ok(None) };
        all = older.into_iter().chain([own]).chain(all).collect();
        source = Some(parent.parent);
    }
    let mut files = BTreeSet::from([first]);
    all.retain(|owed| files.insert(owed.file));
    Ok(Some(all))
}

/// Whom the lab of a finding names.
fn named(store: &Store, finding: &Hash) -> Result<Option<Vec<Owed>>, StoreError> {
    let text = match store.get_blob(finding) {
        Err(error) if error.is_of_damage() => return Ok(None),
        text => text?,
    };
    let Ok(signed) = Signed::<Finding>::read(&text) else { return Ok(None) };
    let own_words = |one: &Owed| Ok(store.finding(&one.file)?.and_then(|finding| owed(&finding.credit())));
    let all = signed.text.credits.iter().map(|one| Ok(own_words(one)?.unwrap_or_else(|| one.clone())));
    all.collect::<Result<Vec<_>, StoreError>>().map(Some)
}

/// The author and the licence of what was sent, as they were signed. `None` if the author's key does not read.
pub fn owed(credit: &Credit) -> Option<Owed> {
    Some(Owed { author: credit.author.parse().ok()?, file: credit.sent.hash(), licence: licence_of(credit) })
}

/// The licence of what was sent, if it has one that reads.
pub fn licence_of(credit: &Credit) -> Option<Licence> {
    credit.licence.as_ref().and_then(|licence| licence.parse().ok())
}
