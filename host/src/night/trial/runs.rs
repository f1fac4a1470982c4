//! Runs the experiments of a trial in the order in which they are needed. With several jobs, it runs experiments ahead,
//! before their results are needed. An unneeded result stays in the store and belongs to no trial, so decisions do not
//! depend on the number of jobs. A fleet is asked for as many runs ahead as it has room for, and those that turn out
//! not to be needed are taken back.

use crate::experiment::away::Awaited;
use crate::experiment::batch::Run;
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::fleet::{Fleet, News};
use crate::experiment::runner::Experiment;
use crate::night::event::Event;
use crate::night::progress::BatchProgress;
use crate::night::stop::Stop;
use std::collections::VecDeque;

pub struct Runs<'a> {
    bench: &'a Bench,
    stop: &'a Stop,
    /// Role and experiment of each planned run.
    ahead: VecDeque<(String, Experiment<'a>)>,
    ended: VecDeque<Run>,
    /// What a fleet was asked for, with its role.
    awaited: VecDeque<(String, Awaited)>,
    /// Number of runs, of those ahead, beside which no later one starts.
    alone: usize,
}

impl<'a> Runs<'a> {
    /// Plans the runs. None of them starts yet.
    pub fn new(bench: &'a Bench, stop: &'a Stop, plan: impl IntoIterator<Item = (String, Experiment<'a>)>) -> Self {
        Self {
            bench,
            stop,
            ahead: plan.into_iter().collect(),
            ended: VecDeque::new(),
            awaited: VecDeque::new(),
            alone: 0,
        }
    }

    /// Starts no further run beside the first `count`. Most often they are all that is needed.
    #[must_use]
    pub fn first_alone(mut self, count: usize) -> Self {
        self.alone = count;
        self
    }

    /// The run of the next experiment; `None` after the last one.
    pub fn next(&mut self, tell: &mut dyn FnMut(Event)) -> Result<Option<Run>, BenchError> {
        if let Some(fleet) = &self.bench.fleet {
            return self.next_of(&**fleet, tell);
        }
        if self.ended.is_empty() {
            let most = self.ahead.len().min(self.bench.jobs.get());
            let most = if self.alone > 0 { most.min(self.alone) } else { most };
            self.alone = self.alone.saturating_sub(most);
            let batch: Vec<_> = self.ahead.drain(..most).collect();
            let experiments: Vec<Experiment> = batch.iter().map(|(_, experiment)| *experiment).collect();
            let mut batch_progress = BatchProgress::start(batch.into_iter().map(|(role, _)| role));
            let mut watch = |index, progress: &_| batch_progress.hear(index, progress, tell);
            self.ended = self.bench.run(&experiments, &mut watch, &|| self.stop.now())?.into();
        }
        Ok(self.ended.pop_front())
    }

    /// The next run, from a fleet.
    fn next_of(&mut self, fleet: &dyn Fleet, tell: &mut dyn FnMut(Event)) -> Result<Option<Run>, BenchError> {
        while self.awaited.len() < fleet.room().max(1)
            && let Some((role, experiment)) = self.ahead.pop_front()
        {
            self.awaited.push_back((role, self.bench.ask(fleet, &experiment)?));
        }
        let Some((role, awaited)) = self.awaited.pop_front() else { return Ok(None) };
        let mut progress = BatchProgress::start(std::iter::once(role));
        let mut say = |news: News| match news {
            News::Progress(said) => progress.hear(0, said, tell),
            News::Note(text) => tell(Event::Note { text }),
        };
        self.bench.take(awaited, &mut say, &|| self.stop.now()).map(Some)
    }
}

/// Tells the notes about other machines.
pub fn told(tell: &mut dyn FnMut(Event)) -> impl FnMut(News) {
    |news| {
        if let News::Note(text) = news {
            tell(Event::Note { text });
        }
    }
}
