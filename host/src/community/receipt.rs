//! A receipt: the answer of a host to one submission.

use crate::community::error::FormError;
use crate::community::form::{Form, MAX_HEAD_BYTES, NONE, Reader, Writer};
use crate::community::key::PublicKey;
use crate::community::line::Line;
use crate::community::purpose::Purpose;
use crate::record::ending::Ending;
use crate::record::evidence::Evidence;
use crate::record::key::{BehaviourKey, ComponentKey, Hash, SourceKey, TaskHash};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Hash of the file that was received.
    pub submission: Hash,
    /// Who signed that file.
    pub author: PublicKey,
    /// The task of the host's inbox.
    pub task: TaskHash,
    pub status: Status,
    /// Number of the trial in the host's log.
    pub trial: Option<u64>,
    /// Why, in one line.
    pub reason: Line,
    /// Mean bits per byte on the search split, rounded.
    pub bpb: Option<Rounded>,
    /// Difference to the champion, rounded; negative is better.
    pub delta: Option<Rounded>,
    /// Probability that it is better, rounded.
    pub p_better: Option<Rounded>,
    /// Number of random seeds on which it met the champion.
    pub pairs: Option<u32>,
    pub source_key: Option<SourceKey>,
    pub component_key: Option<ComponentKey>,
    pub behaviour_key: Option<BehaviourKey>,
    /// Its first run, if it was trained.
    pub evidence: Option<Evidence>,
    /// What became of the claim.
    pub claim: ClaimStatus,
    pub measured: BTreeSet<Measure>,
    pub answered_unix_ms: i64,
}

/// How a submission ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As a trial did.
    Tried(Ending),
    /// It is for another task than the inbox.
    OtherTask,
}

impl Status {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tried(ending) => ending.name(),
            Self::OtherTask => "other-task",
        }
    }
}

/// What a host found about the claim of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimStatus {
    /// There is none.
    None,
    /// The host has run the same experiment, and the outcome is the same.
    Holds,
    /// The host has run the same experiment, and the outcome or the figure is another.
    Refuted,
    /// The host has not run this experiment. `host verify` does.
    NotChecked,
}

impl ClaimStatus {
    const ALL: [Self; 4] = [Self::None, Self::Holds, Self::Refuted, Self::NotChecked];

    pub const fn name(self) -> &'static str {
        match self {
            Self::None => NONE,
            Self::Holds => "holds",
            Self::Refuted => "refuted",
            Self::NotChecked => "not-checked",
        }
    }
}

/// What a host can measure, in the order of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// The source was parsed and compared with earlier ones.
    Source,
    /// It was compiled.
    Component,
    /// It was run without training.
    DryRun,
    /// It was trained and scored on the search split.
    SearchSplit,
    /// That no prediction reads a later token was proved for all texts.
    CausalityProved,
    /// It was scored on the confirm split, which no selection uses.
    ConfirmSplit,
    /// It was scored on the sealed test split.
    TestSplit,
}

impl Measure {
    pub const ALL: [Self; 7] = [
        Self::Source,
        Self::Component,
        Self::DryRun,
        Self::SearchSplit,
        Self::CausalityProved,
        Self::ConfirmSplit,
        Self::TestSplit,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Component => "component",
            Self::DryRun => "dry-run",
            Self::SearchSplit => "search-split",
            Self::CausalityProved => "causality-proved",
            Self::ConfirmSplit => "confirm-split",
            Self::TestSplit => "test-split",
        }
    }
}

/// A figure with four digits after the point: each exact score would tell more about the held-out text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounded(f64);

impl Rounded {
    /// `None` for what is not a number.
    pub fn new(figure: f64) -> Option<Self> {
        // As its text says it, so that a figure is what it reads as.
        format!("{figure:.4}").parse().ok()
    }

    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Text that does not read as a field of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(&'static str);

impl FromStr for Status {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let all = Ending::ALL.into_iter().map(Self::Tried).chain([Self::OtherTask]);
        all.into_iter().find(|status| status.name() == text).ok_or(ParseError("no such status"))
    }
}

impl FromStr for ClaimStatus {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Self::ALL.into_iter().find(|status| status.name() == text);
        known.ok_or(ParseError("`none`, `holds`, `refuted` or `not-checked` is expected"))
    }
}

impl FromStr for Rounded {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let figure = text.parse().ok().filter(|figure: &f64| figure.is_finite());
        figure.map(Self).ok_or(ParseError("a number with four digits after the point is expected"))
    }
}

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.0)
    }
}

/// Names of measures, with spaces between them.
fn list(measures: impl Iterator<Item = Measure>) -> String {
    let names: Vec<&str> = measures.map(Measure::name).collect();
    if names.is_empty() { NONE.into() } else { names.join(" ") }
}

impl Form for Receipt {
    const PURPOSE: Purpose = Purpose::Receipt;
    const MAX_BYTES: usize = MAX_HEAD_BYTES;

    fn write(&self, to: &mut Writer) {
        to.field("submission", self.submission);
        to.field("author", self.author);
        to.field("task", self.task);
        to.field("status", self.status.name());
        to.option("trial", self.trial);
        to.field("reason", &self.reason);
        to.option("bpb", self.bpb);
        to.option("delta", self.delta);
        to.option("p-better", self.p_better);
        to.option("random-seeds", self.pairs);
        to.option("source-key", self.source_key);
        to.option("component-key", self.component_key);
        to.option("behaviour-key", self.behaviour_key);
        to.evidence(self.evidence.as_ref());
        to.field("claim", self.claim.name());
        to.field("measured", list(self.measured.iter().copied()));
        to.field("not-measured", list(Measure::ALL.into_iter().filter(|measure| !self.measured.contains(measure))));
        to.field("answered-unix-ms", self.answered_unix_ms);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FormError> {
        let submission = from.value("submission")?;
        let author = from.value("author")?;
        let task = from.value("task")?;
        let status = from.value("status")?;
        let trial = from.option("trial")?;
        let reason = from.value("reason")?;
        let (bpb, delta) = (from.option("bpb")?, from.option("delta")?);
        let (p_better, pairs) = (from.option("p-better")?, from.option("random-seeds")?);
        let (source_key, component_key) = (from.option("source-key")?, from.option("component-key")?);
        let behaviour_key = from.option("behaviour-key")?;
        let evidence = from.evidence()?;
        let claim = from.value("claim")?;
        let measured = measures(from)?;
        // It follows from what was measured, and the spelling is compared with that.
        from.field("not-measured")?;
        let answered_unix_ms = from.value("answered-unix-ms")?;
        if let Some(evidence) = &evidence {
            if evidence.manifest.task != task {
                return Err(from.wrong("task", "the experiment is of another task"));
            }
            if component_key != Some(evidence.manifest.component) {
                return Err(from.wrong("component-key", "the experiment ran another component"));
            }
        }
        let untrained = matches!(status, Status::OtherTask | Status::Tried(Ending::Refused));
        if untrained && (evidence.is_some() || bpb.is_some()) {
            return Err(from.wrong("status", "what was not trained has no experiment and no figure"));
        }
        Ok(Self {
            submission,
            author,
            task,
            status,
            trial,
            reason,
            bpb,
            delta,
            p_better,
            pairs,
            source_key,
            component_key,
            behaviour_key,
            evidence,
            claim,
            measured,
            answered_unix_ms,
        })
    }
}

fn measures(from: &mut Reader<'_>) -> Result<BTreeSet<Measure>, FormError> {
    let names = match from.field("measured")? {
        NONE => return Ok(BTreeSet::new()),
        names => names.split(' '),
    };
    let of = |name: &str| Measure::ALL.into_iter().find(|measure| measure.name() == name);
    let found: Option<BTreeSet<Measure>> = names.map(of).collect();
    found.ok_or_else(|| from.wrong("measured", "one of the names is not known"))
}
