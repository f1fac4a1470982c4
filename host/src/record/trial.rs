//! A trial: one mutation, its proposer, and its result. Plain data.

use crate::record::ending::Ending;
use crate::record::key::{BehaviourKey, ComponentKey, ExperimentKey, Hash, SourceKey};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Serialize, Serializer};

/// The operator of what an agent tries over MCP. It is recorded as a proposal, but nobody of the night wrote it.
pub const OUTSIDE: &str = "mcp";

/// A mutation that was tried. `host log --json` shows it in this form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Number within its context, from 1; the baseline is 0.
    pub number: u64,
    /// When it was decided.
    pub unix_ms: i64,
    /// Name of the proposer.
    pub proposer: String,
    /// Number of the trial whose source was changed.
    pub parent: u64,
    /// Number of the champion that it was compared with.
    pub champion: u64,
    /// Its answer in the store, if a proposer of the night wrote it, or an agent over MCP.
    #[serde(skip)]
    pub proposal: Option<i64>,
    /// Blob of the source as proposed.
    #[serde(skip)]
    pub source_blob: Hash,
    /// The author's hypothesis; empty if there is none.
    pub hypothesis: String,
    /// The change, in one line.
    pub description: String,
    /// The kind of change, in the proposer's words.
    pub operator: String,
    /// The results of the trial.
    #[serde(flatten)]
    pub found: Findings,
    /// Whom it is owed to, if a stranger sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit: Option<Credit>,
    /// Milliseconds from the proposal to the verdict.
    pub wall_ms: i64,
}

/// Who sent a mutation, and on what terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credit {
    /// What it came in.
    #[serde(flatten)]
    pub sent: Sent,
    /// The public key of its author.
    pub author: String,
    /// An SPDX expression, if the author gave one.
    pub licence: Option<String>,
    /// Hash of the source that it was made from, if the author said so.
    pub made_from: Option<Hash>,
}

/// The signed text that a mutation came in, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    Submission(Hash),
    /// Of another lab.
    Finding(Hash),
}

impl Sent {
    pub const fn hash(self) -> Hash {
        match self {
            Self::Submission(hash) | Self::Finding(hash) => hash,
        }
    }

    /// `submission` or `finding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submission(_) => "submission",
            Self::Finding(_) => "finding",
        }
    }

    pub fn submission(self) -> Option<Hash> {
        if let Self::Submission(hash) = self { Some(hash) } else { None }
    }

    pub fn finding(self) -> Option<Hash> {
        if let Self::Finding(hash) = self { Some(hash) } else { None }
    }
}

/// The results of a trial. A trial that stopped early has only some of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    pub verdict: Ending,
    /// Why; for a fault, with the guest's line. May be empty, and may hold the guest's own words.
    pub reason: String,
    /// Mean bits per byte over the random seeds on which it met the champion.
    pub bpb: Option<f64>,
    /// Candidate minus champion, the mean over these random seeds. Negative is better.
    pub delta: Option<f64>,
    /// Posterior probability that the candidate is better.
    pub p_better: Option<f64>,
    /// Number of these random seeds. None before version 3 of the store.
    pub pairs: Option<u32>,
    /// Standard deviation of the difference between random seeds, of two or more.
    pub spread: Option<f64>,
    /// Probability of a gain that was assumed before the first run.
    pub prior: Option<f64>,
    /// What was changed of the champion, if both sources parse.
    pub change: Option<ChangeKind>,
    /// Key of the source, if it parses.
    pub source_key: Option<SourceKey>,
    /// Key of the component, if it compiles.
    pub component_key: Option<ComponentKey>,
    /// Key of the behaviour, if it has one.
    pub behaviour_key: Option<BehaviourKey>,
    /// The run on the first random seed, if it has a result.
    pub experiment: Option<ExperimentKey>,
    /// Peak of live tensor bytes, from the dry run.
    pub peak_bytes: Option<u64>,
    /// Bytes of data that the source carries, if it passed the dry run.
    pub data_bytes: Option<u64>,
    /// Training tokens of the first run as a share of the seed guest's; before it ends, as the dry run predicts.
    pub trained_share: Option<f64>,
}

impl Findings {
    /// Findings of a trial that has only a verdict.
    pub fn new(verdict: Ending) -> Self {
        Self {
            verdict,
            reason: String::new(),
            bpb: None,
            delta: None,
            p_better: None,
            pairs: None,
            spread: None,
            prior: None,
            change: None,
            source_key: None,
            component_key: None,
            behaviour_key: None,
            experiment: None,
            peak_bytes: None,
            data_bytes: None,
            trained_share: None,
        }
    }
}

impl Trial {
    /// The seed guest of a night as trial 0. It has no proposer and no champion to beat.
    pub fn baseline(source: &str, found: Findings) -> Self {
        Self {
            number: 0,
            unix_ms: 0,
            proposer: String::new(),
            parent: 0,
            champion: 0,
            proposal: None,
            source_blob: Hash::of(source.as_bytes()),
            hypothesis: String::new(),
            description: "baseline".into(),
            operator: String::new(),
            found,
            credit: None,
            wall_ms: 0,
        }
    }

    /// Whether it became the champion.
    pub fn is_kept(&self) -> bool {
        self.found.verdict == Ending::Keep
    }
}

/// What a mutation changes of the champion's source. Gains of different kinds scatter differently over random seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// One literal.
    Constant,
    /// Several literals.
    Constants,
    /// Anything else.
    Structure,
}

impl ChangeKind {
    pub const ALL: [Self; 3] = [Self::Constant, Self::Constants, Self::Structure];

    /// The name in the log and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Constants => "constants",
            Self::Structure => "structure",
        }
    }
}

impl Serialize for ChangeKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl ToSql for ChangeKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for ChangeKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| FromSqlError::Other(format!("a kind of change of another version: {name}").into()))
    }
}
