//! The standing of a night and its end: read the sealed test split, sample text from the champion, write the report.

use crate::data::Split;
use crate::experiment::batch::Run;
use crate::experiment::prepare::Candidate;
use crate::experiment::sample::{self, SampleError, Style};
use crate::guest::source::MAX_SOURCE_BYTES;
use crate::night::error::NightError;
use crate::night::event::{Event, Standing, Summary};
use crate::night::past::{self, PastError};
use crate::night::report::files::{self, ReportError};
use crate::night::report::page::Page;
use crate::night::report::pages;
use crate::night::run::Night;
use crate::night::trial::seeds::first_seed;
use crate::record::outcome::Status;
use crate::record::store::{ExperimentRecord, StoreError};
use crate::record::trial::Trial;
use crate::system::clock::unix_ms;
use crate::system::user_file;
use kernels::session::NamedState;
use std::collections::BTreeMap;
use std::time::Duration;

/// Length of the prompt for the sample at the end of a night, in tokens.
const PROMPT_TOKENS: usize = 32;

/// Why `report.html` was not written.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error("report.html was not written: {0}")]
    Past(#[from] PastError),
    #[error("report.html was not written: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl Night<'_> {
    pub(in crate::night) fn hours_left(&self) -> Option<f64> {
        self.bounds.hours.map(|hours| hours - self.hours())
    }

    pub(in crate::night) fn standing(&self) -> Standing {
        let (decided, trained) = (&self.tally.decided, self.tally.trained);
        let done = decided.len() as u64;
        let mean = decided.iter().map(|(_, wall)| wall.as_secs_f64()).sum::<f64>() / done.max(1) as f64;
        let by_experiments = self.bounds.experiments.map(|n| {
            let per_trained = done as f64 / trained.max(1) as f64;
            n.saturating_sub(trained) as f64 * per_trained * mean
        });
        let by_hours = self.hours_left().map(|hours| hours.max(0.0) * 3600.0);
        let seconds_left = match (by_experiments, by_hours) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Standing {
            done,
            of_about: seconds_left.map(|left| done + (left / mean.max(1e-3)).round() as u64),
            champion: self.champion.trial,
            champion_bpb: self.champion_bpb,
            seconds_left,
        }
    }

    /// Ends this process's part of the night. Reads the sealed test split for champion and baseline, unless it was read
    /// for them before. The night itself is not over if Ctrl-C or a bound of the command line ended it: the same policy
    /// can continue it with the rest of its caps.
    pub fn end(mut self) -> Result<Summary, NightError> {
        let interrupted = self.stop.soon();
        self.answer();
        let seed = first_seed(self.policy);
        let test_bpb = if self.stop.now() { None } else { self.test_patiently(seed)? };
        let record = self.champion_record()?;
        let sample = match &record {
            Some(record) if !self.stop.now() => self.sample(record)?,
            _ => String::new(),
        };
        let summary = self.summary(record.as_ref(), test_bpb, sample)?;
        // A night without decided trials keeps the last report.
        if !self.tally.decided.is_empty() {
            self.write_report(&summary, record.as_ref());
        }
        if !interrupted && self.is_whole() {
            self.bench.store.end_night(self.id, unix_ms())?;
        }
        if !self.tally.decided.is_empty() {
            self.write_page();
        }
        (self.tell)(Event::Summary(Box::new(summary.clone())));
        Ok(summary)
    }

    /// The results so far. `record` is the champion's run; `test_bpb` holds the scores of baseline and champion on the
    /// sealed test split, if it was read.
    fn summary(
        &self,
        record: Option<&ExperimentRecord>,
        test_bpb: Option<(f64, f64)>,
        sample: String,
    ) -> Result<Summary, NightError> {
        let mut verdicts = BTreeMap::<String, u64>::new();
        for (ending, _) in &self.tally.decided {
            *verdicts.entry(ending.name().into()).or_default() += 1;
        }
        let store = &self.bench.store;
        let rechecks = store.rechecks(&self.context)?;
        let gains: Vec<f64> = rechecks.iter().filter_map(|again| again.gain).collect();
        Ok(Summary {
            verdicts: verdicts.into_iter().collect(),
            repeats: self.tally.repeats,
            runs: self.tally.runs,
            proposers: store.accounts(self.id)?,
            baseline: self.baseline_figures.clone(),
            champion: self.champion.trial,
            champion_description: self.champion.description.clone(),
            champion_bpb: self.champion_bpb,
            test_bpb,
            test_reads: store.count_scores(&self.bench.task.hash(), Split::Test.name())?,
            champion_causality: record.and_then(|record| record.evaluation).map(|evaluation| evaluation.causality),
            champion_experiment: record.map(|record| record.key.to_string()).unwrap_or_default(),
            rechecks: gains.len() as u64,
            rechecks_held: gains.iter().filter(|gain| **gain > 0.0).count() as u64,
            rungs: store.rung_signs(&self.context)?,
            sample,
            seconds: self.started.elapsed().as_secs_f64(),
            interrupted: self.stop.soon(),
        })
    }

    /// The champion's run in the store, whose model is read to see that it is intact.
    fn champion_record(&self) -> Result<Option<ExperimentRecord>, NightError> {
        let run = self.finished(&self.champion.candidate, first_seed(self.policy))?;
        Ok(run.and_then(|run| run.record))
    }

    /// Writes the files that people read: `results.tsv`, and after a keep `report.md`, `report.html` and `champion/`.
    /// All of it can be made again from the store, so a failure is only said.
    pub(in crate::night) fn publish(&mut self, is_kept: bool) {
        self.answer();
        if !is_kept {
            let written = files::write_results(&self.bench.store, &self.own_trials());
            return self.tell_unwritten(written);
        }
        let report = self.champion_record().and_then(|record| {
            let summary = self.summary(record.as_ref(), None, String::new())?;
            Ok((summary, record))
        });
        match report {
            Ok((summary, record)) => {
                self.write_report(&summary, record.as_ref());
                self.write_page();
            }
            Err(error) => (self.tell)(Event::Note { text: format!("no report for now: {error}") }),
        }
    }

    /// Writes `report.md` and `champion/` if the champion is not the one that they show: a process may have been killed
    /// between its keep and its report.
    pub(in crate::night) fn publish_what_is_missing(&mut self) {
        let text = &self.champion.candidate.text;
        let shown = user_file::read(&files::champion_text(&self.bench.store, text), MAX_SOURCE_BYTES as u64);
        let is_shown = shown.is_ok_and(|shown| shown == *text);
        if self.champion.trial > 0 && !is_shown {
            self.publish(true);
        }
    }

    fn write_report(&mut self, summary: &Summary, record: Option<&ExperimentRecord>) {
        let model = record.and_then(|record| self.champion_model(record));
        let candidate = &self.champion.candidate;
        let component = candidate.component.bytes();
        let files = files::ChampionFiles { source: &candidate.text, component, model: model.as_ref() };
        let written = files::write_report(&self.bench.store, summary, &self.own_trials(), &files);
        self.tell_unwritten(written);
    }

    /// Writes `report.html` and its picture.
    fn write_page(&mut self) {
        let written = self.page();
        self.tell_unwritten(written);
    }

    fn page(&self) -> Result<(), PageError> {
        let store = &self.bench.store;
        let (night, policy) = past::night(store, Some(self.id))?;
        pages::write(store.dir(), &Page::of(store, &night, &policy)?)?;
        Ok(())
    }

    fn champion_model(&mut self, record: &ExperimentRecord) -> Option<NamedState> {
        let component = &self.champion.candidate.component;
        let model = self.bench.model(component, record, &mut |_| {}, &|| self.stop.now());
        let reason = match model {
            Ok(Ok(model)) => return Some(model),
            Ok(Err(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        (self.tell)(Event::Note { text: format!("the champion's weights were not written: {reason}") });
        None
    }

    fn tell_unwritten<E: std::fmt::Display>(&mut self, written: Result<(), E>) {
        if let Err(error) = written {
            (self.tell)(Event::Note { text: error.to_string() });
        }
    }

    /// The trials on this night's terms, oldest first.
    fn own_trials(&self) -> Vec<&Trial> {
        self.memory.past.iter().skip(self.before).map(|past| &past.trial).collect()
    }

    /// Reports a night whose trials came from outside, such as a coding agent's, as if it ended now. Reads the sealed
    /// test split, unless it was read before.
    pub fn seal(mut self) -> Result<Summary, NightError> {
        for record in self.bench.store.trials(Some(self.id))? {
            let wall = Duration::from_millis(record.trial.wall_ms.unsigned_abs());
            self.tally.decided.push((record.trial.found.verdict, wall));
            self.tally.runs += self.bench.store.runs_of(record.id)?.len() as u64;
        }
        self.end()
    }

    /// The run of a candidate in the store; `None` if it was never finished.
    fn finished(&self, candidate: &Candidate, seed: u64) -> Result<Option<Run>, NightError> {
        Ok(self.bench.run_before(&self.bench.manifest(&candidate.component, seed))?)
    }

    /// Reads the sealed test split. A machine that fails for long does not keep the night from ending.
    fn test_patiently(&mut self, seed: u64) -> Result<Option<(f64, f64)>, NightError> {
        match self.patiently(|night| night.test(seed)) {
            Err(fault) if fault.is_of_the_machine() || matches!(fault, NightError::Interrupted) => {
                let text = format!("the test split was not scored: {fault}; `host report --seal` does it later");
                (self.tell)(Event::Note { text });
                Ok(None)
            }
            tested => tested,
        }
    }

    fn test(&mut self, seed: u64) -> Result<Option<(f64, f64)>, NightError> {
        let mut scores = Vec::new();
        let mut contenders = vec![&self.baseline];
        if self.champion.trial != 0 {
            contenders.push(&self.champion);
        }
        for who in contenders {
            let component = &who.candidate.component;
            let Some(run) = self.finished(&who.candidate, seed)? else { return Ok(None) };
            match self.bench.known_score(component, &run, Split::Test, "report", &|| self.stop.now())? {
                Ok(score) => scores.push(score.bpb),
                Err(status @ Status::HostFault { .. }) => return Err(NightError::Machine(status.to_string())),
                Err(status) => {
                    (self.tell)(Event::Note { text: format!("the test split was not scored: {status}") });
                    return Ok(None);
                }
            }
        }
        Ok(scores.first().copied().zip(scores.last().copied()))
    }

    /// Lets the champion continue the beginning of a text: of the first search chunk, unless that is secret.
    fn sample(&mut self, record: &ExperimentRecord) -> Result<String, NightError> {
        let head = self.bench.task.told_beginning(PROMPT_TOKENS);
        let prompt = match self.bench.task.task.tokenizer.decode(head) {
            Ok(prompt) => prompt,
            Err(error) => {
                (self.tell)(Event::Note { text: format!("no sample: {error}") });
                return Ok(String::new());
            }
        };
        let component = &self.champion.candidate.component;
        match sample::sample(self.bench, record, component, (&prompt, &Style::default()), &mut |_| {}) {
            Ok(text) => Ok(format!("{}{text}", String::from_utf8_lossy(&prompt))),
            Err(SampleError::Bench(error)) => Err(error.into()),
            Err(error) => {
                (self.tell)(Event::Note { text: format!("no sample: {error}") });
                Ok(String::new())
            }
        }
    }
}
