//! The clerk writes receipts: what a submission is answered, signed and kept in the store, with a copy in a file.

use crate::community::{
    Claim, ClaimStatus, FormError, Line, Measure, PrivateKey, PublicKey, Receipt, Rounded, Signed, Status, Submission,
};
use crate::data::Split;
use crate::data::task::Definition;
use crate::record::causality::Causality;
use crate::record::ending::Ending;
use crate::record::evidence::Evidence;
use crate::record::key::{ComponentKey, Hash, TaskHash};
use crate::record::outcome::GuestFault;
use crate::record::store::{ExperimentRecord, RECEIPTS, Store, StoreError, SubmissionRecord, TrialRecord};
use crate::record::trial::{Findings, Trial};
use crate::system::atomic_file::{self, WriteError};
use crate::system::clock::unix_ms;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Signs the receipts of a store.
pub struct Clerk {
    key: PrivateKey,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("submission {0} was taken in and does not read any more: {1}")]
    Unreadable(Hash, FormError),
    #[error("submission {0} was taken in with a key that does not read any more")]
    Key(Hash),
    #[error("cannot write {path}: {source}; the receipt is in the store, and the next night writes it")]
    Write { path: PathBuf, source: io::Error },
}

impl Clerk {
    pub fn new(key: PrivateKey) -> Self {
        Self { key }
    }

    /// Answers one submission that was tried, or that is for another task than this one.
    pub(super) fn answer(&self, store: &Store, task: &TaskHash, record: &SubmissionRecord) -> Result<(), AnswerError> {
        let trial = store.trial_of_submission(&record.hash)?;
        let receipt = receipt(store, task, record, trial.as_ref())?;
        let bytes = Signed::sign(receipt, &self.key).to_bytes();
        let counts = store.answer_submission(&record.hash, &bytes, unix_ms())?;
        write(store, &record.hash, &counts)
    }
}

/// Writes the copies of receipts that are missing. Returns what went wrong.
pub(super) fn write_missing(store: &Store) -> Result<Vec<AnswerError>, StoreError> {
    let answered = store.submissions()?.into_iter().filter_map(|record| Some((record.hash, record.receipt?)));
    let missing = answered.filter(|(submission, _)| !receipt_path(store, submission).exists());
    Ok(missing.filter_map(|(submission, receipt)| write(store, &submission, &receipt).err()).collect())
}

/// The file of the receipt of a submission, whether it exists or not.
fn receipt_path(store: &Store, submission: &Hash) -> PathBuf {
    store.dir().join(RECEIPTS).join(format!("{submission}.receipt"))
}

fn write(store: &Store, submission: &Hash, receipt: &Hash) -> Result<(), AnswerError> {
    let path = receipt_path(store, submission);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| AnswerError::Write { path, source }
    };
    let folder = store.dir().join(RECEIPTS);
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let written = atomic_file::replace(&path, &[&store.get_blob(receipt)?]);
    written.map_err(|WriteError { path, source }| AnswerError::Write { path, source })
}

/// The answer to a submission that has a trial, or is for another task.
fn receipt(
    store: &Store,
    task: &TaskHash,
    record: &SubmissionRecord,
    trial: Option<&TrialRecord>,
) -> Result<Receipt, AnswerError> {
    let author: PublicKey = record.author.parse().map_err(|_| AnswerError::Key(record.hash))?;
    let mut receipt = Receipt {
        submission: record.hash,
        author,
        task: *task,
        status: Status::OtherTask,
        trial: None,
        reason: Line::new(&format!("it is for the task {}, and this inbox is for {task}", record.task)),
        bpb: None,
        delta: None,
        p_better: None,
        pairs: None,
        source_key: None,
        component_key: None,
        behaviour_key: None,
        evidence: None,
        claim: ClaimStatus::None,
        measured: BTreeSet::new(),
        answered_unix_ms: unix_ms(),
    };
    let file = store.submission_file(&record.hash)?;
    let submission: Signed<Submission> =
        Signed::read(&file).map_err(|error| AnswerError::Unreadable(record.hash, error))?;
    let claim = submission.text.claim;
    let Some(TrialRecord { trial, .. }) = trial else {
        receipt.claim = if claim.is_some() { ClaimStatus::NotChecked } else { ClaimStatus::None };
        return Ok(receipt);
    };
    let found = &trial.found;
    receipt.task = record.task;
    receipt.status = Status::Tried(found.verdict);
    receipt.trial = Some(trial.number);
    receipt.bpb = found.bpb.and_then(Rounded::new);
    receipt.delta = found.delta.and_then(Rounded::new);
    receipt.p_better = found.p_better.and_then(Rounded::new);
    receipt.pairs = found.pairs;
    (receipt.source_key, receipt.component_key) = (found.source_key, found.component_key);
    receipt.behaviour_key = found.behaviour_key;
    let experiment = found.experiment.map(|key| store.find_experiment(&key)).transpose()?.flatten();
    receipt.reason = reason(store, &record.task, found)?;
    receipt.evidence = experiment.as_ref().map(|experiment| told_evidence(store, experiment)).transpose()?.flatten();
    receipt.measured = measured(store, trial, experiment.as_ref())?;
    receipt.claim = match claim {
        None => ClaimStatus::None,
        // Each answer would tell a bit about the text.
        Some(_) if is_secret(store, &record.task)? => ClaimStatus::NotChecked,
        Some(claim) => checked(store, &claim.text, found.component_key)?,
    };
    Ok(receipt)
}

/// Why a trial ended so. While held-out text is secret, without what guests said in training: they have read the other
/// text, and could tell what is missing there.
fn reason(store: &Store, task: &TaskHash, found: &Findings) -> Result<Line, StoreError> {
    let may_quote = matches!(found.verdict, Ending::Failed | Ending::Noise | Ending::HostFault);
    let named = GuestFault::that_begins(&found.reason).map(GuestFault::name);
    let kind = named.or_else(|| found.reason.split_once(": ").map(|(kind, _)| kind));
    match kind {
        Some(kind) if may_quote && kind.len() < found.reason.len() && is_secret(store, task)? => {
            Ok(Line::new(&format!("{kind} (the rest is not told, because held-out text is secret)")))
        }
        _ => Ok(Line::new(&found.reason)),
    }
}

/// The evidence for a result as a receipt tells it. If a secret has chosen the held-out text, hashes of what depends on
/// text are blinded with it: a guest's state may be a few bits about the text, and whoever enumerates them would find
/// the hash. `None` if it is not known whether one has.
pub(super) fn told_evidence(store: &Store, experiment: &ExperimentRecord) -> Result<Option<Evidence>, StoreError> {
    let evidence = store.evidence(experiment)?;
    let Some(definition) = definition(store, &evidence.manifest.task)? else { return Ok(None) };
    let Some(commitment) = definition.commitment else { return Ok(Some(evidence)) };
    Ok(store.secret(&commitment)?.map(|secret| evidence.blinded(&secret)))
}

fn definition(store: &Store, task: &TaskHash) -> Result<Option<Definition>, StoreError> {
    Ok(store.definition(&task.0)?.and_then(|json| serde_json::from_str(&json).ok()))
}

/// Whether a secret chooses the held-out text of a task. What is not known counts as secret.
fn is_secret(store: &Store, task: &TaskHash) -> Result<bool, StoreError> {
    Ok(definition(store, task)?.is_none_or(|definition| definition.commitment.is_some()))
}

fn measured(
    store: &Store,
    trial: &Trial,
    experiment: Option<&ExperimentRecord>,
) -> Result<BTreeSet<Measure>, StoreError> {
    let found = &trial.found;
    let proved = experiment.and_then(|record| record.evaluation).is_some_and(|e| e.causality == Causality::Proved);
    let scores = experiment.map(|record| store.scores(&record.key)).transpose()?.unwrap_or_default();
    let on = |split: Split| scores.iter().any(|score| score.split == split.name());
    let was = |measure: &Measure| match measure {
        Measure::Source => found.source_key.is_some(),
        Measure::Component => found.component_key.is_some(),
        Measure::DryRun => found.peak_bytes.is_some(),
        Measure::SearchSplit => found.bpb.is_some(),
        Measure::CausalityProved => proved,
        Measure::ConfirmSplit => found.verdict == Ending::Keep || on(Split::Confirm),
        Measure::TestSplit => on(Split::Test),
    };
    Ok(Measure::ALL.into_iter().filter(was).collect())
}

/// What this store knows about a claim. Of one about another component than the submission's nothing can be said here:
/// another compiler may have made it.
fn checked(store: &Store, claim: &Claim, component: Option<ComponentKey>) -> Result<ClaimStatus, StoreError> {
    let Evidence { manifest, outcome, .. } = &claim.evidence;
    if component.is_some_and(|component| component != manifest.component) {
        return Ok(ClaimStatus::NotChecked);
    }
    let Some(known) = store.find_experiment(&claim.evidence.experiment())? else {
        return Ok(ClaimStatus::NotChecked);
    };
    let is_same = known.outcome_hash == *outcome
        && known.val_bpb.map(f64::to_bits) == Some(claim.bpb.to_bits())
        && store.evidence(&known)?.intervals == claim.evidence.intervals;
    Ok(if is_same { ClaimStatus::Holds } else { ClaimStatus::Refuted })
}
