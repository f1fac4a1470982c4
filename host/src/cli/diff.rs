//! `host diff`: what one source changes in another, in parts; what trials of single parts measured; and the change
//! carried onto a third source.

use crate::cli::args::{self, Cli};
use crate::cli::out::{self, print, println};
use crate::cli::text;
use anyhow::{Context, Result, bail};
use nightlab::guest::source::MAX_SOURCE_BYTES;
use nightlab::night::{past, setup};
use nightlab::policy::Policy;
use nightlab::propose::description::describe;
use nightlab::propose::evolve::model::change::{self, Change};
use nightlab::propose::patch::{Part, Patch, Text};
use nightlab::record::key::{ExperimentKey, SourceKey};
use nightlab::record::store::{Found, Store, TrialRecord};
use nightlab::record::trial::Trial;
use nightlab::system::sanitize::printable;
use nightlab::system::user_file;
use serde::Serialize;
use serde_json::json;
use similar::TextDiff;
use std::path::Path;
use std::process::ExitCode;

/// Lines shown around each change.
const CONTEXT_LINES: usize = 3;

/// A source that was named on the command line.
struct Named {
    /// What to call it.
    name: String,
    text: String,
    /// The trial that it is of.
    trial: Option<Trial>,
}

/// What trials of one part measured.
#[derive(Serialize)]
struct Measured {
    trial: u64,
    /// Whether the part was taken back there.
    without: bool,
    /// Difference from the champion of that time in bits per byte; negative is better.
    delta: f64,
    pairs: Option<u32>,
}

#[derive(Serialize)]
struct PartLine<'a> {
    part: usize,
    added: usize,
    removed: usize,
    line: &'a str,
    constants: bool,
    measured: Vec<Measured>,
}

pub fn diff(cli: &Cli, what: &args::Diff) -> Result<ExitCode> {
    let sources = Sources::open(cli)?;
    let (before, after) = (sources.find(&what.before)?, sources.find(&what.after)?);
    let parse = |named: &Named| Text::parse(&named.text).with_context(|| format!("{} does not parse", named.name));
    let patch = Patch::between(&parse(&before)?, &parse(&after)?);
    if let Some(onto) = &what.onto {
        return carry(cli, what, &patch, &sources.find(onto)?);
    }
    let measured = |index: usize| match &after.trial {
        Some(trial) if trial.number > 0 => sources.measured(&change::part_name(index + 1, trial.number)),
        _ => Vec::new(),
    };
    let lines = patch.parts().iter().enumerate().map(|(index, part)| PartLine {
        part: index + 1,
        added: part.added,
        removed: part.removed,
        line: &part.line,
        constants: part.is_constants,
        measured: measured(index),
    });
    let parts: Vec<PartLine> = lines.collect();
    let description = describe(&before.text, &after.text);
    let lines = TextDiff::from_lines(&before.text, &after.text);
    let unified = lines.unified_diff().context_radius(CONTEXT_LINES).header(&before.name, &after.name).to_string();
    if cli.json {
        let (before, after) = (&before.name, &after.name);
        text::json_line(&json!({
            "before": before, "after": after, "description": description, "parts": parts, "diff": unified,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} → {}: {}", printable(&before.name), printable(&after.name), printable(&description));
    parts.iter().for_each(|part| println!("{}", words(part)));
    println!();
    let colour = out::shows_colours();
    unified.lines().for_each(|line| println!("{}", coloured(line, colour)));
    Ok(ExitCode::SUCCESS)
}

fn words(line: &PartLine) -> String {
    let PartLine { part, added, removed, line, measured, .. } = line;
    let measured = measured.iter().map(|Measured { trial, without, delta, pairs }| {
        let sign = if *delta < 0.0 { "−" } else { "+" };
        let how = if *without { "without it" } else { "alone" };
        let seeds = pairs.map_or(String::new(), |pairs| format!(" on {pairs}"));
        format!("; {how} {sign}{:.4}{seeds} (#{trial})", delta.abs())
    });
    format!("  part {part}: +{added} −{removed} lines, {}{}", printable(line), measured.collect::<String>())
}

fn coloured(line: &str, colour: bool) -> String {
    let code = match line.as_bytes().first() {
        Some(b'+') if colour => "32",
        Some(b'-') if colour => "31",
        _ => return printable(line),
    };
    format!("\x1b[{code}m{}\x1b[0m", printable(line))
}

/// Prints or writes a third source with the change, or with some of its parts.
fn carry(cli: &Cli, what: &args::Diff, patch: &Patch, onto: &Named) -> Result<ExitCode> {
    let count = patch.parts().len();
    let chosen = what.parts.iter().map(|number| {
        let part = number.checked_sub(1).and_then(|index| patch.parts().get(index));
        part.with_context(|| format!("the change has parts 1 to {count}, not {number}"))
    });
    let chosen: Vec<&Part> = match what.parts.is_empty() {
        true => patch.parts().iter().collect(),
        false => chosen.collect::<Result<_>>()?,
    };
    let target = Text::parse(&onto.text).with_context(|| format!("{} does not parse", onto.name))?;
    let merged = patch.onto(&target, chosen).with_context(|| {
        format!("the change cannot be carried onto {}; `--parts` takes those parts that can", onto.name)
    })?;
    if let Some(path) = &what.write {
        user_file::write(path, &merged).with_context(|| format!("writing {}", path.display()))?;
    }
    match (cli.json, &what.write) {
        (true, _) => text::json_line(&json!({
            "onto": onto.name, "description": describe(&onto.text, &merged), "source": merged,
        })),
        (false, None) => print!("{}", printable(&merged)),
        (false, Some(path)) => println!("{}: {}", path.display(), printable(&describe(&onto.text, &merged))),
    }
    Ok(ExitCode::SUCCESS)
}

/// Where sources are looked for: files, and the store if there is one.
struct Sources {
    store: Option<Store>,
    /// The trials on the terms of the last night.
    trials: Vec<TrialRecord>,
    /// The policy of the last night; without one, the policy that `host run` takes.
    policy: Policy,
}

impl Sources {
    fn open(cli: &Cli) -> Result<Self> {
        let store = if Store::exists(&cli.store)? { Some(Store::open_to_read(&cli.store)?) } else { None };
        let night = store.as_ref().map(|store| past::night(store, None));
        match (night, store) {
            (Some(Ok((night, policy))), Some(store)) => {
                Ok(Self { trials: store.trials_in(&night.context)?, store: Some(store), policy })
            }
            (Some(Err(past::PastError::NoNights)) | None, store) => {
                Ok(Self { store, trials: Vec::new(), policy: Policy::load(setup::default_policy())? })
            }
            (Some(Err(error)), _) => Err(error.into()),
            (Some(Ok(_)), None) => bail!("a night without a store"),
        }
    }

    /// `seed`, `champion`, `#7` or `7`, a file, or the start of a hash.
    fn find(&self, name: &str) -> Result<Named> {
        let number = name.strip_prefix('#').unwrap_or(name).parse::<u64>().ok();
        if name == "champion" {
            let kept = self.trials.iter().rev().find(|record| record.trial.is_kept());
            return kept.map_or_else(|| self.seed(), |kept| self.of_trial(kept));
        }
        if name == "seed" || number == Some(0) {
            return self.seed();
        }
        if let Some(record) = self.trials.iter().find(|record| Some(record.trial.number) == number) {
            return self.of_trial(record);
        }
        if Path::new(name).is_file() {
            let text = user_file::read(Path::new(name), MAX_SOURCE_BYTES as u64);
            return Ok(Named {
                name: name.into(),
                text: text.with_context(|| format!("reading {name}"))?,
                trial: None,
            });
        }
        self.of_hash(name)
    }

    fn seed(&self) -> Result<Named> {
        Ok(Named { name: "seed".into(), text: setup::seed_text(&self.policy)?, trial: None })
    }

    fn store(&self) -> Result<&Store> {
        self.store.as_ref().context("there is no store here, and no file of that name; `host run` makes a store")
    }

    fn of_trial(&self, record: &TrialRecord) -> Result<Named> {
        let text = self.store()?.get_blob(&record.trial.source_blob)?;
        let text = String::from_utf8(text).context("the source is no text")?;
        Ok(Named { name: format!("#{}", record.trial.number), text, trial: Some(record.trial.clone()) })
    }

    fn of_hash(&self, hash: &str) -> Result<Named> {
        let wanted = || format!("`{hash}` is no source: name a file, `seed`, `champion`, a trial (#7), or a hash");
        let store = self.store().with_context(wanted)?;
        match store.resolve(hash).with_context(wanted)? {
            Found::Experiment(key) => self.of_experiment(store, &key),
            Found::Component(key) => {
                let record = store.component(&key)?.context("the component is gone from the index")?;
                self.of_source(store, &record.source_key)
            }
            Found::Source(key) => self.of_source(store, &key),
            Found::Exchanged(_) => bail!(wanted()),
        }
    }

    fn of_experiment(&self, store: &Store, key: &ExperimentKey) -> Result<Named> {
        if let Some(record) = store.trial_of_experiment(key)? {
            return self.of_trial(&record);
        }
        let experiment = store.find_experiment(key)?.context("the experiment is gone from the index")?;
        let component = store.component(&experiment.manifest.component)?.context("its component is gone")?;
        self.of_source(store, &component.source_key)
    }

    fn of_source(&self, store: &Store, key: &SourceKey) -> Result<Named> {
        if let Some(record) = store.trial_of_source(key)? {
            return self.of_trial(&record);
        }
        let blob = store.source_blob(key)?.context("the source is not in the index")?;
        let text = String::from_utf8(store.get_blob(&blob)?).context("the source is no text")?;
        Ok(Named { name: key.short(), text, trial: None })
    }

    /// The trials that tried this part alone, or the champion without it.
    fn measured(&self, part: &str) -> Vec<Measured> {
        let measured = |record: &TrialRecord| {
            let (number, found) = (record.trial.number, &record.trial.found);
            let without = match change::read(&record.trial.description).as_slice() {
                [Change::Edit { made, instead_of: None }] if made == part => false,
                [Change::Without { made }] if made == part => true,
                _ => return None,
            };
            Some(Measured { trial: number, without, delta: found.delta?, pairs: found.pairs })
        };
        self.trials.iter().filter_map(measured).collect()
    }
}
