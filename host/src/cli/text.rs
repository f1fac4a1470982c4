//! Formats words and figures for people: durations, hashes, escaped text. Untrusted text must pass through
//! [`printable`] before it reaches a terminal.

use crate::cli::out::{self, println};
use indicatif::{ProgressBar, ProgressStyle};
use nightlab::night::event::Summary;
use nightlab::night::report::files;
pub use nightlab::record::facts::duration;
use nightlab::record::store::{Account, ExperimentRecord, RungSigns};
use nightlab::sandbox::Progress;
use nightlab::system::sanitize::{self, printable};
use serde::Serialize;
use std::path::Path;

/// Maximum length of a reason in a table.
const HEADLINE_CHARS: usize = 110;

/// Prints one JSON object as a line.
pub fn json_line(value: &impl Serialize) {
    if let Ok(line) = serde_json::to_string(value) {
        println!("{line}");
    }
}

/// Formats an error with its causes. A cause that repeats is printed once.
pub fn error(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |message, cause| match message {
        message if message.is_empty() => cause,
        message if message.contains(&cause) => message,
        message => format!("{message}: {cause}"),
    })
}

/// Says what went wrong, where programs or people look for it.
pub fn complain(failure: &anyhow::Error, json: bool) {
    let message = error(failure);
    if json && out::failure().is_none() {
        json_line(&serde_json::json!({ "error": message }));
    } else {
        eprintln!("error: {}", printable(&message));
    }
}

/// The first line of a text, shortened for a table.
pub fn headline(text: &str) -> String {
    sanitize::cut(&printable(text.lines().next().unwrap_or_default()), HEADLINE_CHARS, "…")
}

/// Minutes and seconds since the night began, with hours if needed.
pub fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    if s < 3600 {
        format!("{:>5}", format!("{:02}:{:02}", s / 60, s % 60))
    } else {
        format!("{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60)
    }
}

/// Formats bytes with a unit.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// Formats a number with separated thousands.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// How a command on this store begins, to be pasted into a shell.
pub fn host(store: &Path) -> String {
    match store.to_string_lossy() {
        default if default == ".host" => "host".into(),
        other => format!("host --store {}", sanitize::shell_word(&other)),
    }
}

/// The final lines of a night. `store` is the folder, for the commands that the lines suggest.
pub fn summary(s: &Summary, policy: &str, store: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let verdicts: Vec<String> = s.verdicts.iter().map(|(v, n)| format!("{n} {v}")).collect();
    lines.push(format!(
        "{} in {}: {}{}",
        if s.interrupted { "stopped" } else { "done" },
        duration(s.seconds),
        if verdicts.is_empty() { "no trials".into() } else { verdicts.join(", ") },
        format_args!(" · {} training runs", s.runs)
    ));
    let [source, component, behaviour] = s.repeats;
    if source + component + behaviour > 0 {
        lines.push(format!(
            "repeats stopped: {source} by source key, {component} by component key, {behaviour} by behaviour key"
        ));
    }
    lines.extend(accounts(&s.proposers));
    let b = &s.baseline;
    lines.push(format!(
        "baseline         {:.4} bpb ± {:.4}      unigram {:.2}  gzip {:.2}  xz {:.2}  bzip2 {:.2}",
        b.bpb, b.noise, b.unigram, b.compressors.gzip, b.compressors.xz, b.compressors.bzip2
    ));
    if s.champion == 0 {
        lines.push("champion         the baseline: no gain is proven yet".into());
    } else {
        lines.push(format!(
            "champion         {:.4} bpb, trial #{}: {}",
            s.champion_bpb,
            s.champion,
            printable(&s.champion_description)
        ));
    }
    if let Some((baseline, champion)) = s.test_bpb {
        let times = if s.test_reads == 1 { "once".into() } else { format!("{} times", s.test_reads) };
        let reads = format!("test split read {times}");
        if s.champion == 0 {
            lines.push(format!("sealed test      {champion:.4} ({reads})"));
        } else {
            lines.push(format!("sealed test      champion {champion:.4}, baseline {baseline:.4} ({reads})"));
        }
    }
    if !s.rungs.is_empty() {
        let [agreed, all] =
            [|r: &RungSigns| r.agreed, |r: &RungSigns| r.all].map(|of| s.rungs.iter().map(of).sum::<u64>());
        let each: Vec<String> =
            s.rungs.iter().map(|r| format!("{} {} of {}", printable(&r.operator), r.agreed, r.all)).collect();
        lines.push(format!(
            "shorter runs     {agreed} of {all} that passed had the sign of the whole run: {}",
            each.join(", ")
        ));
    }
    if s.rechecks > 0 {
        lines.push(format!(
            "held again       {} of {} times that a kept mutation met its predecessor on one more random seed",
            s.rechecks_held, s.rechecks
        ));
    }
    if !s.sample.is_empty() {
        lines.push("\nthe champion writes:".into());
        lines.extend(printable(&s.sample).lines().map(|l| format!("  | {l}")));
    }
    let experiment = s.champion_experiment.get(..8).unwrap_or(&s.champion_experiment);
    let host = host(store);
    lines.push(format!("\nnext: {host} show {experiment}      the champion: source, curve, costs"));
    lines.push(format!("      {host} replay {experiment}    prove it, bit for bit"));
    lines.push(match policy {
        "smoke" => format!("      {host} run --policy overnight    a whole night"),
        _ => format!(
            "      {host} log    every trial; {} shows the night",
            printable(&store.join("report.html").to_string_lossy())
        ),
    });
    lines
}

/// What each proposer did and cost. Empty if one free proposer worked alone and without a fault.
pub fn accounts(accounts: &[Account]) -> Vec<String> {
    let quiet =
        |a: &Account| a.spend.requests == 0 && a.lost == 0 && a.faults == 0 && a.unanswered == 0 && a.stopped.is_none();
    if accounts.len() < 2 && accounts.iter().all(quiet) {
        return Vec::new();
    }
    let rows =
        files::account_rows(accounts).into_iter().map(|row| row.map(|cell| printable(&cell))).collect::<Vec<_>>();
    let widths = rows.iter().fold([0; 10], |mut widths: [usize; 10], row| {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
        widths
    });
    let line = |row: &[String; 10]| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells =
            cells.map(|(i, (cell, &width))| if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).chain(files::troubles(accounts).iter().map(|line| printable(line))).collect()
}

/// Describes the result of a replay.
pub fn replay(r: &nightlab::experiment::replay::Replay) -> Vec<String> {
    let took = duration(r.seconds);
    if !r.identical {
        let what = r.difference.clone().unwrap_or_default();
        return vec![format!("DIFFERENT after {took}: {what}")];
    }
    let mut line = format!("identical after {took}: {} of {} intervals", r.compared, r.intervals);
    if let Some(bpb) = r.val_bpb {
        line += &format!(", val_bpb {bpb:.6}");
    }
    if let Some(state) = &r.state {
        line += &format!(", final state {}", state.get(..12).unwrap_or(state));
    }
    vec![line]
}

/// Says that a model has to be trained again.
pub fn let_go(record: &ExperimentRecord) -> String {
    let seconds = duration(record.wall_ms as f64 / 1e3);
    format!("the weights of {} were let go to save space: training it again, about {seconds}", record.key.short())
}

/// A progress bar of one run, shown only on a terminal.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// `what` names the work. For JSON, nothing is drawn.
    pub fn new(json: bool, what: &str) -> Self {
        let bar = (!json && out::shows_bars()).then(|| ProgressBar::new(1000));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template("{bar:24} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what.to_string());
        }
        Self(bar)
    }

    pub fn progress(&mut self, progress: &Progress) {
        if let (Some(bar), Progress::Step { progress, steps, .. }) = (&self.0, progress) {
            bar.set_position((progress.clamp(0.0, 1.0) * 1000.0) as u64);
            bar.set_message(format!("step {steps}"));
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_command_reaches_the_store_that_it_is_about() {
        assert_eq!(host(Path::new(".host")), "host");
        assert_eq!(host(Path::new("/a/b")), "host --store /a/b");
        assert_eq!(host(Path::new("it's mine; $HOME")), "host --store 'it'\\''s mine; $HOME'");
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(duration(75.4), "1 min 15 s");
        assert_eq!(duration(3700.0), "1 h 01 min");
        assert_eq!(count(1234567), "1,234,567");
        assert_eq!(bytes(5_000_000), "5.0 MB");
    }
}
