//! Prints the events of a night as lines or JSON, with a progress bar on a terminal.

use crate::cli::out::{self, eprintln, println};
use crate::cli::text;
use indicatif::{ProgressBar, ProgressStyle};
use nightlab::night::event::{Baseline, Event, Standing, Summary, TrialLine};
use nightlab::record::ending::Ending;
use nightlab::record::facts;
use nightlab::record::spend::dollars;
use nightlab::record::trial::Findings;
use nightlab::system::sanitize::printable;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Without a terminal, progress is printed at this interval, not for each step.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

pub struct NightView {
    json: bool,
    policy: String,
    store: PathBuf,
    bar: Option<ProgressBar>,
    current: String,
    header_printed: bool,
    plain_clock: Instant,
}

impl NightView {
    /// Prints JSON lines or text. Draws a bar only if standard error is a terminal.
    pub fn new(json: bool, policy: &str, store: &Path) -> Self {
        let bar = (!json && out::shows_bars()).then(|| {
            let bar = ProgressBar::new(1000);
            bar.set_style(
                ProgressStyle::with_template("{bar:24} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self {
            json,
            policy: policy.to_owned(),
            store: store.to_owned(),
            bar,
            current: String::new(),
            header_printed: false,
            plain_clock: Instant::now(),
        }
    }

    /// Shows an event of a command whose results are its output: with `--json`, notes alone, on standard error.
    pub fn show_beside_results(&mut self, event: &Event, json: bool) {
        match (json, event) {
            (true, Event::Note { text } | Event::Fault { text }) => eprintln!("{}", printable(text)),
            (true, _) => {}
            (false, event) => self.show(event),
        }
    }

    pub fn show(&mut self, event: &Event) {
        if self.json {
            if !matches!(event, Event::Progress { .. }) || self.is_time() {
                text::json_line(event);
            }
            return;
        }
        match event {
            Event::Setup { what, text } => self.line(&format!("{what:<16} {}", printable(text))),
            // Further lines may be untrusted text. The prefix keeps them apart from the host's own lines.
            Event::Note { text } | Event::Fault { text } => self.line(&printable(text).replace('\n', "\n  | ")),
            Event::Started { number, description } => {
                self.current =
                    if *number == 0 { printable(description) } else { format!("#{number} {}", printable(description)) };
                if let Some(bar) = &self.bar {
                    bar.set_position(0);
                    bar.set_message(self.current.clone());
                }
            }
            Event::Progress { role, progress, steps, loss, seconds_left, at_once } => {
                let loss = loss.map(|loss| format!("  loss {loss:.3}")).unwrap_or_default();
                let left = seconds_left.map(|s| format!("  {} left", text::duration(s))).unwrap_or_default();
                let others = if *at_once > 1 { format!("{at_once} at once, the slowest: ") } else { String::new() };
                self.progress(*progress, &format!("{others}{role}"), &format!("step {steps}{loss}{left}"));
            }
            Event::Seed { seeds, most, delta, p_better } => {
                let sign = if *delta < 0.0 { "−" } else { "+" };
                self.line(&format!(
                    "     … {sign}{:.4} on {seeds} of at most {most} random seeds, P(better) {p_better:.3}: one more",
                    delta.abs()
                ));
            }
            Event::Baseline(baseline) => self.line(&baseline_line(baseline)),
            Event::Trial(trial) => self.trial(trial),
            Event::Standing(standing) => self.standing(standing),
            Event::Summary(summary) => self.summary(summary),
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    fn progress(&mut self, progress: f64, role: &str, figures: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position((progress.clamp(0.0, 1.0) * 1000.0) as u64);
            bar.set_message(format!("{}  {role}  {figures}", self.current));
        } else if self.is_time() {
            self.line(&format!("     … {}  {role}  {:.0}%  {figures}", self.current, progress * 100.0));
        }
    }

    /// Whether the interval since the last report is over. If so, a new interval starts.
    fn is_time(&mut self) -> bool {
        let is_time = self.plain_clock.elapsed() >= PLAIN_INTERVAL;
        if is_time {
            self.plain_clock = Instant::now();
        }
        is_time
    }

    fn trial(&mut self, trial: &TrialLine) {
        if !self.header_printed {
            self.line(&format!("\n{}", header("at")));
            self.header_printed = true;
        }
        self.line(&trial_line(trial, out::shows_colours()));
    }

    fn standing(&self, s: &Standing) {
        let of = s.of_about.map(|n| format!(" of about {n}")).unwrap_or_default();
        let champion = if s.champion == 0 { "baseline".to_string() } else { format!("#{}", s.champion) };
        let left = s.seconds_left.map(|s| format!(" · {} left", text::duration(s))).unwrap_or_default();
        let line = format!("{}{of} done · champion {champion} {:.4}{left}", s.done, s.champion_bpb);
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None if s.done.is_multiple_of(10) => self.line(&line),
            None => {}
        }
    }

    fn summary(&self, s: &Summary) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        println!();
        for line in text::summary(s, &self.policy, &self.store) {
            println!("{line}");
        }
    }
}

fn baseline_line(b: &Baseline) -> String {
    format!(
        "{:<16} {:.4} bpb ± {:.4} ({} random seeds)      unigram {:.2}  gzip {:.2}  xz {:.2}  bzip2 {:.2}",
        "baseline", b.bpb, b.noise, b.replicas, b.unigram, b.compressors.gzip, b.compressors.xz, b.compressors.bzip2
    )
}

/// The header of a table of trials. `time` names the time column: when a trial ended, or how long it took.
pub fn header(time: &str) -> String {
    format!(
        "  #  {time:>5}     bpb        Δ   n   verdict   proposer   mutation   (Δ: to the champion, means over n random seeds)"
    )
}

/// Formats one trial as a line of the table.
pub fn trial_line(line: &TrialLine, colour: bool) -> String {
    let TrialLine { trial, elapsed_s, repairs, spend } = line;
    let Findings { verdict, reason, bpb, delta, p_better, pairs, .. } = &trial.found;
    let bpb = bpb.map_or_else(|| "   –  ".into(), |b| format!("{b:.4}"));
    let delta =
        delta.map_or_else(|| "   –   ".into(), |d| format!("{}{:.4}", if d < 0.0 { "−" } else { "+" }, d.abs()));
    let seeds = pairs.map_or_else(|| " –".into(), |n| format!("{n:>2}"));
    let mark = if trial.is_kept() { "●" } else { " " };
    let p = p_better.map_or(String::new(), |p| format!("  P(better) {p:.3}"));
    let remarks: String = facts::remarks(trial.found.data_bytes, trial.found.trained_share)
        .iter()
        .map(|remark| format!("  {remark}"))
        .collect();
    let reason = match text::headline(reason) {
        line if line.is_empty() => line,
        line => format!("  {line}"),
    };
    let mended = match repairs {
        0 => String::new(),
        1 if *verdict == Ending::Refused => "  1 repair did not help".into(),
        n if *verdict == Ending::Refused => format!("  {n} repairs did not help"),
        1 => "  mended once".into(),
        n => format!("  mended {n} times"),
    };
    let cost = if spend.micro_dollars > 0 { format!("  {}", dollars(spend.micro_dollars)) } else { String::new() };
    let line = format!(
        "{:>3}  {}  {bpb:>7}  {delta:>7}  {seeds} {mark} {:<8}  {:<9}  {}{p}{remarks}{mended}{cost}{reason}",
        trial.number,
        text::clock(*elapsed_s),
        verdict.name(),
        printable(&trial.proposer),
        printable(&trial.description)
    );
    if colour && trial.is_kept() { format!("\x1b[32m{line}\x1b[0m") } else { line }
}
