//! What guests score on all held-out text, trained on fresh random seeds: how much of a night's gain is real.

use anyhow::{Context, Result, bail};
use nightlab::data::Split;
use nightlab::experiment::batch::Run;
use nightlab::experiment::bench::Bench;
use nightlab::guest::component::Component;
use nightlab::night::Stop;
use nightlab::night::event::Event;
use nightlab::night::setup;
use nightlab::night::trial::replicas;
use nightlab::policy::Policy;
use nightlab::record::store::Store;
use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::statistics::Statistics;
use std::num::NonZeroUsize;
use std::path::PathBuf;

const SPLITS: [Split; 3] = [Split::Search, Split::Confirm, Split::Test];

/// Train guests on random seeds that no search has used, and score them on the search, confirm and sealed test splits.
#[derive(Debug, clap::Args)]
pub struct HeldOut {
    /// The guests. The first is what the others are compared with; each is also compared with the one before it.
    #[arg(required = true)]
    guests: Vec<PathBuf>,
    /// Terms of the runs.
    #[arg(long, default_value = "overnight")]
    policy: String,
    /// Takes the place of the policy's budget.
    #[arg(long, value_name = "SECONDS")]
    budget: Option<f64>,
    /// Number of random seeds.
    #[arg(long, default_value_t = 3)]
    seeds: u32,
    /// Takes the place of the policy's random seed, from which those of the runs follow.
    #[arg(long, default_value_t = 1_000_003)]
    random_seed: u64,
    /// Where runs are kept; stopped, the same command goes on.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Experiments at the same time.
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    jobs: NonZeroUsize,
}

/// Bits per byte of one guest: for each split, one score per random seed.
type Scores = [Vec<f64>; 3];

/// Prints a row for each guest as soon as it is known.
pub fn held_out(what: &HeldOut) -> Result<()> {
    let mut policy = Policy::load(&what.policy)?;
    policy.search.random_seed = what.random_seed;
    if let Some(seconds) = what.budget {
        policy.budget.seconds = seconds;
    }
    let mut tell = |event: Event| {
        if let Event::Note { text } | Event::Fault { text } = event {
            eprintln!("{text}");
        }
    };
    let (bench, _) = setup::bench(
        Store::open(&what.store)?,
        &policy,
        setup::Power { jobs: what.jobs, ..setup::Power::of_threads(None) },
        &mut tell,
    )?;
    println!("guest\tsearch\tconfirm\ttest\tsearch to first\tconfirm to first\ttest to first\tsearch to last");
    let mut known: Vec<Scores> = Vec::new();
    for path in &what.guests {
        let source = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let candidate = bench.prepare(&source)?;
        let runs = replicas::score(&bench, &policy, &candidate, what.seeds, &Stop::new(), &mut tell)?;
        let scores = scores(&bench, &candidate.component, &runs)?;
        let means = scores.iter().map(|scores| format!("{:.4}", scores.mean()));
        let first = known.first().unwrap_or(&scores);
        let to_first = first.iter().zip(&scores).map(|(first, scores)| difference(first, scores));
        let to_last = difference(&known.last().unwrap_or(&scores)[0], &scores[0]);
        let row: Vec<String> = means.chain(to_first).chain([to_last]).collect();
        println!("{}\t{}", path.display(), row.join("\t"));
        known.push(scores);
    }
    Ok(())
}

fn scores(bench: &Bench, component: &Component, runs: &[Run]) -> Result<Scores> {
    let mut scores = Scores::default();
    for (split, scores) in SPLITS.into_iter().zip(&mut scores) {
        for run in runs {
            match bench.known_score(component, run, split, "measure", &|| false)? {
                Ok(score) => scores.push(score.bpb),
                Err(status) => bail!("a run has no score on the {} split: {status}", split.name()),
            }
        }
    }
    Ok(scores)
}

/// The mean of the paired differences, its interval of 95% by Student's t, its share of the first, and how many of the
/// seeds are better.
fn difference(first: &[f64], second: &[f64]) -> String {
    let differences: Vec<f64> = first.iter().zip(second).map(|(first, second)| second - first).collect();
    let (count, middle) = (differences.len() as f64, (&differences).mean());
    let error = (&differences).std_dev() / count.sqrt();
    let half = StudentsT::new(0.0, 1.0, count - 1.0).map(|t| t.inverse_cdf(0.975) * error);
    let half = half.map_or_else(|_| String::new(), |half| format!(" ± {half:.4}"));
    let better = differences.iter().filter(|difference| **difference < 0.0).count();
    format!("{middle:+.4}{half} ({:+.1}%, {better} of {count} better)", 100.0 * middle / first.mean())
}
