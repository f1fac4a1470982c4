//! Runs that a fleet makes in the place of this machine: asked for in advance, and recorded when they are taken.

use crate::experiment::batch::Run;
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::ended::Ended;
use crate::experiment::fleet::{Asked, Fleet, Heard, News, Order};
use crate::experiment::runner::{Experiment, Stopped, draw_probe_seed};
use crate::record::key::Manifest;
use crate::record::outcome::{HostFault, Status};
use std::time::Duration;

/// While nothing is heard of a run, the caller is asked at this interval whether to go on.
const TICK: Duration = Duration::from_millis(200);

/// A run that the bench waits for.
pub enum Awaited {
    /// The store had it.
    Known(Box<Run>),
    Asked {
        manifest: Box<Manifest>,
        asked: Box<dyn Asked>,
    },
}

impl Bench {
    /// Asks the fleet for an experiment, unless the store has it.
    pub fn ask(&self, fleet: &dyn Fleet, experiment: &Experiment) -> Result<Awaited, BenchError> {
        let manifest = self.manifest(experiment.component, experiment.random_seed);
        if let Some(run) = self.run_before(&manifest)? {
            return Ok(Awaited::Known(Box::new(run)));
        }
        let probe_seed = self.recorded_probe_seed(&manifest)?.unwrap_or_else(draw_probe_seed);
        let component = experiment.component.clone();
        let order = Order { manifest: manifest.clone(), component, probe_seed, is_for_trusted: false };
        Ok(Awaited::Asked { manifest: Box::new(manifest), asked: fleet.ask(order) })
    }

    /// Waits for a run and records it. If `stopped` returns true, it is taken back and ends as interrupted. If it comes
    /// out that somebody lied before, what is in doubt is made again first; if something of it was false, the run ends
    /// as a fault of the machine, since what the caller knows already may rest on it.
    pub fn take(&self, awaited: Awaited, say: &mut dyn FnMut(News), stopped: &Stopped) -> Result<Run, BenchError> {
        let (manifest, mut asked) = match awaited {
            Awaited::Known(run) => return Ok(*run),
            Awaited::Asked { manifest, asked } => (manifest, asked),
        };
        let (ended, liars) = hear_out(&mut *asked, say, stopped);
        let run = self.record(&manifest, &[], ended)?;
        if run.record.is_some() {
            asked.is_stored();
        }
        let mut was_misled = false;
        for liar in liars {
            was_misled |= self.resolve(&liar, say, stopped)?;
        }
        if was_misled {
            let why = "a contributor lied about an earlier run, which was made again";
            return self.record(&manifest, &[], Ended::without_result(Status::host(HostFault::System, why)));
        }
        Ok(run)
    }
}

/// How a run ended, and who turned out to have lied meanwhile.
pub(super) fn hear_out(asked: &mut dyn Asked, say: &mut dyn FnMut(News), stopped: &Stopped) -> (Ended, Vec<String>) {
    let mut liars = Vec::new();
    loop {
        match asked.hear(TICK) {
            Heard::Ended(ended) => return (*ended, liars),
            Heard::Progress(progress) => say(News::Progress(&progress)),
            Heard::Note(text) => say(News::Note(text)),
            Heard::Lied(contributor) => liars.push(contributor),
            Heard::Nothing => {}
        }
        if stopped() {
            return (Ended::interrupted(), liars);
        }
    }
}
