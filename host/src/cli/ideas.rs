//! `host ideas`: what the search knows of operators and changes on the terms of the last night.

use crate::cli::args::Cli;
use crate::cli::out::println;
use crate::cli::text;
use anyhow::Result;
use nightlab::night::known;
use nightlab::propose::evolve::known::{Idea, Known, Measured, know};
use nightlab::record::store::Store;
use nightlab::system::sanitize;
use serde::Serialize;
use std::process::ExitCode;

/// Width of an operator's name in the table; names of other proposers are cut there.
const NAME_CHARS: usize = 27;

/// A change as a line of JSON.
#[derive(Serialize)]
struct Line<'a, T> {
    status: &'a str,
    #[serde(flatten)]
    change: &'a T,
}

pub fn ideas(cli: &Cli) -> Result<ExitCode> {
    let known = match Store::exists(&cli.store)? {
        true => known::known(&Store::open_to_read(&cli.store)?)?,
        false => know(&[], None),
    };
    if cli.json {
        json_lines(&known);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<NAME_CHARS$}  prior  tries  kept   Δ in bpb, mean    evidence", "change");
    known.operators.iter().for_each(|idea| println!("{}", line(idea)));
    let changes = known.changes_text();
    if !changes.is_empty() {
        println!("\n{}", changes.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// One object a line: operators, then changes with their status.
fn json_lines(known: &Known) {
    let Known { operators, kept, near_misses, without_gain, failing, elsewhere } = known;
    operators.iter().for_each(text::json_line);
    let measured = |status: &str, all: &[Measured]| {
        all.iter().for_each(|change| text::json_line(&Line { status, change }));
    };
    measured("kept", kept);
    measured("near-miss", near_misses);
    measured("without-gain", without_gain);
    failing.iter().for_each(|change| text::json_line(&Line { status: "fails", change }));
    elsewhere.iter().for_each(|change| text::json_line(&Line { status: "elsewhere", change }));
}

fn line(idea: &Idea) -> String {
    let Idea { operator, prior, evidence, effect, .. } = idea;
    let name = sanitize::cut(operator, NAME_CHARS, "…");
    let prior = prior.map_or("–".into(), |prior| prior.to_string());
    let (delta, tries, kept) = (effect.words(), effect.tries, effect.kept);
    let line =
        format!("{name:<NAME_CHARS$}  {prior:>5}  {tries:>5}  {kept:>4}   {delta:<17} {}", evidence.unwrap_or(""));
    line.trim_end().to_owned()
}
