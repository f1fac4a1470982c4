//! `host score`: trains and scores a mutation without a verdict.

use crate::cli::args::{Cli, Score};
use crate::cli::ctrl_c::stop_on_ctrl_c;
use crate::cli::mutation;
use crate::cli::night_view::NightView;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::Result;
use nightlab::experiment::batch::Run;
use nightlab::experiment::bench::Bench;
use nightlab::experiment::prepare::Candidate;
use nightlab::night::event::Event;
use nightlab::night::{sent, setup, trial::replicas};
use nightlab::policy::Policy;
use nightlab::record::facts;
use nightlab::record::outcome::Status;
use nightlab::record::store::Store;
use nightlab::system::sanitize::printable;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Prints what a run would cost.
fn dry_run(cli: &Cli, bench: &Bench, candidate: &Candidate) -> Result<ExitCode> {
    let (facts, pace) = (bench.facts(candidate), bench.pace_words()?);
    if cli.json {
        text::json_line(&json!({ "facts": facts, "pace": pace }));
    } else {
        println!("{}\n{pace}", printable(&facts.words()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one line for each random seed, then their mean and spread. Exit code 1 if a run has no score.
pub fn score(cli: &Cli, what: &Score) -> Result<ExitCode> {
    let Score { file, seeds, dry, policy } = what;
    let content = mutation::read(file)?;
    let name = policy.as_deref().unwrap_or(setup::default_policy());
    let policy = Policy::load(name)?;
    let stop = stop_on_ctrl_c()?;
    let mut view = NightView::new(false, name, &cli.store);
    // With --json, standard output has the scores alone.
    let mut tell = |event: Event| view.show_beside_results(&event, cli.json);
    let (bench, _) = setup::bench(Store::open(&cli.store)?, &policy, cli.power(), &mut tell)?;
    let candidate = match bench.prepare(&sent::keep(&content, &bench.store)?) {
        Ok(candidate) => candidate,
        Err(refusal) if cli.json && refusal.stage().is_some() => {
            text::json_line(&json!({ "status": "refused", "reason": refusal.to_string() }));
            return Ok(ExitCode::FAILURE);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    if *dry {
        return dry_run(cli, &bench, &candidate);
    }
    let runs = replicas::score(&bench, &policy, &candidate, *seeds, &stop, &mut tell)?;
    if let Err(error) = bench.store.let_go_beside_others(&policy.store, bench.sandbox.class()) {
        eprintln!("old weights are still in the store: {error}");
    }
    let scores: Vec<f64> = runs.iter().filter_map(bpb).collect();
    if cli.json {
        runs.iter().for_each(|run| text::json_line(&in_json(&bench, run)));
        text::json_line(&json!({
            "runs": runs.len(), "scored": scores.len(), "mean_bpb": mean(&scores), "sd_bpb": deviation(&scores),
            "data_bytes": candidate.carried.bytes(),
        }));
    } else {
        runs.iter().for_each(|run| println!("{}", line(run)));
        if let (Some(mean), Some(sd)) = (mean(&scores), deviation(&scores)) {
            println!("mean              {mean:.4} bpb ± {sd:.4} over {} random seeds", scores.len());
        }
        let trained_share = runs.first().and_then(|run| bench.share(run.outcome.totals.tokens));
        facts::remarks(Some(candidate.carried.bytes()), trained_share)
            .iter()
            .for_each(|remark| println!("it {remark}"));
    }
    Ok(if scores.len() == runs.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bpb(run: &Run) -> Option<f64> {
    run.outcome.score.as_ref().filter(|_| run.outcome.status == Status::Completed).map(|score| score.bpb)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation; `None` for fewer than two values.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    Some((values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt())
}

fn random_seed(run: &Run) -> Option<u64> {
    run.record.as_ref().map(|record| record.manifest.random_seed)
}

fn in_json(bench: &Bench, run: &Run) -> Value {
    let status = &run.outcome.status;
    let reason = if let Status::GuestFault { message, .. } = status { message.as_str() } else { "" };
    json!({
        // A number of 64 bits is not exact in every reader of JSON.
        "random_seed": random_seed(run).map(|seed| seed.to_string()),
        "status": status.name(),
        "bpb": bpb(run),
        "steps": run.outcome.totals.steps,
        "tokens": run.outcome.totals.tokens,
        "trained_share": bench.share(run.outcome.totals.tokens),
        "reason": printable(reason),
        "experiment": run.key,
        "causal": run.record.as_ref().and_then(|record| record.evaluation).map(|evaluation| evaluation.causality),
        "seconds": run.wall.map(|wall| wall.as_secs_f64()),
        "is_new": run.wall.is_some(),
        "numerics": run.record.as_ref().map(|record| &record.manifest.numerics),
        "traffic": run.traffic,
    })
}

fn line(run: &Run) -> String {
    let score = match bpb(run) {
        Some(bpb) => format!("{bpb:.4} bpb"),
        None => text::headline(&run.outcome.status.to_string()),
    };
    let took = match run.wall {
        Some(wall) => format!("took {}", text::duration(wall.as_secs_f64())),
        None => "was in the store".into(),
    };
    let traffic = run.traffic.map_or_else(String::new, |traffic| {
        let trips = traffic.round_trips;
        format!("; {trips} round trips in {} steps, {} tensors read", run.outcome.totals.steps, traffic.reads)
    });
    format!("experiment {}  {score}  {took}{traffic}", run.key.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_score_has_no_spread() {
        assert_eq!((mean(&[]), deviation(&[2.0])), (None, None));
        assert_eq!((mean(&[1.0, 3.0]), deviation(&[1.0, 3.0])), (Some(2.0), Some(2.0_f64.sqrt())));
    }
}
