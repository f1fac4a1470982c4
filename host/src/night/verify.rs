//! Proves or refutes what others signed: the signature and what it is bound to, and then the result, by running the
//! experiment again. Writes nothing but what a dry run leaves in the store.

use crate::community::{
    Claim, Content, Finding, FormError, Negatives, PublicKey, Purpose, Ran, Receipt, Signed, Submission,
};
use crate::experiment::bench::Bench;
use crate::experiment::ended::Ended;
use crate::experiment::prepare::Refusal;
use crate::experiment::replay::{self, Replay, ReplayError};
use crate::guest::component::{Component, ComponentError};
use crate::guest::source::Source;
use crate::guest::toolchain::Toolchain;
use crate::night::clerk::told_evidence;
use crate::night::sent;
use crate::night::setup::{self, OpenError, Power};
use crate::record::evidence::Evidence;
use crate::record::key::{BehaviourKey, ComponentKey, Hash};
use crate::record::secret::SplitSecret;
use crate::record::store::{FindingRecord, Store, StoreError, SubmissionRecord};
use crate::sandbox::Progress;

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("it is refused: {0}")]
    Form(#[from] FormError),
    #[error("it has no claim: its signature holds, and there is nothing to prove")]
    NoClaim,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the source of the submission cannot be compiled here: {0}")]
    Compile(Box<Refusal>),
    #[error("the component of the submission is refused: {0}")]
    Component(ComponentError),
    #[error("it is not the submission that the receipt answers, which has the hash {0}")]
    OtherSubmission(Hash),
    #[error("it goes with no submission: `--submission` is for receipts")]
    NoReceipt,
    #[error(
        "experiment {0} ran a component that this store has not: name the submission that the receipt answers with \
         `--submission FILE`"
    )]
    NoComponent(String),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A stranger chooses budget and limits in a manifest, so not every one is run.
    #[error(
        "experiment {0} was run on terms that no night of this store has: run the policy that it is for once, with \
         `--experiments 1`, and try again"
    )]
    OtherTerms(String),
    #[error(
        "this store has not run experiment {0}, so it has no checkpoint of it: leave --segment out to replay all of it"
    )]
    NotHere(String),
}

/// A signed text whose signature holds.
pub struct Statement {
    pub purpose: Purpose,
    pub by: PublicKey,
    /// Hash of the file.
    pub hash: Hash,
    /// What can be proved by running it again; `None` for a receipt of what was never trained.
    pub evidence: Option<Evidence>,
    /// The score that is claimed.
    bpb: Option<f64>,
    /// The source or component, if the text brings it.
    content: Option<Content>,
    receipt: Option<Receipt>,
    /// What a receipt answers, if its file was brought or the store has it.
    submission: Option<Signed<Submission>>,
}

/// What became of an attempt to prove a statement.
pub enum Proof {
    /// It was run again. The replay says whether it is the same.
    Ran(Replay),
    /// Its source compiles to another component here: it is about another source, or was made by another compiler. The
    /// score is that of this one, if all of it was run and it has one.
    OtherComponent { found: ComponentKey, bpb: Option<f64> },
}

impl Statement {
    /// A statement of nothing that could be proved.
    fn new(purpose: Purpose, by: PublicKey, hash: Hash) -> Self {
        Self { purpose, by, hash, evidence: None, bpb: None, content: None, receipt: None, submission: None }
    }

    /// The statement of a finding, with its source if that is at hand.
    pub fn of_finding(finding: &Signed<Finding>, source: Option<String>) -> Self {
        Self {
            evidence: Some(finding.text.evidence.clone()),
            bpb: Some(finding.text.bpb),
            content: source.map(Content::Source),
            ..Self::new(Purpose::Finding, finding.by, finding.hash())
        }
    }

    /// Reads a claim, a receipt, a submission with a claim, or the page of a finding.
    pub fn read(bytes: &[u8]) -> Result<Self, VerifyError> {
        if Signed::<Finding>::is_page(bytes) {
            return Ok(Self::of_finding(&Signed::read_page(bytes)?, None));
        }
        let (purpose, hash) = (Purpose::of(bytes).ok_or(FormError::NoPurpose)?, Hash::of(bytes));
        let of_claim = |Claim { evidence, bpb }, by, content| {
            let (evidence, bpb) = (Some(evidence), Some(bpb));
            Self { evidence, bpb, content, ..Self::new(purpose, by, hash) }
        };
        Ok(match purpose {
            Purpose::Claim => {
                let Signed { text, by, .. } = Signed::<Claim>::read(bytes)?;
                of_claim(text, by, None)
            }
            Purpose::Submission => {
                let Signed { text, by, .. } = Signed::<Submission>::read(bytes)?;
                let claim = text.claim.ok_or(VerifyError::NoClaim)?;
                of_claim(claim.text, by, Some(text.content))
            }
            Purpose::Receipt => {
                let Signed { text, by, .. } = Signed::<Receipt>::read(bytes)?;
                Self { evidence: text.evidence.clone(), receipt: Some(text), ..Self::new(purpose, by, hash) }
            }
            Purpose::Finding => Self::of_finding(&Signed::read(bytes)?, None),
            Purpose::Negatives => Self::new(purpose, Signed::<Negatives>::read(bytes)?.by, hash),
            // The machines of a swarm check these themselves.
            Purpose::Job | Purpose::JobReceipt => return Err(FormError::NoPurpose.into()),
        })
    }

    /// Takes the source or component of a receipt from the file of the submission that it answers.
    ///
    /// # Errors
    /// It is another one.
    pub fn bring(&mut self, submission: &[u8]) -> Result<(), VerifyError> {
        let receipt = self.receipt.as_ref().ok_or(VerifyError::NoReceipt)?;
        if Hash::of(submission) != receipt.submission {
            return Err(VerifyError::OtherSubmission(receipt.submission));
        }
        self.submission = Some(Signed::read(submission)?);
        Ok(())
    }

    /// Looks in a store for the submission that a receipt answers, if its file was not brought.
    pub fn look_up(&mut self, store: &Store) -> Result<(), VerifyError> {
        if let (Some(receipt), None) = (&self.receipt, &self.submission)
            && store.submission(&receipt.submission)?.is_some()
        {
            self.submission = Some(Signed::read(&store.submission_file(&receipt.submission)?)?);
        }
        Ok(())
    }

    /// The source or component that came with the text, or for a receipt that of its submission. `None` stands for the
    /// component that the experiment ran, which the store has.
    fn content(&self, store: &Store, evidence: &Evidence) -> Result<Option<&Content>, VerifyError> {
        if let Some(submission) = &self.submission {
            return Ok(Some(&submission.text.content));
        }
        if self.receipt.is_some() && store.component(&evidence.manifest.component)?.is_none() {
            return Err(VerifyError::NoComponent(evidence.experiment().short()));
        }
        Ok(self.content.as_ref())
    }

    /// The submission of a receipt that nothing here ties to its run: neither was its file brought, nor has the store
    /// taken it in.
    pub fn untied(&self) -> Option<Hash> {
        self.receipt.as_ref().filter(|_| self.submission.is_none()).map(|receipt| receipt.submission)
    }

    /// What this store knows against it, in words. A receipt by the key of this store is the one that it keeps.
    pub fn contradiction(&self, store: &Store) -> Result<Option<String>, VerifyError> {
        let Some(receipt) = &self.receipt else { return Ok(None) };
        if let Some(misfit) = self.submission.as_ref().and_then(|submission| receipt.misfit(submission)) {
            return Ok(Some(misfit));
        }
        let Some(SubmissionRecord { author, receipt: kept, .. }) = store.submission(&receipt.submission)? else {
            return Ok(None);
        };
        if author != receipt.author.to_string() {
            return Ok(Some(format!("submission {} is by the key {author}", receipt.submission)));
        }
        let Some(kept) = kept.filter(|kept| *kept != self.hash) else { return Ok(None) };
        // Another inbox has answered the same file in its own way.
        let is_by_the_same = Signed::<Receipt>::read(&store.get_blob(&kept)?).is_ok_and(|kept| kept.by == self.by);
        Ok(is_by_the_same.then(|| format!("this store answered submission {} by another receipt", receipt.submission)))
    }

    /// Runs the experiment again, whole or one interval of it, and compares.
    pub fn prove(
        &self,
        evidence: &Evidence,
        store: Store,
        how: (Option<u32>, Option<SplitSecret>, Power),
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<Replay, VerifyError> {
        Ok(match self.attempt(evidence, store, how, watch)? {
            Proof::Ran(replay) => replay,
            Proof::OtherComponent { found, bpb } => other_component(evidence, &found, bpb),
        })
    }

    /// As [`Statement::prove`], and tells apart what could not be run.
    pub fn attempt(
        &self,
        evidence: &Evidence,
        store: Store,
        (segment, secret, power): (Option<u32>, Option<SplitSecret>, Power),
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<Proof, VerifyError> {
        let (key, context) = (evidence.experiment(), evidence.manifest.context_key());
        let is_known = store.nights()?.iter().any(|night| night.context == context);
        if !is_known || evidence.manifest.intervals != setup::INTERVALS {
            return Err(VerifyError::OtherTerms(key.short()));
        }
        let mut bench = setup::for_manifest(store, &evidence.manifest, secret.clone(), power)?;
        let commitment = bench.task.task.commitment.filter(|_| self.receipt.is_some());
        // The hashes of a receipt are blinded where a secret has chosen the text.
        let blind = match (commitment, secret) {
            (Some(commitment), None) => bench.store.secret(&commitment)?,
            (Some(_), given) => given,
            (None, _) => None,
        };
        let walls = bench.sandbox.walls(&[]).map_err(|status| OpenError::Sandbox(status.to_string()))?;
        if !walls.hold() {
            return Err(OpenError::Walls(walls).into());
        }
        let component = match self.component(&mut bench, evidence)? {
            Ok(component) => component,
            Err(words) => return Ok(Proof::Ran(refuted(evidence, words, None))),
        };
        let found = component.key();
        let is_other = found != evidence.manifest.component;
        Ok(match segment {
            Some(_) if is_other => Proof::OtherComponent { found, bpb: None },
            Some(interval) => Proof::Ran(segment_of(&bench, evidence, &component, (interval, blind.as_ref()), watch)?),
            None => {
                let behaviour = match &self.receipt {
                    Some(Receipt { behaviour_key: Some(_), .. }) => behaviour(&bench, &component)?,
                    _ => None,
                };
                let misfit = |ended: &Ended| {
                    let causality = ended.evaluation.map(|evaluation| evaluation.causality);
                    let ran = Ran { outcome: &ended.outcome, causality, behaviour };
                    self.receipt.as_ref().and_then(|receipt| receipt.misfit_of_run(&ran))
                };
                let said = (evidence, self.bpb);
                let replay = replay::prove(&bench, said, &component, (blind.as_ref(), &misfit), watch)?;
                if is_other { Proof::OtherComponent { found, bpb: replay.val_bpb } } else { Proof::Ran(replay) }
            }
        })
    }

    /// The component that the experiment is said to have run, or what is wrong, in words.
    fn component(&self, bench: &mut Bench, evidence: &Evidence) -> Result<Result<Component, String>, VerifyError> {
        let source = match self.content(&bench.store, evidence)? {
            None => return Ok(Ok(setup::component_of(&bench.store, &evidence.manifest)?)),
            Some(Content::Component(bytes)) => {
                return Ok(Ok(Component::from_bytes(bytes).map_err(VerifyError::Component)?));
            }
            Some(Content::Source(source)) => source,
        };
        let parsed = Source::parse(source).map_err(|error| VerifyError::Compile(Box::new(error.into())))?;
        let named = self.receipt.as_ref().and_then(|receipt| receipt.source_key);
        if named.is_some_and(|named| named != parsed.key()) {
            return Ok(Err("it names another source than that of its submission".into()));
        }
        let toolchain = Toolchain::find_or_install(&mut |_| {}).map_err(OpenError::from)?;
        let version = toolchain.version();
        bench.toolchain = Some(toolchain);
        // A row of the index is no proof that this source was compiled to that component, unless by another compiler.
        let known = bench.store.component(&evidence.manifest.component)?;
        if known.is_some_and(|known| known.source_key == parsed.key() && known.compiler != version) {
            return Ok(Ok(setup::component_of(&bench.store, &evidence.manifest)?));
        }
        Ok(Ok(bench.compile_anew(&parsed).map_err(|refusal| VerifyError::Compile(Box::new(refusal)))?))
    }

    /// What a proof of its run says nothing about, in words.
    pub fn unproved(&self) -> Option<String> {
        let receipt = self.receipt.as_ref().filter(|receipt| receipt.is_judged())?;
        Some(format!("what the inbox made of the run (`{}`, its difference and probability)", receipt.status.name()))
    }

    /// Whether the run that was proved does not tell how the submission ended.
    pub fn ended_in_another_run(&self, replay: &Replay) -> bool {
        self.receipt.as_ref().is_some_and(|receipt| receipt.ended_in_another_run(replay.val_bpb.is_some()))
    }
}

/// The behaviour key that a dry run finds; `None` if the guest fails in it.
fn behaviour(bench: &Bench, component: &Component) -> Result<Option<BehaviourKey>, VerifyError> {
    match bench.behaviour(component) {
        Ok(behaviour) => Ok(behaviour),
        Err(refusal) if refusal.stage().is_some() => Ok(None),
        Err(refusal) => Err(VerifyError::Compile(Box::new(refusal))),
    }
}

fn other_component(evidence: &Evidence, found: &ComponentKey, bpb: Option<f64>) -> Replay {
    let score = bpb.map(|bpb| format!(". Bits per byte of the one here are {bpb}")).unwrap_or_default();
    let words = format!(
        "the source compiles here to the component {}, and the experiment ran {}: it is about another source, or was \
         made by another compiler{score}",
        found.short(),
        evidence.manifest.component.short()
    );
    refuted(evidence, words, bpb)
}

/// What is known not to hold although no interval was compared.
fn refuted(evidence: &Evidence, words: String, bpb: Option<f64>) -> Replay {
    Replay {
        experiment: evidence.experiment().to_string(),
        identical: false,
        difference: Some(words),
        interval: None,
        compared: 0,
        intervals: evidence.intervals.len() as u32,
        steps: 0,
        val_bpb: bpb,
        state: None,
        seconds: 0.0,
    }
}

/// Runs one interval again, from a checkpoint of this store, and compares it with what is claimed.
fn segment_of(
    bench: &Bench,
    evidence: &Evidence,
    component: &Component,
    (interval, blind): (u32, Option<&SplitSecret>),
    watch: &mut dyn FnMut(&Progress),
) -> Result<Replay, VerifyError> {
    let key = evidence.experiment();
    let record = bench.store.find_experiment(&key)?.ok_or_else(|| VerifyError::NotHere(key.short()))?;
    let mut found = replay::replay_interval(bench, &record, component, interval, watch)?;
    let kept = bench.store.outcome(&record)?.intervals;
    let at = interval as usize;
    let told = kept.get(at).map(|hash| Hash(blind.map_or(*hash, |secret| secret.blind(hash))));
    if found.identical && told != evidence.intervals.get(at).copied() {
        found.identical = false;
        found.interval = Some(interval);
        found.difference = Some(format!("interval {interval} has another state hash than the one that is claimed"));
    }
    Ok(found)
}

/// One part of an audit.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Audited {
    /// What was looked at.
    pub what: String,
    /// What is wrong with it, if anything is.
    pub fault: Option<String>,
}

/// Checks all submissions, receipts and findings of a store against its records, and runs `count` of its experiments
/// again. Which ones follows from `random_seed` and their keys.
pub fn audit(
    store: &Store,
    (count, random_seed, power): (usize, u64, Power),
    tell: &mut dyn FnMut(&Audited),
) -> Result<(), StoreError> {
    for record in store.submissions()? {
        let fault = submission_fault(store, &record).unwrap_or_else(|error| Some(error.to_string()));
        tell(&Audited { what: format!("submission {} and its receipt", record.hash.short()), fault });
    }
    for record in store.findings()? {
        let fault = finding_fault(store, &record).unwrap_or_else(|error| Some(error.to_string()));
        tell(&Audited { what: format!("finding {}", record.hash.short()), fault });
    }
    let mut keys: Vec<_> = store.trials(None)?.into_iter().filter_map(|record| record.trial.found.experiment).collect();
    keys.sort_by_key(|key| *blake3::keyed_hash(&seed_key(random_seed), &key.0.0).as_bytes());
    keys.dedup();
    for key in keys.into_iter().take(count) {
        let replayed = || -> Result<Option<String>, VerifyError> {
            let record = store.find_experiment(&key)?.ok_or_else(|| StoreError::NotFound(key.to_string()))?;
            let (bench, component) = setup::for_record(store.twin()?, &record, None, power)?;
            Ok(replay::replay(&bench, &record, &component, &mut |_| {})?.difference)
        };
        let fault = replayed().unwrap_or_else(|error| Some(error.to_string()));
        tell(&Audited { what: format!("experiment {}", key.short()), fault });
    }
    Ok(())
}

fn seed_key(random_seed: u64) -> [u8; 32] {
    *blake3::hash(&random_seed.to_le_bytes()).as_bytes()
}

/// How the row of a finding, or its source, contradicts what was signed.
fn finding_fault(store: &Store, record: &FindingRecord) -> Result<Option<String>, VerifyError> {
    let Signed { text, by, .. } = Signed::<Finding>::read(&store.get_blob(&record.hash)?)?;
    text.check_source(&store.get_blob(&record.source_blob)?)?;
    let manifest = &text.evidence.manifest;
    let licence = text.licence.as_ref().map(ToString::to_string);
    let is_row = (&record.lab, &record.author) == (&by.to_string(), &text.author.to_string())
        && (record.task, record.context, record.parent) == (manifest.task, manifest.context_key(), text.parent)
        && (&record.change, &record.licence) == (&text.change.to_string(), &licence);
    Ok((!is_row).then(|| "its row in the index is not what was signed".into()))
}

/// How the row of a submission, or its receipt, contradicts the file that came and the records of the store.
fn submission_fault(store: &Store, record: &SubmissionRecord) -> Result<Option<String>, VerifyError> {
    let Signed { text, by, .. } = Signed::<Submission>::read(&store.submission_file(&record.hash)?)?;
    let licence = text.licence.as_ref().map(ToString::to_string);
    let is_row = record.author == by.to_string()
        && (record.task, record.parent, record.source_blob)
            == (text.task, text.parent, Hash::of(sent::text(&text.content).as_bytes()))
        && (&record.name, &record.licence) == (&text.name.to_string(), &licence);
    if !is_row {
        return Ok(Some("its row in the index is not what its file says".into()));
    }
    let Some(blob) = &record.receipt else { return Ok(None) };
    let Signed { text: receipt, .. } = Signed::<Receipt>::read(&store.get_blob(blob)?)?;
    if receipt.submission != record.hash || receipt.author != by {
        return Ok(Some("it answers another submission".into()));
    }
    let Some(evidence) = receipt.evidence else { return Ok(None) };
    let key = evidence.experiment();
    let known = store.find_experiment(&key)?.ok_or_else(|| StoreError::NotFound(key.to_string()))?;
    let is_same = told_evidence(store, &known)?.is_some_and(|told| told == evidence);
    Ok((!is_same).then(|| format!("experiment {} has another outcome here", key.short())))
}
