//! How a run's progress is told: with the time left, now and then. Reads the clock; nothing of it enters a result.

use super::event::Event;
use crate::sandbox::Progress;
use std::time::{Duration, Instant};

/// Turns progress into events with the time left, at most a few a second.
#[derive(Default)]
pub struct RunClock {
    role: String,
    started: Option<Instant>,
    told: Option<Instant>,
}

impl RunClock {
    /// One report of a run's progress; `role` says what the run is for.
    pub fn tell(&mut self, role: &str, progress: &Progress, tell: &mut dyn FnMut(Event)) {
        let Progress::Step { progress, steps, loss } = progress else { return };
        let now = Instant::now();
        if self.role != role {
            self.role = role.into();
            self.started = Some(now);
            self.told = None;
        }
        if self.told.is_some_and(|told| now.duration_since(told) < Duration::from_millis(200)) {
            return;
        }
        self.told = Some(now);
        let elapsed = self.started.map_or(0.0, |started| now.duration_since(started).as_secs_f64());
        let seconds_left = (*progress > 0.02).then(|| elapsed * (1.0 - progress).max(0.0) / progress);
        tell(Event::Progress { role: role.into(), progress: *progress, steps: *steps, loss: *loss, seconds_left });
    }
}
