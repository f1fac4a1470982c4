//! Was the gain of a kept mutation true? Now and then the champion meets its predecessor on one more random seed, which
//! its keep did not rest on. Decides nothing; the share of gains that held is in the report.

use crate::experiment::batch::Run;
use crate::experiment::prepare::Candidate;
use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::run::Night;
use crate::night::trial::replicas::Replicas;
use crate::night::trial::seeds::random_seeds;
use crate::record::store::Role;
use crate::record::trial::Trial;

/// Random seeds on which one keep is checked again, at most.
const MOST_RECHECKS: usize = 3;

impl Night<'_> {
    /// After each so many trials as the policy says. A failure of the machine leaves it out.
    pub(in crate::night) fn recheck_now_and_then(&mut self) -> Result<(), NightError> {
        let every = u64::from(self.policy.selection.recheck_every);
        let number = self.memory.next_number() - 1;
        if every == 0 || !number.is_multiple_of(every) {
            return Ok(());
        }
        match self.recheck() {
            Err(error) if error.is_of_the_machine() => {
                (self.tell)(Event::Note { text: format!("the champion was not checked again: {error}") });
                Ok(())
            }
            // A stop is heard by whoever waits for the next trial.
            Err(NightError::Interrupted) => Ok(()),
            checked => checked,
        }
    }

    fn recheck(&mut self) -> Result<(), NightError> {
        let kept = self.memory.past.iter().find(|past| past.trial.number == self.champion.trial);
        let Some(kept) = kept.map(|past| past.trial.clone()).filter(Trial::is_kept) else { return Ok(()) };
        // Of what was kept for being shorter, no gain is claimed, and of a keep of version 0.1 the seeds are unknown.
        let claimed = kept.found.p_better.is_some_and(|p| p >= self.policy.selection.keep_probability);
        if !claimed || kept.found.pairs.is_none() {
            return Ok(());
        }
        let checked = self.bench.store.rechecks(&self.context)?;
        let checked = checked.iter().filter(|recheck| recheck.number == kept.number).count();
        if checked >= MOST_RECHECKS {
            return Ok(());
        }
        let Some(before) = self.predecessor(&kept)? else { return Ok(()) };
        // In a night that runs again, the champion may come from before it: its trial is in another context.
        let Some(record) = self.bench.store.trial_in(&self.context, kept.number)? else { return Ok(()) };
        let used = self.bench.store.runs_of(record.id)?;
        let component = &self.champion.candidate.component;
        let is_new = |seed: &u64| !used.contains(&self.bench.manifest(component, *seed).key());
        let seeds = random_seeds(self.policy, self.policy.selection.most_seeds + MOST_RECHECKS as u32);
        let Some(seed) = seeds.into_iter().find(is_new) else { return Ok(()) };
        let (champion, stop) = (self.champion.candidate.clone(), self.stop);
        let mut runs = Vec::new();
        for (who, candidate) in [("champion, once more", &champion), ("its predecessor", &before)] {
            let replicas = Replicas { bench: self.bench, who, component: &candidate.component, stop };
            replicas.train(&[seed], &mut *self.tell, &mut |run: Run| {
                runs.push(run);
                Ok(())
            })?;
        }
        self.tally.runs += runs.iter().filter(|run| run.wall.is_some()).count() as u64;
        let keys: Vec<_> = runs.iter().map(|run| (run.key, Role::Recheck)).collect();
        self.bench.store.add_runs(record.id, &keys)?;
        let scores: Vec<Option<f64>> = runs.iter().map(|run| run.outcome.score.as_ref().map(|s| s.bpb)).collect();
        let text = match scores[..] {
            [Some(champion), Some(before)] => format!(
                "#{} met its predecessor again, on one more random seed: {:+.4} (it was kept at {:+.4})",
                kept.number,
                champion - before,
                kept.found.delta.unwrap_or_default()
            ),
            _ => format!("#{} met its predecessor again, and one of them failed", kept.number),
        };
        (self.tell)(Event::Note { text });
        Ok(())
    }

    /// What a kept trial was compared with; `None` if the store has lost it.
    fn predecessor(&self, kept: &Trial) -> Result<Option<Candidate>, NightError> {
        if kept.champion == 0 {
            return Ok(Some(self.baseline.candidate.clone()));
        }
        let past = self.memory.past.iter().find(|past| past.trial.number == kept.champion);
        past.map_or(Ok(None), |past| Ok(self.prepare_again(&past.trial)?.ok()))
    }
}
