//! What rests on a contributor's word alone. No keep rests on it: the runs of a candidate that would be kept are made
//! again by a trusted machine first. If somebody lied, all that rests on that word is made again.

use crate::experiment::away::hear_out;
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::fleet::{News, Order};
use crate::experiment::replay::first_difference;
use crate::experiment::runner::{Experiment, Stopped, draw_probe_seed};
use crate::guest::component::Component;
use crate::record::key::{ComponentKey, ExperimentKey};
use crate::record::store::StoreError;

/// What came of making a run again.
enum Again {
    /// The same. Also of a run that rests on no word.
    Same,
    /// Another result, which the store has now. It was this contributor's word.
    Other(String),
    /// None: the machine failed, or the user stopped it.
    Open,
}

impl Bench {
    /// Makes those runs again that rest on a contributor's word alone. Returns whether all of them stand.
    pub fn settle(
        &self,
        runs: &[ExperimentKey],
        say: &mut dyn FnMut(News),
        stopped: &Stopped,
    ) -> Result<bool, BenchError> {
        for run in runs {
            match self.make_again(run, say, stopped)? {
                Again::Same => {}
                Again::Open => return Ok(false),
                Again::Other(liar) => {
                    if let Some(fleet) = &self.fleet {
                        fleet.shut_out(&liar);
                    }
                    self.resolve(&liar, say, stopped)?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Makes all runs again that rest on the word of somebody who lied. Returns whether something of it was false.
    pub(super) fn resolve(&self, liar: &str, say: &mut dyn FnMut(News), stopped: &Stopped) -> Result<bool, BenchError> {
        let mut was_false = false;
        for run in self.store.words_of(liar)? {
            was_false |= matches!(self.make_again(&run, say, stopped)?, Again::Other(_));
        }
        Ok(was_false)
    }

    fn make_again(
        &self,
        run: &ExperimentKey,
        say: &mut dyn FnMut(News),
        stopped: &Stopped,
    ) -> Result<Again, BenchError> {
        let Some(contributor) = self.store.word_of(run)? else { return Ok(Again::Same) };
        let Some(record) = self.store.find_experiment(run)? else { return Ok(Again::Same) };
        let Some(component) = self.component_again(&record.manifest.component)? else { return Ok(Again::Open) };
        let short = run.short();
        say(News::Note(format!("{short} rests on the word of {contributor} alone: it is made again")));
        let (manifest, said) = (record.manifest.clone(), self.store.outcome(&record)?);
        let probe_seed = record.evaluation.map_or_else(draw_probe_seed, |evaluation| evaluation.probe_seed);
        let (ended, mut asked, liars) = match &self.fleet {
            // This machine is trusted too.
            None => {
                let experiment = Experiment { component: &component, random_seed: manifest.random_seed };
                (self.runner(1).run(&experiment, probe_seed, &mut |_| {}, stopped), None, Vec::new())
            }
            Some(fleet) => {
                let order = Order { manifest: manifest.clone(), component, probe_seed, is_for_trusted: true };
                let mut asked = fleet.ask(order);
                let (ended, liars) = hear_out(&mut *asked, say, stopped);
                (ended, Some(asked), liars)
            }
        };
        let is_stored = &mut || asked.iter_mut().for_each(|asked| asked.is_stored());
        if !ended.outcome.status.is_result() {
            return Ok(Again::Open);
        }
        let Some(what) = first_difference(&said, &ended.outcome) else {
            self.store.affirm(run)?;
            is_stored();
            return self.resolve_all(liars, say, stopped);
        };
        let trials = self.store.take_back(run)?;
        self.record(&manifest, &[], ended)?;
        is_stored();
        let rested = match trials.len() {
            0 => "no trial rests on it".into(),
            count => format!("{count} verdicts that rest on it are taken back"),
        };
        say(News::Note(format!("{contributor} lied about {short}, {what}: {rested}")));
        self.resolve_all(liars, say, stopped)?;
        Ok(Again::Other(contributor))
    }

    /// After a run that stands, the words of others who turned out to have lied meanwhile.
    fn resolve_all(
        &self,
        liars: Vec<String>,
        say: &mut dyn FnMut(News),
        stopped: &Stopped,
    ) -> Result<Again, BenchError> {
        let mut again = Again::Same;
        for liar in liars {
            if self.resolve(&liar, say, stopped)? {
                again = Again::Other(liar);
            }
        }
        Ok(again)
    }

    fn component_again(&self, key: &ComponentKey) -> Result<Option<Component>, StoreError> {
        let Some(record) = self.store.component(key)? else { return Ok(None) };
        let component = Component::from_bytes(&self.store.get_blob(&record.component_blob)?).ok();
        Ok(component.filter(|component| component.key() == *key))
    }
}
