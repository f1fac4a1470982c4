//! `host ideas`: the operators of `evolve`, with what is known of each and what it did here.

use crate::cli::args::Cli;
use crate::cli::out::println;
use crate::cli::text;
use anyhow::Result;
use nightlab::propose::evolve::effects::{self, Idea};
use nightlab::record::store::{Store, TrialRecord};
use nightlab::record::trial::Trial;
use nightlab::system::sanitize;
use std::process::ExitCode;

/// Width of an operator's name in the table; names of other proposers are cut there.
const NAME_CHARS: usize = 27;

pub fn ideas(cli: &Cli) -> Result<ExitCode> {
    let records = trials(cli)?;
    let trials: Vec<&Trial> = records.iter().map(|record| &record.trial).collect();
    let ideas = effects::ideas(&trials);
    if cli.json {
        ideas.iter().for_each(text::json_line);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<NAME_CHARS$}  prior  tries  kept   Δ in bpb, mean    evidence", "change");
    ideas.iter().for_each(|idea| println!("{}", line(idea)));
    Ok(ExitCode::SUCCESS)
}

/// The trials on the terms of the last night; none without a store.
fn trials(cli: &Cli) -> Result<Vec<TrialRecord>> {
    if !Store::exists(&cli.store)? {
        return Ok(Vec::new());
    }
    let store = Store::open_to_read(&cli.store)?;
    let last = store.nights()?.pop();
    Ok(last.map(|night| store.trials_in(&night.context)).transpose()?.unwrap_or_default())
}

fn line(idea: &Idea) -> String {
    let Idea { operator, prior, evidence, effect } = idea;
    let name = sanitize::cut(&sanitize::printable(operator), NAME_CHARS, "…");
    let prior = prior.map_or("–".into(), |prior| prior.to_string());
    let signed = |delta: f64| format!("{}{:.4}", if delta < 0.0 { "−" } else { "+" }, delta.abs());
    let delta = match (effect.delta, effect.error) {
        (Some(delta), Some(error)) => format!("{} ± {error:.4}", signed(delta)),
        (Some(delta), None) => signed(delta),
        (None, _) => "–".into(),
    };
    let (tries, kept) = (effect.tries, effect.kept);
    let line =
        format!("{name:<NAME_CHARS$}  {prior:>5}  {tries:>5}  {kept:>4}   {delta:<17} {}", evidence.unwrap_or(""));
    line.trim_end().to_owned()
}
