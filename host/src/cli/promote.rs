//! `host promote`: whether the keeps of a night hold at a larger scale and budget.

use crate::cli::args::{self, Cli};
use crate::cli::ctrl_c::stop_on_ctrl_c;
use crate::cli::night_view::NightView;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::{Result, bail};
use nightlab::night::event::Event;
use nightlab::night::promote::{Found, Gain, Holds, Keep, Sources, Transfer, lineage, promote};
use nightlab::night::{past, setup};
use nightlab::policy::{Policy, TaskPolicy};
use nightlab::record::store::Store;
use nightlab::record::trial::Trial;
use nightlab::system::sanitize::{self, printable};
use serde_json::json;
use std::process::ExitCode;

/// Width of a change in the table.
const CHANGE_CHARS: usize = 60;

pub fn run(cli: &Cli, what: &args::Promote) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let (night, of_night) = past::night(&store, what.night)?;
    let seed = setup::seed_text(&of_night)?;
    let (keeps, champion) = lineage(&store, &store.trials_in(&night.context)?, &seed)?;
    if keeps.is_empty() {
        bail!("night {} has kept nothing that could be promoted yet; `host log` lists its trials", night.id);
    }
    let name = what.policy.as_str();
    let mut policy = Policy::load(name)?;
    let TaskPolicy { scale, eval_chunks, eval_rows, .. } = policy.task;
    policy.task = TaskPolicy { scale, eval_chunks, eval_rows, ..of_night.task };
    let seeds = what.seeds.unwrap_or(policy.selection.replicas);
    let stop = stop_on_ctrl_c()?;
    let mut view = NightView::new(false, name, &cli.store);
    let mut tell = |event: Event| view.show_beside_results(&event, cli.json);
    let (bench, _) = setup::bench(Store::open(&cli.store)?, &policy, cli.power(), &mut tell)?;
    if !cli.json {
        let runs = (keeps.len() + 2) * seeds as usize;
        println!(
            "night {}: each keep ({}) and all together, at scale {scale} and {} s: at most {runs} runs; {}",
            night.id,
            keeps.len(),
            policy.budget.seconds,
            bench.pace_words()?
        );
        println!("{:>5}  {:<17}  {:<17}  {:<7}  change", "keep", "gain of the night", "gain here, alone", "holds");
    }
    let sources = Sources { seed: &seed, keeps: &keeps, champion: &champion };
    let mut each = |index: Option<usize>, found: &Result<Gain, String>| {
        let trial = index.and_then(|index| keeps.get(index)).map(|keep| &keep.trial);
        if cli.json {
            text::json_line(&row_json(trial, found));
        } else if let Some(trial) = trial {
            println!("{}", row(trial, found));
        }
    };
    let found = promote(&bench, &policy, &sources, seeds, &stop, &mut tell, &mut each)?;
    if let Err(error) = bench.store.let_go_beside_others(&policy.store, bench.sandbox.class()) {
        eprintln!("old weights are still in the store: {error}");
    }
    if cli.json {
        text::json_line(&json!({ "night": night.id, "seed_bpb": found.seed_bpb, "transfer": found.transfer }));
    } else {
        summary(&found, &keeps).iter().for_each(|line| println!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn row_json(trial: Option<&Trial>, found: &Result<Gain, String>) -> serde_json::Value {
    json!({
        "keep": trial.map(|trial| trial.number),
        "change": trial.map_or("all keeps together", |trial| &trial.description),
        "gain_of_the_night": trial.and_then(|trial| trial.found.delta).map(|delta| -delta),
        "gain": found.as_ref().ok().map(|gain| gain.gain),
        "error": found.as_ref().ok().and_then(|gain| gain.error),
        "holds": found.as_ref().ok().map(Gain::holds),
        "reason": found.as_ref().err().map(|reason| printable(reason)),
    })
}

fn row(trial: &Trial, found: &Result<Gain, String>) -> String {
    let of_night = Gain {
        gain: -trial.found.delta.unwrap_or(0.0),
        error: trial.found.spread.zip(trial.found.pairs).map(|(spread, pairs)| spread / f64::from(pairs).sqrt()),
    };
    let (here, holds) = match found {
        Ok(gain) => (words(gain), answer(gain.holds())),
        Err(_) => ("–".into(), "–"),
    };
    let change = sanitize::cut(&printable(&trial.description), CHANGE_CHARS, "…");
    let reason = found.as_ref().err().map_or(String::new(), |reason| format!("  {}", text::headline(reason)));
    format!("{:>5}  {:<17}  {here:<17}  {holds:<7}  {change}{reason}", format!("#{}", trial.number), words(&of_night))
}

fn answer(holds: Holds) -> &'static str {
    match holds {
        Holds::Yes => "yes",
        Holds::No => "no",
        Holds::Unclear => "unclear",
    }
}

fn words(gain: &Gain) -> String {
    let sign = if gain.gain < 0.0 { "−" } else { "" };
    let error = gain.error.map_or(String::new(), |error| format!(" ± {error:.4}"));
    format!("{sign}{:.4}{error}", gain.gain.abs())
}

fn summary(found: &Found, keeps: &[Keep]) -> Vec<String> {
    let Transfer { alone, signs_agree, share_alone, sum, together, share_together, adds_up } = &found.transfer;
    let percent = |share: &Option<f64>| share.map_or(String::new(), |share| format!(", {:.0}% of it", 100.0 * share));
    let mut lines = vec![format!("seed guest       {:.4} bpb on these terms", found.seed_bpb)];
    lines.push(format!("signs            {signs_agree} of {alone} agree: they gain here too, alone"));
    if let Some(sum) = sum {
        lines.push(format!("sum of single    {}{}", words(sum), percent(share_alone)));
    }
    match (together, &found.together) {
        (Some(together), _) => lines.push(format!("together         {}{}", words(together), percent(share_together))),
        (None, Err(reason)) => lines.push(format!("together         {}", text::headline(reason))),
        (None, Ok(_)) => {}
    }
    lines.push(match adds_up {
        Some(true) => "the gains add up, within two standard errors".into(),
        Some(false) => "the gains do not add up: together they are not the sum of the single ones".into(),
        None => {
            "whether the gains add up is not known: each would have to run alone, on two random seeds or more".into()
        }
    });
    let not = |index: usize| match found.alone.get(index) {
        Some(Ok(gain)) => gain.holds() != Holds::Yes,
        Some(Err(_)) | None => true,
    };
    let of: Vec<String> = keeps
        .iter()
        .enumerate()
        .filter(|(index, _)| not(*index))
        .map(|(_, keep)| format!("#{}", keep.trial.number))
        .collect();
    if !of.is_empty() {
        lines.push(format!("not shown to hold alone: {}", of.join(", ")));
    }
    lines
}
