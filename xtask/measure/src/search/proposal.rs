//! How long one proposal takes after many trials of the seed guest.

use anyhow::{Context as _, Result};
use nightlab::guest::seed::SEED_GUEST;
use nightlab::guest::source::Source;
use nightlab::propose::evolve::model::normal::deviate;
use nightlab::propose::evolve::proposer::Offline;
use nightlab::propose::evolve::random::Random;
use nightlab::propose::proposer::{
    Desk, Ledger, Parent, Past, Proposal, ProposeError, Proposer, Reservation, Situation,
};
use nightlab::record::ending::Ending;
use nightlab::record::facts::Facts;
use nightlab::record::key::{ContextKey, TaskHash};
use nightlab::record::spend::{Exchange, Spend};
use nightlab::record::trial::{ChangeKind, Findings, Trial};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Different mutations among the trials. Each is repeated with other gains.
const MUTATIONS: u64 = 400;

/// Prints the time of one proposal after a number of trials.
pub fn proposal(trials: u64) -> Result<()> {
    let past = vec![Arc::new(Past {
        trial: Trial::baseline(SEED_GUEST, Findings::new(Ending::Keep)),
        source: Some(SEED_GUEST.into()),
        losses: Vec::new(),
    })];
    let mut situation = situation(past);
    let mut mutations = Vec::new();
    for number in 1..=MUTATIONS.min(trials) {
        situation.number = number;
        mutations.extend(next(&situation)?);
    }
    let random = &mut Random::new(1, 1);
    for number in 1..=trials {
        let index = usize::try_from(number % mutations.len().max(1) as u64)?;
        let mutation = mutations.get(index).context("the seed guest allows no mutation")?;
        situation.past.push(Arc::new(Past {
            trial: trial(number, mutation, random),
            source: None,
            losses: Vec::new(),
        }));
    }
    situation.number = trials + 1;
    let started = Instant::now();
    let words = next(&situation)?.map_or("nothing".into(), |proposal| proposal.description);
    println!("{:.3} s for one proposal after {trials} trials: {words}", started.elapsed().as_secs_f64());
    Ok(())
}

/// A trial of such a mutation: one in ten fails, the others are nearly as good as the seed guest.
fn trial(number: u64, mutation: &Proposal, random: &mut Random) -> Trial {
    let fails = random.chance(0.1);
    let found = Findings {
        delta: (!fails).then(|| 0.01 * deviate(random)),
        pairs: Some(2),
        spread: Some(0.004),
        change: Some(ChangeKind::Structure),
        source_key: Source::parse(&mutation.source).ok().map(|source| source.key()),
        ..Findings::new(if fails { Ending::Failed } else { Ending::Noise })
    };
    Trial {
        number,
        proposer: Offline::NAME.into(),
        description: mutation.description.clone(),
        operator: mutation.operator.clone(),
        ..Trial::baseline(&mutation.source, found)
    }
}

fn situation(past: Vec<Arc<Past>>) -> Situation {
    let parent = Parent {
        number: 0,
        source: SEED_GUEST.into(),
        description: "baseline".into(),
        bpb: super::night::LEVEL,
        facts: Facts::default(),
    };
    Situation {
        brief: "".into(),
        task: TaskHash::of(b"t"),
        context: ContextKey::of(b"c"),
        hints: Arc::default(),
        parent: Arc::new(parent),
        past,
        underway: Vec::new(),
        noise: super::night::SD,
        budget_seconds: 20.0,
        digest: "".into(),
        number: 1,
        random_seed: 1337,
    }
}

fn next(situation: &Situation) -> Result<Option<Proposal>> {
    let mut desk = Desk { ledger: &mut Free, cancelled: &AtomicBool::new(false) };
    Ok(Offline::default().propose(situation, &mut desk)?)
}

/// The accounts of a proposer that costs nothing.
struct Free;

impl Ledger for Free {
    fn reserve(&mut self, _: &Spend) -> Result<Reservation, ProposeError> {
        Ok(Reservation(0))
    }

    fn settle(&mut self, _: Reservation, _: &Exchange) -> Result<(), ProposeError> {
        Ok(())
    }
}
