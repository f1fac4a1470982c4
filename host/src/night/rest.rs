//! What a night does when the machine fails: it waits, tries again, and ends after a while. No fault of the machine
//! becomes a verdict. Tells watchers; records nothing.

use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::stop::Stop;
use crate::system::clock::Countdown;
use std::time::Duration;

/// How long a trial for somebody who waits bears a machine that fails.
pub(super) const SHORT_PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Ctrl-C is heard within this time.
const TICK: Duration = Duration::from_millis(50);

/// Work that tells watchers, and can begin again.
type Work<'a, T> = dyn FnMut(&mut dyn FnMut(Event)) -> Result<T, NightError> + 'a;

/// Counts how long the machine has failed without a success in between.
pub(super) struct Rest {
    /// Longest time before the night ends.
    patience: Duration,
    /// What is left of it. A pause of the process uses up none.
    left: Countdown,
    pause: Duration,
    told: String,
}

impl Rest {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, left: Countdown::new(patience), pause: FIRST_PAUSE, told: String::new() }
    }

    /// Something succeeded.
    pub(super) fn end(&mut self) {
        *self = Self::new(self.patience);
    }

    /// Pauses before the next try. Returns false if there should be none: the user stops the night, or its patience is
    /// at an end.
    pub(super) fn wait(&mut self, fault: &NightError, stop: &Stop, tell: &mut dyn FnMut(Event)) -> bool {
        if stop.soon() || self.left.is_over() {
            return false;
        }
        let text = fault.to_string();
        if text != self.told {
            let at_most = match self.patience.as_secs() {
                seconds @ 0..120 => format!("{seconds} s"),
                seconds => format!("{} min", seconds / 60),
            };
            tell(Event::Fault { text: format!("waiting, and trying again for up to {at_most}: {text}") });
            self.told = text;
        }
        let mut pause = Countdown::new(self.pause);
        while !pause.is_over() && !self.left.is_over() && !stop.soon() {
            std::thread::sleep(TICK);
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        !stop.soon()
    }
}

impl Rest {
    /// Works until nothing of the machine fails, or until there should be no further try. `work` must be able to begin
    /// again.
    pub(super) fn patiently<T>(
        &mut self,
        stop: &Stop,
        tell: &mut dyn FnMut(Event),
        work: &mut Work<T>,
    ) -> Result<T, NightError> {
        loop {
            if let Some(worked) = self.heed(work(tell), stop, tell) {
                return worked;
            }
        }
    }

    /// The result of some work, or `None` after a pause if the work should begin again.
    pub(super) fn heed<T>(
        &mut self,
        worked: Result<T, NightError>,
        stop: &Stop,
        tell: &mut dyn FnMut(Event),
    ) -> Option<Result<T, NightError>> {
        match worked {
            Err(fault) if fault.is_of_the_machine() => match self.wait(&fault, stop, tell) {
                true => None,
                false if stop.soon() => Some(Err(NightError::Interrupted)),
                false => Some(Err(fault)),
            },
            worked => {
                self.end();
                Some(worked)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> NightError {
        NightError::Machine("no space".into())
    }

    #[test]
    fn a_fault_is_said_once_and_waited_for_until_the_patience_ends() {
        let (mut said, stop) = (Vec::new(), Stop::new());
        let mut rest = Rest::new(Duration::from_millis(150));
        let mut wait = |rest: &mut Rest| rest.wait(&fault(), &stop, &mut |event| said.push(event));
        assert!(wait(&mut rest));
        assert!(!wait(&mut rest), "the patience is used up");
        rest.end();
        assert!(wait(&mut rest), "a success gives it back");
        assert!(matches!(&said[..], [Event::Fault { text }, Event::Fault { .. }] if text.contains("no space")));
    }

    #[test]
    fn work_goes_on_after_a_fault() {
        let (mut faults, stop) = (vec![fault()], Stop::new());
        let mut work = |_: &mut dyn FnMut(Event)| faults.pop().map_or(Ok(7), Err);
        let worked = Rest::new(Duration::from_secs(9)).patiently(&stop, &mut |_| {}, &mut work);
        assert_eq!(worked.unwrap(), 7);
    }

    #[test]
    fn the_user_ends_a_rest() {
        let stop = Stop::new();
        stop.press();
        assert!(!Rest::new(Duration::from_secs(9)).wait(&fault(), &stop, &mut |_| panic!("nothing to say")));
    }
}
