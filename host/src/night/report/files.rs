//! The files that a person reads after a night: `results.tsv`, `report.md` and the champion's files, all in the store's
//! folder. Each file is written completely and then renamed, so a reader never sees half a file.

use crate::guest::component::Card;
use crate::guest::source::MAX_SOURCE_BYTES;
use crate::night::credits::{Owing, owing};
use crate::night::event::Summary;
use crate::record::causality::Causality;
use crate::record::ending::Ending;
use crate::record::facts;
use crate::record::safetensors::{self, SafeTensorError};
use crate::record::spend::{Spend, dollars};
use crate::record::store::{Account, RungSigns, Store, StoreError};
use crate::record::trial::{Findings, Trial};
use crate::system::atomic_file::{self, WriteError};
use crate::system::sanitize::{cell, one_line};
use crate::system::user_file;
use kernels::session::NamedState;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// The five columns of autoresearch, then the columns of this project.
const COLUMNS: &str = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\ttrial\tverdict\tdelta\tp_better\tproposer\t\
                       parent\texperiment\tseconds\treason\trequests\ttokens\tcost_usd\tdata_bytes\ttrained_share\n";

/// Lines of a failing program's output that are repeated.
const LAST_WORDS: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("cannot write {path}: {source}; nothing stored is harmed, `host log` shows the same")]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write the weights: {0}")]
    Weights(#[from] SafeTensorError),
    #[error("cannot write the data of the page: {0}")]
    Page(#[from] serde_json::Error),
}

/// All trials as a table. The `commit` column holds the start of the experiment key, which `host show` accepts.
/// `spends` maps proposals to their cost; proposals without cost are absent.
pub fn results_tsv(trials: &[&Trial], spends: &BTreeMap<i64, Spend>) -> String {
    let mut out = COLUMNS.to_string();
    for t in trials {
        let Findings { verdict, reason, bpb, delta, p_better, experiment, peak_bytes, data_bytes, .. } = &t.found;
        let status = match verdict {
            Ending::Keep => "keep",
            Ending::Discard | Ending::Noise | Ending::Screened | Ending::Same => "discard",
            Ending::Refused | Ending::Failed | Ending::HostFault => "crash",
        };
        let whole = experiment.map_or(String::new(), |key| key.to_string());
        let commit = whole.get(..7).unwrap_or("-");
        // A crash has no memory and no score. autoresearch writes 0 for both.
        let memory = peak_bytes.unwrap_or(0) as f64 / 1e9;
        let bpb = bpb.unwrap_or(0.0);
        let delta = delta.map_or(String::new(), |delta| format!("{delta:.6}"));
        let p = p_better.map_or(String::new(), |p| format!("{p:.4}"));
        let spend = t.proposal.and_then(|id| spends.get(&id)).copied().unwrap_or_default();
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "{commit}\t{bpb:.6}\t{memory:.3}\t{status}\t{}\t{}\t{}\t{delta}\t{p}\t{}\t{}\t{whole}\t{:.1}\t{}\t{}\t{}\t{:.6}\t{}\t{}",
            cell(&one_line(&t.description)),
            t.number,
            verdict.name(),
            cell(&one_line(&t.proposer)),
            t.parent,
            t.wall_ms as f64 / 1e3,
            cell(&one_line(reason)),
            spend.requests,
            spend.tokens(),
            spend.micro_dollars as f64 / 1e6,
            data_bytes.map_or(String::new(), |bytes| bytes.to_string()),
            t.found.trained_share.map_or(String::new(), |share| format!("{share:.4}")),
        );
    }
    out
}

/// The report of a night, as Markdown.
pub fn report_md(summary: &Summary, trials: &[&Trial], owed: &[Owing]) -> String {
    let mut out = String::from("# The night\n\n");
    let b = &summary.baseline;
    let _ = writeln!(
        out,
        "Baseline {:.4} bits per byte ± {:.4} over {} random seeds. On the same bytes, of which they \
         know no others, the unigram distribution reaches {:.2}, gzip {:.2}, xz {:.2}, bzip2 {:.2}.\n",
        b.bpb, b.noise, b.replicas, b.unigram, b.compressors.gzip, b.compressors.xz, b.compressors.bzip2
    );
    if summary.champion == 0 {
        out.push_str("No gain was proven: the champion is the baseline.\n\n");
    } else {
        let _ = writeln!(
            out,
            "Champion: trial #{} ({}), {:.4} on the split it was selected on.\n",
            summary.champion,
            escape(&summary.champion_description),
            summary.champion_bpb
        );
    }
    if let Some(causality) = summary.champion_causality {
        let meaning = match causality {
            Causality::Proved => "proved for all texts, from its operations",
            Causality::Probed => "probed on the scored text, since it could not be proved",
        };
        let _ = writeln!(out, "That it reads no later token and no other chunk is {meaning} (causal: {causality}).\n");
    }
    if let Some((baseline, champion)) = summary.test_bpb {
        let _ = writeln!(
            out,
            "Sealed test split: champion {champion:.4}, baseline {baseline:.4} (scores read from it so far: {}).\n",
            summary.test_reads
        );
    }
    if summary.rechecks > 0 {
        let (held, all) = (summary.rechecks_held, summary.rechecks);
        let _ = writeln!(
            out,
            "Kept mutations met their predecessors again on random seeds that no keep rests on: better {held} times of \
             {all}.\n"
        );
    }
    for RungSigns { operator, agreed, all } in &summary.rungs {
        let operator = escape(operator);
        let _ = writeln!(
            out,
            "Of what passed, shorter runs had the sign of the whole one: {operator}, {agreed} of {all}.\n"
        );
    }
    proposers(&mut out, &summary.proposers);
    section(&mut out, "Kept", trials, |ending| ending == Ending::Keep);
    credits(&mut out, owed);
    section(&mut out, "No gain proven", trials, |ending| ending == Ending::Noise);
    section(&mut out, "Screened, not judged", trials, |ending| ending == Ending::Screened);
    section(&mut out, "Worse", trials, |ending| ending == Ending::Discard);
    section(&mut out, "Failed or refused", trials, Ending::is_failure);
    if !summary.sample.is_empty() {
        let _ = writeln!(out, "## The champion writes\n");
        for line in summary.sample.lines() {
            let _ = writeln!(out, "    {}", one_line(line));
        }
    }
    out
}

/// What each proposer did and cost: a row of column names, then one row for each proposer.
pub fn account_rows(accounts: &[Account]) -> Vec<[String; 10]> {
    let names = [
        "proposer",
        "proposed",
        "lost to errors",
        "saved by repair",
        "repeats",
        "kept",
        "gain",
        "requests",
        "tokens",
        "cost",
    ];
    let row = |a: &Account| {
        let counts = [a.proposed, a.lost, a.mended, a.repeats, a.kept].map(|count| count.to_string());
        let [proposed, lost, mended, repeats, kept] = counts;
        // Only a damaged record has a gain that is not finite.
        let gain = if a.gain.is_finite() { format!("{:.4}", a.gain) } else { "–".into() };
        let requests = a.spend.requests.to_string();
        let (tokens, cost) = (a.spend.tokens().to_string(), dollars(a.spend.micro_dollars));
        [a.proposer.clone(), proposed, lost, mended, repeats, kept, gain, requests, tokens, cost]
    };
    [names.map(String::from)].into_iter().chain(accounts.iter().map(row)).collect()
}

/// One line for each failure of a proposer and for each reason why a proposer stopped early.
pub fn troubles(accounts: &[Account]) -> Vec<String> {
    let mut lines = Vec::new();
    for account in accounts {
        let who = &account.proposer;
        if let Some(why) = &account.failure {
            let why = in_one_line(why);
            lines.push(match account.unanswered {
                0 => format!("{who}: the last answer that was lost: {why}"),
                1 => format!("{who}: no answer in 1 turn; the last failure: {why}"),
                turns => format!("{who}: no answer in {turns} turns; the last failure: {why}"),
            });
        }
        lines.extend(account.stopped.iter().map(|why| format!("{who}: {}", in_one_line(why))));
    }
    lines
}

/// A failure with the last lines that a program said, which are where the cause is.
fn in_one_line(why: &str) -> String {
    let mut lines = why.lines();
    let first = lines.next().unwrap_or_default();
    let said: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = said.get(said.len().saturating_sub(LAST_WORDS)..).unwrap_or_default();
    [first, &last.join(" | ")].join(" ").trim_end().to_owned()
}

/// Writes the table of the proposers: proposals, cost and gain.
fn proposers(out: &mut String, accounts: &[Account]) {
    if accounts.is_empty() {
        return;
    }
    out.push_str("## Proposers\n\n");
    for (i, row) in account_rows(accounts).iter().enumerate() {
        let _ = writeln!(out, "| {} |", row.each_ref().map(|cell| escape(cell)).join(" | "));
        if i == 0 {
            let _ = writeln!(out, "|{}", "---|".repeat(row.len()));
        }
    }
    out.push('\n');
    for line in troubles(accounts) {
        let _ = writeln!(out, "{}\n", escape(&line));
    }
}

fn section(out: &mut String, title: &str, trials: &[&Trial], belongs: impl Fn(Ending) -> bool) {
    let rows: Vec<_> = trials.iter().filter(|t| belongs(t.found.verdict)).collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "## {title}\n\n| # | bpb | Δ | seeds | P(better) | mutation | why | experiment |\n|---|---|---|---|---|---|---|---|"
    );
    for t in rows {
        let number = |x: Option<f64>, digits: usize| x.map_or("–".into(), |x| format!("{x:.digits$}"));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            t.number,
            number(t.found.bpb, 4),
            number(t.found.delta, 4),
            t.found.pairs.map_or("–".into(), |pairs| pairs.to_string()),
            number(t.found.p_better, 3),
            escape(&t.description),
            escape(&why(&t.found)),
            t.found.experiment.map_or("–".into(), |key| key.short())
        );
    }
    out.push('\n');
}

/// Whom the champion is owed to.
fn credits(out: &mut String, owed: &[Owing]) {
    if owed.is_empty() {
        return;
    }
    out.push_str("## Credits\n\nThe champion goes back to what these people sent:\n\n");
    for owing in owed {
        let (number, hypothesis) = (owing.trial.number, escape(&owing.trial.hypothesis));
        let _ = writeln!(out, "- #{number}, {hypothesis}, by the {}", escape(&owing.words()));
        for before in owing.words_before() {
            let _ = writeln!(out, "  - which goes back to: {}", escape(&before));
        }
    }
    out.push('\n');
}

/// The reason, and what else a reader should know about the guest.
fn why(found: &Findings) -> String {
    let reason = Some(found.reason.clone()).filter(|reason| !reason.is_empty());
    reason.into_iter().chain(facts::remarks(found.data_bytes, found.trained_share)).collect::<Vec<_>>().join("; ")
}

/// Escapes text so that it neither breaks a table nor becomes markup.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        match c {
            '|' | '<' | '>' | '`' | '*' | '_' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

pub fn write_results(store: &Store, trials: &[&Trial]) -> Result<(), ReportError> {
    replace(&store.dir().join("results.tsv"), results_tsv(trials, &store.spends()?).as_bytes())
}

/// What the folder `champion/` holds.
pub struct ChampionFiles<'a> {
    /// Or the card of a component.
    pub source: &'a str,
    pub component: &'a [u8],
    /// Its model; `None` if there is none for now.
    pub model: Option<&'a NamedState>,
}

/// Names of the champion's text in its folder: a source, and the card of a component.
const TEXTS: [&str; 2] = ["train.rs", "card.txt"];

/// What the champion wrote.
const SAMPLE: &str = "sample.txt";
/// Longest sample that is read.
const MOST_SAMPLE_BYTES: u64 = 64 << 10;

/// What the guest of this text wrote, if it is the champion of the folder.
pub fn sample(store: &Store, text: &str) -> Option<String> {
    let is_shown =
        user_file::read(&champion_text(store, text), MAX_SOURCE_BYTES as u64).is_ok_and(|shown| shown == text);
    let sample = store.dir().join("champion").join(SAMPLE);
    is_shown.then(|| user_file::read(&sample, MOST_SAMPLE_BYTES).ok())?
}

/// Where the champion's text is written.
pub fn champion_text(store: &Store, text: &str) -> PathBuf {
    let [source, card] = TEXTS;
    store.dir().join("champion").join(if Card::read(text).is_some() { card } else { source })
}

/// Writes `report.md` and the champion's source, component and weights.
pub fn write_report(
    store: &Store,
    summary: &Summary,
    trials: &[&Trial],
    champion: &ChampionFiles,
) -> Result<(), ReportError> {
    let dir = store.dir();
    write_results(store, trials)?;
    let owed = owing(store, summary.champion, trials)?;
    replace(&dir.join("report.md"), report_md(summary, trials, &owed).as_bytes())?;
    let ChampionFiles { source, component, model } = *champion;
    let folder = dir.join("champion");
    std::fs::create_dir_all(&folder).map_err(|source| ReportError::Write { path: folder.clone(), source })?;
    let weights = folder.join("model.safetensors");
    match model {
        Some(model) => replace(&weights, &safetensors::of_state(model)?)?,
        // Those of another champion are worse than none.
        None => remove(&weights)?,
    }
    match summary.sample.as_str() {
        // Of another champion, as the weights.
        "" => remove(&folder.join(SAMPLE))?,
        sample => replace(&folder.join(SAMPLE), sample.as_bytes())?,
    }
    replace(&folder.join("component.wasm"), component)?;
    // The text is last: it tells that the folder is complete.
    let text = champion_text(store, source);
    for other in TEXTS.map(|name| folder.join(name)).iter().filter(|other| **other != text) {
        remove(other)?;
    }
    replace(&text, source.as_bytes())
}

fn remove(path: &Path) -> Result<(), ReportError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| ReportError::Write { path: path.to_owned(), source }),
    }
}

pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    atomic_file::replace(path, &[bytes]).map_err(|WriteError { path, source }| ReportError::Write { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_in_its_cell() {
        assert_eq!(one_line("a\tb\nc\x1b"), "a b c\\u{1b}");
        assert_eq!(escape("a|b<script>"), "a\\|b\\<script\\>");
    }

    #[test]
    fn what_kept_a_proposer_from_proposing_is_said() {
        let failure = Some("the program ended with code 3; it said last:\nno network".to_string());
        let failed = Account { proposer: "command.a".into(), unanswered: 2, failure, ..Account::default() };
        let stopped = Account { proposer: "llm.b".into(), stopped: Some("no credit".into()), ..Account::default() };
        assert_eq!(
            troubles(&[failed, Account::default(), stopped]),
            [
                "command.a: no answer in 2 turns; the last failure: the program ended with code 3; it said last: no network",
                "llm.b: no credit"
            ]
        );
    }

    #[test]
    fn autoresearch_columns_come_first() {
        assert!(results_tsv(&[], &BTreeMap::new()).starts_with("commit\tval_bpb\tmemory_gb\tstatus\tdescription\t"));
    }
}
