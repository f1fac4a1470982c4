//! Experiments of a night in the order in which they are needed. Where there are jobs to spare they run ahead of whoever
//! asks for them. A result that nobody asks for stays in the store and belongs to no trial: what is decided does not
//! depend on how many run at the same time.

use crate::experiment::batch::Run;
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::runner::Experiment;
use crate::night::clock::RunClock;
use crate::night::event::Event;
use crate::night::stop::Stop;
use std::collections::VecDeque;

/// See the module.
pub struct Runs<'a> {
    bench: &'a Bench,
    stop: &'a Stop,
    /// What a run is for, and what is to be run.
    ahead: VecDeque<(String, Experiment<'a>)>,
    ended: VecDeque<Run>,
}

impl<'a> Runs<'a> {
    /// Runs nothing yet.
    pub fn new(bench: &'a Bench, stop: &'a Stop, plan: impl IntoIterator<Item = (String, Experiment<'a>)>) -> Self {
        Self { bench, stop, ahead: plan.into_iter().collect(), ended: VecDeque::new() }
    }

    /// The next one's run; none after the last.
    pub fn next(&mut self, tell: &mut dyn FnMut(Event)) -> Result<Option<Run>, BenchError> {
        if self.ended.is_empty() {
            let batch: Vec<_> = self.ahead.drain(..self.ahead.len().min(self.bench.jobs.get())).collect();
            let experiments: Vec<Experiment> = batch.iter().map(|(_, experiment)| *experiment).collect();
            let mut clock = RunClock::start(batch.into_iter().map(|(role, _)| role));
            let mut watch = |index, progress: &_| clock.tell(index, progress, tell);
            self.ended = self.bench.run(&experiments, &mut watch, &|| self.stop.now())?.into();
        }
        Ok(self.ended.pop_front())
    }
}
