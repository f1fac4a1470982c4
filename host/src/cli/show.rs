//! The commands that only read: log, show, policy check, reference.

use crate::cli::args::Cli;
use crate::cli::out::{self, print, println};
use crate::cli::{night_view, text};
use anyhow::{Context, Result, bail};
use nightlab::data;
use nightlab::guest::component::Component;
use nightlab::night::credits;
use nightlab::night::event::TrialLine;
use nightlab::night::setup;
use nightlab::policy::{CapsPolicy, Choice, DEFAULT_PROFILE, Policy, load_profile};
use nightlab::propose::inbox::Inbox;
use nightlab::record::causality::{Accepted, Causality};
use nightlab::record::facts::{self, loss_curve};
use nightlab::record::key::{ExperimentKey, Hash, ProfileHash};
use nightlab::record::quotas::Quotas;
use nightlab::record::spend::{Spend, dollars};
use nightlab::record::store::{ExchangeRecord, Found, Store, TrialRecord};
use nightlab::record::trial::Trial;
use nightlab::system::cache;
use nightlab::system::sanitize::printable;
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;

/// Trials that `host log` lists if nobody says how many.
const PAGE: u32 = 100;

pub fn log(cli: &Cli, last: Option<u32>, all: bool) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let last = last.or((!all && !cli.json).then_some(PAGE));
    let shown = match last {
        Some(count) => store.last_trials(count)?,
        None => store.trials(None)?,
    };
    let earlier = store.count_trials()?.saturating_sub(shown.len() as u64);
    if earlier > 0 && !cli.json {
        println!("{} earlier trials; `host log --all` lists them too", text::count(earlier));
    }
    let colour = out::shows_colours();
    for night in store.nights()? {
        let of_night: Vec<&TrialRecord> = shown.iter().filter(|record| record.night == night.id).collect();
        if of_night.is_empty() && earlier > 0 {
            continue;
        }
        let accounts = store.accounts(night.id)?;
        if of_night.is_empty() && accounts.is_empty() {
            continue;
        }
        if cli.json {
            of_night.iter().try_for_each(|record| trial_json(&store, record).map(|trial| text::json_line(&trial)))?;
            if !accounts.is_empty() {
                text::json_line(&json!({ "night": night.id, "proposers": accounts }));
            }
            continue;
        }
        println!("night {} · policy {}", night.id, printable(&night.policy_name));
        if !of_night.is_empty() {
            println!("{}", night_view::header("took"));
        }
        for record in of_night {
            println!("{}", night_view::trial_line(&line(&store, record)?, colour));
        }
        text::accounts(&accounts).iter().for_each(|line| println!("  {line}"));
    }
    if shown.is_empty() && earlier == 0 && !cli.json {
        println!("no trials yet; `host run --policy smoke` makes some");
    }
    Ok(ExitCode::SUCCESS)
}

/// One line of the log, with the duration of the trial and with its experiment after the reason.
fn line(store: &Store, record: &TrialRecord) -> Result<TrialLine> {
    let mut trial = record.trial.clone();
    let (spend, repairs) = store.cost_of(&trial)?;
    if let Some(key) = trial.found.experiment {
        trial.found.reason += &format!("  {}", key.short());
    }
    Ok(TrialLine { elapsed_s: trial.wall_ms as f64 / 1e3, trial, repairs, spend })
}

fn trial_json(store: &Store, record: &TrialRecord) -> Result<serde_json::Value> {
    #[derive(Serialize)]
    struct Fields<'a> {
        night: i64,
        #[serde(flatten)]
        trial: &'a Trial,
        causal: Option<Causality>,
        repairs: u32,
        spend: Spend,
        exchanges: Vec<ExchangeRecord>,
    }
    let TrialRecord { night, trial, .. } = record;
    let (spend, repairs) = store.cost_of(trial)?;
    let exchanges = exchanges_of(store, trial)?;
    let experiment = trial.found.experiment.map(|key| store.find_experiment(&key)).transpose()?.flatten();
    let causal = experiment.and_then(|record| record.evaluation).map(|evaluation| evaluation.causality);
    Ok(serde_json::to_value(Fields { night: *night, trial, causal, repairs, spend, exchanges })?)
}

/// The requests behind a trial; empty if no proposer of the night wrote it.
fn exchanges_of(store: &Store, trial: &Trial) -> Result<Vec<ExchangeRecord>> {
    Ok(trial.proposal.map_or(Ok(Vec::new()), |proposal| store.turn_exchanges(proposal))?)
}

pub fn show(cli: &Cli, hash: &str) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    match store.resolve(hash)? {
        Found::Experiment(key) => experiment(cli, &store, &key)?,
        Found::Component(key) => {
            let record = store.component(&key)?.context("the component is gone from the index")?;
            let component = Component::from_bytes(&store.get_blob(&record.component_blob)?)?;
            let (size, data) = (component.bytes().len() as u64, component.data_bytes()?);
            if cli.json {
                text::json_line(&json!({
                    "component": key, "source_key": record.source_key, "blob": record.component_blob,
                    "bytes": size, "data_segment_bytes": data, "compiler": record.compiler,
                }));
            } else {
                println!("component {key}");
                println!("  source     {}", record.source_key);
                println!("  bytes      {}", text::count(size));
                println!(
                    "  data       {} in data segments, the SDK's and the standard library's included",
                    facts::bytes(data)
                );
                println!("  compiler   {}", printable(&record.compiler));
            }
        }
        Found::Source(key) => {
            let trial = store.trial_of_source(&key)?;
            let blob = match &trial {
                Some(record) => record.trial.source_blob,
                None => store.source_blob(&key)?.context("the source is not in the index")?,
            };
            let source = String::from_utf8_lossy(&store.get_blob(&blob)?).into_owned();
            if cli.json {
                let trial = trial.as_ref().map(|record| trial_json(&store, record)).transpose()?;
                text::json_line(&json!({ "source_key": key, "trial": trial, "source": source }));
            } else {
                print!("{}", printable(&source));
            }
        }
        Found::Exchanged(blob) => exchanged(cli, &store, &blob)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows a request or an answer of a proposer, with the requests that it belongs to.
fn exchanged(cli: &Cli, store: &Store, blob: &Hash) -> Result<()> {
    let text = String::from_utf8_lossy(&store.get_blob(blob)?).into_owned();
    let exchanges = store.exchanges_of_blob(blob)?;
    if cli.json {
        text::json_line(&json!({ "hash": blob, "exchanges": exchanges, "text": text }));
        return Ok(());
    }
    exchanges.iter().for_each(|exchange| println!("{}", exchange_line(exchange)));
    println!("\n{}", printable(&readable(&text)));
    Ok(())
}

/// What a program said, without the JSON around it; any other text as it is.
fn readable(text: &str) -> String {
    let fields: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text).ok();
    let said = fields.iter().flatten().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let parts: Vec<String> = said.map(|(name, value)| format!("{name}:\n{value}\n")).collect();
    let is_program = fields.as_ref().is_some_and(|fields| {
        fields.contains_key("train.rs")
            || fields.len() == 1 && fields.get("error").is_some_and(|error| error.is_string())
    });
    if is_program { parts.join("\n") } else { text.to_owned() }
}

/// Formats one request: proposer, both hashes, ending, cost.
fn exchange_line(e: &ExchangeRecord) -> String {
    let name = |blob: Option<Hash>| blob.map_or_else(|| "nothing".into(), |blob| blob.short());
    format!(
        "night {} · {} · request {} · answer {} · {} · {} tokens · {} · {}",
        e.night,
        printable(&e.proposer),
        name(e.request),
        name(e.response),
        printable(&e.status),
        text::count(e.spend.tokens()),
        dollars(e.spend.micro_dollars),
        text::duration(e.wall_ms as f64 / 1e3)
    )
}

fn experiment(cli: &Cli, store: &Store, key: &ExperimentKey) -> Result<()> {
    let record = store.find_experiment(key)?.context("the experiment is gone from the index")?;
    let outcome = store.outcome(&record)?;
    let trial = store.trial_of_experiment(key)?;
    let scores = store.scores(key)?;
    let model = match (record.state_blob, outcome.state) {
        (Some(_), _) => "kept",
        (None, Some(_)) => "let-go",
        (None, None) => "none",
    };
    let checkpoints: Vec<u32> = store.checkpoints(key)?.into_iter().map(|(interval, _)| interval).collect();
    if cli.json {
        let losses: Vec<_> = outcome.curve.iter().map(|p| json!([p.step, p.key, p.value])).collect();
        text::json_line(&json!({
            "experiment": key, "manifest": record.manifest, "outcome": record.outcome_hash, "status": record.status,
            "message": record.message, "val_bpb": record.val_bpb, "steps": outcome.totals.steps,
            "tokens": outcome.totals.tokens, "flops": outcome.totals.flops, "parameters": outcome.totals.parameters,
            "peak_bytes": outcome.totals.peak_bytes, "spent_by_class": outcome.totals.spent_by_class,
            "model": model, "fuel": outcome.fuel, "causal": record.evaluation.map(|e| e.causality),
            "wall_ms": record.wall_ms, "checkpoints": checkpoints,
            "intervals": outcome.intervals.iter().map(|h| Hash(*h)).collect::<Vec<_>>(),
            "curve": losses, "trial": trial.as_ref().map(|record| trial_json(store, record)).transpose()?,
            "scores": scores.iter().map(|s| json!({ "split": s.split, "bpb": s.score.bpb, "purpose": s.purpose })).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    let m = &record.manifest;
    println!("experiment {key}");
    println!("  status     {}", record.status);
    if !record.message.is_empty() {
        println!("             {}", printable(&record.message));
    }
    if let Some(bpb) = record.val_bpb {
        println!("  val_bpb    {bpb:.6}");
    }
    for score in &scores {
        println!("  {:<10} {:.6} ({})", score.split, score.score.bpb, printable(&score.purpose));
    }
    if let Some(evaluation) = record.evaluation {
        println!("  causal     {}", evaluation.causality);
    }
    println!("  guest      {}   random seed {}   class {}", m.component.short(), m.random_seed, m.numerics);
    println!("  task       {}   profile {}", m.task.short(), m.profile.short());
    let t = &outcome.totals;
    println!(
        "  training   {} steps, {} tokens, {:.1} TFLOP, {} parameters",
        text::count(t.steps),
        text::count(t.tokens),
        t.flops as f64 / 1e12,
        text::count(t.parameters)
    );
    println!("  memory     {} of tensors at most", text::bytes(t.peak_bytes));
    println!("  budget     {:.2} s of {:.2} s", t.spent_ps as f64 / 1e12, m.budget_ps as f64 / 1e12);
    println!("             {}", facts::share_words(&facts::shares(t)));
    println!("  fuel       {}", text::count(outcome.fuel));
    println!("  model      {model}");
    println!("  took       {}", text::duration(record.wall_ms as f64 / 1e3));
    println!("  chain      {} intervals, last {}", outcome.intervals.len(), last_hash(&outcome.intervals));
    for (step, loss) in loss_curve(&outcome.curve) {
        println!("  loss       to step {step:>6}  {loss:.4}");
    }
    if let Some(record) = trial {
        let t = &record.trial;
        println!("  trial      #{} {}: {}", t.number, t.found.verdict.name(), printable(&t.description));
        if let Some(data) = t.found.data_bytes {
            println!("             {}", facts::data_words(data));
        }
        if let Some(share) = t.found.trained_share {
            println!("             {}", facts::trained_words(share));
        }
        if !t.hypothesis.is_empty() {
            println!("  claim      {} ({})", printable(&t.hypothesis), printable(&t.proposer));
        }
        if let Some(credit) = &t.credit {
            let licence = printable(&credits::licence_words(credit.licence.as_deref()));
            println!("  author     key {}, {licence}", printable(&credit.author));
            println!("             {} {}", credit.sent.name(), credit.sent.hash());
        }
        for exchange in exchanges_of(store, t)? {
            println!("  asked      {}", exchange_line(&exchange));
        }
        if let Some(key) = t.found.source_key {
            println!("\nnext: {} show {}      the source", text::host(store.dir()), key.short());
        }
    }
    println!("      {} replay {}    prove it, bit for bit", text::host(store.dir()), key.short());
    Ok(())
}

fn last_hash(chain: &[[u8; 32]]) -> String {
    chain.last().map_or_else(|| "–".into(), |hash| Hash(*hash).short())
}

pub fn schema() -> Result<ExitCode> {
    println!("{}", serde_json::to_string_pretty(&Policy::schema()?)?);
    Ok(ExitCode::SUCCESS)
}

pub fn check_policy(cli: &Cli, name: &str) -> Result<ExitCode> {
    let policy = Policy::load(name)?;
    let profile = policy.profile()?;
    let hash = ProfileHash::new(&profile);
    let cache = cache::cache_dir()?;
    if !policy.task.corpora.iter().any(|name| data::is_known(name, &cache)) {
        bail!(
            "{name}: no corpus of task.corpora is here ({}); `host data list` names those that are, `host data add NAME FOLDER` \
             adds one",
            policy.task.corpora.join(", ")
        );
    }
    if cli.json {
        text::json_line(&json!({ "ok": true, "policy": policy, "profile": profile.name, "profile_hash": hash }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{name}: ok");
    if let Some(note) = policy.without_effect() {
        println!("  note        {note}");
    }
    println!("  corpora     {} (the first that can be had)", policy.task.corpora.join(", "));
    println!("  budget      {} s per experiment on profile {}", policy.budget.seconds, profile.name);
    println!("              profile_hash {hash}");
    println!("  evaluation  context {}, {} chunks per split", policy.task.context, policy.task.eval_chunks);
    println!(
        "  held out    {}",
        match policy.task.split {
            Choice::Public => "what the text itself decides, which everybody can know",
            Choice::Secret => "what a secret of the store chooses",
        }
    );
    println!(
        "  rules       a source may carry {} of data; training on {} of the baseline's tokens at least",
        facts::bytes(policy.rules.data_bytes),
        facts::percent(policy.rules.trained_share)
    );
    if policy.limits.causality == Accepted::Proved {
        println!("              only guests whose causality is proved");
    }
    println!("  proposers   {}", policy.search.proposers.join(", "));
    proposers(&policy)?;
    let bound = |what: Option<String>| what.unwrap_or_else(|| "none".into());
    println!(
        "  bounds      experiments {}, hours {}",
        bound(policy.search.experiments.map(|n| n.to_string())),
        bound(policy.search.hours.map(|h| h.to_string()))
    );
    println!(
        "  keep        P(better) ≥ {} on {} to {} random seeds; noise from {} replicas",
        policy.selection.keep_probability,
        policy.selection.least_seeds,
        policy.selection.most_seeds,
        policy.selection.replicas
    );
    Ok(ExitCode::SUCCESS)
}

/// Prints the proposers of a policy, their addresses and their prices.
fn proposers(policy: &Policy) -> Result<()> {
    for name in &policy.search.proposers {
        if let Some(model) = name.strip_prefix("llm.").and_then(|name| policy.llm.get(name)) {
            let key = match (&model.key_env, &model.key_file) {
                (Some(variable), _) => format!("key from ${variable}"),
                (None, Some(file)) => format!("key from {file}"),
                (None, None) => "no key".into(),
            };
            let (input, output) = (model.usd_per_million_input, model.usd_per_million_output);
            let price = match input + output > 0.0 {
                true => format!("${input} and ${output} per million tokens read and written"),
                false => "free".into(),
            };
            println!("              {name}: {} at {}, {key}, {price}", model.model, model.endpoint()?);
        } else if let Some(program) = name.strip_prefix("command.").and_then(|name| policy.command.get(name)) {
            println!("              {name}: {}, at most {} s", program.argv.join(" "), program.timeout_s);
        } else if name == Inbox::NAME {
            let Quotas { submissions_per_day, bytes_per_day, seconds_per_day, .. } = policy.community;
            println!(
                "              {name}: {submissions_per_day} submissions, {} and {seconds_per_day} s of budget a key and day",
                facts::bytes(bytes_per_day)
            );
        }
    }
    let CapsPolicy { dollars, tokens, requests } = &policy.caps;
    let caps = [
        dollars.map(|n| format!("${n}")),
        tokens.map(|n| format!("{} tokens", text::count(n))),
        requests.map(|n| format!("{} requests", text::count(n))),
    ];
    let caps: Vec<String> = caps.into_iter().flatten().collect();
    println!("  caps        {} a night", if caps.is_empty() { "none".into() } else { caps.join(", ") });
    println!(
        "  repair      a faulty proposal goes back {} times; a digest every {} trials",
        policy.search.repairs, policy.search.digest_every
    );
    Ok(())
}

pub fn reference(cli: &Cli) -> Result<ExitCode> {
    let profile = load_profile(DEFAULT_PROFILE)?;
    let markdown = nightlab::guest::reference::markdown(&profile);
    if cli.json {
        text::json_line(&serde_json::json!({ "markdown": markdown }));
    } else {
        print!("{markdown}");
    }
    Ok(ExitCode::SUCCESS)
}
