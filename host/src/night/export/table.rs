//! Tables of trials, runs and curves, as CSV with a line of names (RFC 4180).

use crate::night::export::error::ExportError;
use crate::night::export::past::{Keep, Past, Run};
use crate::record::outcome::Status;
use crate::record::trial::{Findings, Trial};
use crate::system::atomic_file::{self, WriteError};
use crate::system::sanitize::one_line;
use std::path::{Path, PathBuf};

const TRIALS: [&str; 21] = [
    "trial",
    "unix_ms",
    "proposer",
    "operator",
    "description",
    "hypothesis",
    "verdict",
    "reason",
    "bpb",
    "delta",
    "p_better",
    "random_seeds",
    "parent",
    "champion",
    "experiment",
    "peak_bytes",
    "author",
    "licence",
    "wall_ms",
    "sent_as",
    "goes_back_to",
];
const RUNS: [&str; 12] = [
    "experiment",
    "trial",
    "role",
    "random_seed",
    "status",
    "bpb",
    "steps",
    "tokens",
    "flops",
    "peak_bytes",
    "unix_ms",
    "wall_ms",
];
const CURVES: [&str; 4] = ["experiment", "step", "key", "value"];

/// Writes `trials.csv`, `runs.csv` and `curves.csv` into a folder. Strangers' text is one line in each cell.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, past: &Past) -> Result<Vec<PathBuf>, ExportError> {
    let trials = past.trials.iter().map(|one| trial(one, &past.keeps));
    let runs = past.runs.iter().map(run);
    let curves = past.runs.iter().flat_map(|run| {
        let key = run.record.key.to_string();
        let row = move |point: &kernels::session::LogPoint| {
            vec![key.clone(), point.step.to_string(), safe(&point.key), point.value.to_string()]
        };
        run.outcome.curve.iter().map(row)
    });
    std::fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.into(), source })?;
    Ok(vec![
        table(folder.join("trials.csv"), &TRIALS, trials)?,
        table(folder.join("runs.csv"), &RUNS, runs)?,
        table(folder.join("curves.csv"), &CURVES, curves)?,
    ])
}

fn table(path: PathBuf, names: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<PathBuf, ExportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(names)?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| WriteError { path: path.clone(), source: error.into_error() })?;
    atomic_file::replace(&path, &[&bytes])?;
    Ok(path)
}

fn trial(trial: &Trial, keeps: &[Keep]) -> Vec<String> {
    let Trial { number, unix_ms, proposer, operator, description, hypothesis, parent, champion, wall_ms, .. } = trial;
    let Findings { verdict, reason, bpb, delta, p_better, pairs, experiment, peak_bytes, .. } = &trial.found;
    let credit = trial.credit.as_ref();
    let keep = keeps.iter().find(|keep| keep.trial.number == *number);
    vec![
        number.to_string(),
        unix_ms.to_string(),
        safe(proposer),
        safe(operator),
        safe(description),
        safe(hypothesis),
        verdict.name().into(),
        safe(reason),
        maybe(bpb.as_ref()),
        maybe(delta.as_ref()),
        maybe(p_better.as_ref()),
        maybe(pairs.as_ref()),
        parent.to_string(),
        champion.to_string(),
        maybe(experiment.as_ref()),
        maybe(peak_bytes.as_ref()),
        safe(credit.map_or("", |credit| &credit.author)),
        safe(credit.and_then(|credit| credit.licence.as_deref()).unwrap_or_default()),
        wall_ms.to_string(),
        credit.map(|credit| format!("{} {}", credit.sent.name(), credit.sent.hash())).unwrap_or_default(),
        safe(&keep.map(|keep| keep.before.join("; ")).unwrap_or_default()),
    ]
}

fn run(run: &Run) -> Vec<String> {
    let Run { trial, role, record, outcome } = run;
    let bpb = outcome.score.as_ref().filter(|_| outcome.status == Status::Completed).map(|score| score.bpb);
    vec![
        record.key.to_string(),
        trial.to_string(),
        safe(role),
        record.manifest.random_seed.to_string(),
        outcome.status.name().into(),
        maybe(bpb.as_ref()),
        outcome.totals.steps.to_string(),
        outcome.totals.tokens.to_string(),
        outcome.totals.flops.to_string(),
        outcome.totals.peak_bytes.to_string(),
        record.finished_unix_ms.to_string(),
        record.wall_ms.to_string(),
    ]
}

fn maybe(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A stranger's text as a cell. Spreadsheets execute cells that begin like a formula, so those get a quote before.
fn safe(text: &str) -> String {
    let text = one_line(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}
