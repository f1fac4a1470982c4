//! Reports the progress of experiments that run at the same time: at intervals, the slowest experiment and the time
//! left. Reads the clock; no result depends on it.

use crate::night::event::Event;
use crate::sandbox::Progress;
use std::time::{Duration, Instant};

/// Share of a run after which its speed tells how long the rest takes.
const ENOUGH: f64 = 0.02;

/// Time between two reports.
const INTERVAL: Duration = Duration::from_millis(200);

/// Turns the progress of a batch into events.
pub struct BatchProgress {
    started: Instant,
    told: Option<Instant>,
    runs: Vec<(String, Option<Step>)>,
}

/// Progress of one experiment.
#[derive(Clone, Copy)]
struct Step {
    progress: f64,
    steps: u64,
    loss: Option<f64>,
}

impl BatchProgress {
    /// Starts the clock for a batch. A role says what a run is for.
    pub fn start(roles: impl Iterator<Item = String>) -> Self {
        Self { started: Instant::now(), told: None, runs: roles.map(|role| (role, None)).collect() }
    }

    /// Takes progress of one experiment, given by its index in the batch.
    pub fn hear(&mut self, index: usize, progress: &Progress, tell: &mut dyn FnMut(Event)) {
        let &Progress::Step { progress, steps, loss } = progress else { return };
        if let Some((_, step)) = self.runs.get_mut(index) {
            *step = Some(Step { progress, steps, loss });
        }
        let now = Instant::now();
        if self.told.is_some_and(|told| now.duration_since(told) < INTERVAL) {
            return;
        }
        let begun = self.runs.iter().filter_map(|(role, step)| step.map(|step| (role, step)));
        let Some((role, Step { progress, steps, loss })) =
            begun.clone().min_by(|(_, a), (_, b)| a.progress.total_cmp(&b.progress))
        else {
            return;
        };
        self.told = Some(now);
        let at_once = begun.filter(|(_, step)| step.progress < 1.0).count().max(1);
        let elapsed = now.duration_since(self.started).as_secs_f64();
        let seconds_left = (progress > ENOUGH).then(|| elapsed * (1.0 - progress).max(0.0) / progress);
        tell(Event::Progress { role: role.clone(), progress, steps, loss, seconds_left, at_once });
    }
}

/// A wait that goes on is reported at this interval.
const WAITING_INTERVAL: Duration = Duration::from_secs(60);

/// When a wait is news: at its first moment, then at intervals.
pub struct Waiting {
    next: Instant,
}

impl Waiting {
    pub fn new(first: Instant) -> Self {
        Self { next: first }
    }

    /// Whether the wait is to be reported now. If so, a new interval starts.
    pub fn is_news(&mut self, now: Instant) -> bool {
        let is_news = now >= self.next;
        if is_news {
            self.next = now + WAITING_INTERVAL;
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_is_told_and_how_many_there_are() {
        let mut batch = BatchProgress::start(["one", "two", "known already"].map(String::from).into_iter());
        let mut heard = Vec::new();
        for (index, progress) in [(0, 0.5), (1, 0.25), (0, 1.0)] {
            batch.told = None;
            let step = Progress::Step { progress, steps: 3, loss: None };
            batch.hear(index, &step, &mut |event| heard.push(event));
        }
        let heard: Vec<_> = heard
            .into_iter()
            .map(|event| match event {
                Event::Progress { role, progress, at_once, .. } => (role, progress, at_once),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(heard, [("one".into(), 0.5, 1), ("two".into(), 0.25, 2), ("two".into(), 0.25, 1)]);
    }

    #[test]
    fn a_long_wait_is_a_line_a_minute() {
        let start = Instant::now();
        let mut waiting = Waiting::new(start + Duration::from_secs(20));
        let heard = (0..200u64).filter(|&second| waiting.is_news(start + Duration::from_secs(second)));
        assert_eq!(heard.collect::<Vec<_>>(), [20, 80, 140]);
    }
}
