//! What a page shows, as data. Words of strangers in it are harmless, but for those of the picture, which `svg` looks
//! after: control characters and those that reorder or hide text are written out. Pure.

use crate::night::report::page::clock::Clock;
use crate::night::report::page::edits::{Edit, Line};
use crate::night::report::picture::Picture;
use crate::propose::evolve::known::{Idea, Importance};
use crate::record::ending::Ending;
use crate::record::facts::{LineShare, Share};
use crate::record::key::TaskHash;
use crate::record::spend::Spend;
use crate::record::store::Account;
use serde::Serialize;

/// The report of one night.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub picture: Picture,
    /// What is trained on, and the profile by which it is charged. Scores compare where both and the budget are equal.
    pub task: TaskHash,
    pub profile: String,
    /// When it began and ended, in Unix milliseconds; no end while it is under way, or if it was stopped.
    pub started_unix_ms: i64,
    pub ended_unix_ms: Option<i64>,
    /// The baseline.
    pub baseline: Guest,
    /// The last kept trial; `None` if the champion is the baseline.
    pub champion: Option<Champion>,
    /// The champions from the seed guest on, each made from the one before.
    pub path: Vec<Step>,
    /// The seed guest, the trials of the night, and the champions of earlier nights that led to it.
    pub entries: Vec<Entry>,
    pub search: Search,
    /// When its training runs ran.
    pub clock: Clock,
    /// Text that the champion wrote; empty if there is none.
    pub sample: String,
    /// What the store has lost, or what was left out.
    pub lost: Vec<String>,
}

/// Scores of one guest, in bits per byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Guest {
    /// Mean on the search split over its random seeds.
    pub search: Option<f64>,
    /// Number of these random seeds.
    pub seeds: usize,
    /// On the confirm split.
    pub confirm: Option<f64>,
    /// On the sealed test split.
    pub test: Option<f64>,
    /// Mean logged loss of the last part of training, in nats per token.
    pub train_nats: Option<f64>,
    /// Held-out loss of the same run, in nats per token.
    pub held_out_nats: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Champion {
    pub number: u64,
    pub guest: Guest,
    /// Lines that it changes of the seed guest.
    pub changes: Vec<Line>,
    /// `proved` or `probed`; `None` if it is not known.
    pub causality: Option<&'static str>,
}

/// A champion on the path to the best.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub number: u64,
    /// Lines that it changes of its parent; `None` if one of the sources is lost.
    pub changes: Option<Vec<Line>>,
    pub scores: Guest,
}

/// A trial, or the baseline as number 0. The script of the page reads it in this form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    pub number: u64,
    pub ending: Ending,
    pub proposer: String,
    pub parent: u64,
    /// What it was compared with.
    pub champion: u64,
    pub operator: String,
    pub change: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hypothesis: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub bpb: Option<f64>,
    pub delta: Option<f64>,
    pub p_better: Option<f64>,
    pub pairs: Option<u32>,
    /// Standard deviation of the difference between random seeds.
    pub spread: Option<f64>,
    pub wall_s: f64,
    pub data_bytes: Option<u64>,
    pub peak_bytes: Option<u64>,
    pub trained_share: Option<f64>,
    /// The first digits of its experiment's key.
    pub experiment: Option<String>,
    pub spend: Spend,
    pub repairs: u32,
    /// Predecessor minus trial on random seeds that its keep does not rest on; positive is better.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<f64>,
    /// The source, if it is not given as changes of its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The source as changes of its parent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edits: Option<Vec<Edit>>,
    /// Step and mean logged loss around it, in nats per token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(u64, f64)>,
    pub held_out_nats: Option<f64>,
    /// Share of the budget by class of operation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Share of a training step by line of the source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineShare>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<ExchangeEntry>,
}

/// A training run behind a trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunEntry {
    pub experiment: String,
    pub role: String,
    /// As text, since numbers of scripts have fewer digits.
    pub random_seed: String,
    /// Whether it trained this trial; otherwise it trained what the trial was compared with.
    pub own: bool,
    pub status: String,
    pub bpb: Option<f64>,
}

/// What was sent to a proposer, and what came back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExchangeEntry {
    pub status: String,
    pub request: String,
    pub answer: String,
}

/// What the night tried, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Operators with trials of their own, those with the best mean first.
    pub tried: Vec<Idea>,
    /// Operators without one, the most promising first.
    pub untried: Vec<Idea>,
    /// What constants and switches did, by all trials on the same terms until the night ended.
    pub importance: Importance,
    pub accounts: Vec<Account>,
    /// Kinds of failure and their number, most frequent first.
    pub failures: Vec<(String, u64)>,
    /// Numbers of the trials that came nearest to a keep, the nearest first.
    pub near_misses: Vec<u64>,
    pub repeats: u64,
    /// What the repeats would have taken, by the mean of the trained trials.
    pub saved_s: f64,
}

impl Page {
    pub fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// The entries that are trials of this night.
    pub fn trials(&self) -> impl Iterator<Item = &Entry> {
        let first = self.picture.trials.first().map_or(u64::MAX, |dot| dot.number);
        self.entries.iter().filter(move |entry| entry.number >= first)
    }

    pub fn count(&self, belongs: impl Fn(Ending) -> bool) -> usize {
        self.picture.trials.iter().filter(|dot| belongs(dot.ending)).count()
    }
}
