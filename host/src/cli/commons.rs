//! `host commons`: what labs show each other.

use crate::cli::args::{self, Cli, Publish};
use crate::cli::out::{eprintln, println};
use crate::cli::{community, text};
use anyhow::{Context, Result, bail};
use nightlab::community::{Licence, PrivateKey, PublicKey};
use nightlab::night::commons::{self, Follow, Followed, Published, Sample};
use nightlab::night::setup;
use nightlab::record::store::{Distrusted, FindingRecord, Store};
use nightlab::system::sanitize::{self, printable};
use serde_json::json;
use std::process::ExitCode;

pub fn publish(cli: &Cli, what: &Publish) -> Result<ExitCode> {
    let Publish { dir, licence, commit, key } = what;
    if *commit {
        commons::check_settings(dir)?;
    }
    let store = setup::existing_store(&cli.store)?;
    let key = community::key(cli, key)?;
    let licence: Option<Licence> = licence.as_deref().map(str::parse).transpose().context("--licence")?;
    let published = commons::publish(&store, dir, &key, licence.as_ref())?;
    let Published { findings, negatives, known, left_out, unread } = &published;
    let is_new = !findings.is_empty() || !negatives.is_empty();
    if *commit && is_new {
        let message = format!("{} findings and {} lists of negatives", findings.len(), negatives.len());
        commons::commit(dir, &key.public(), &message)?;
    }
    if cli.json {
        let left_out: Vec<_> = left_out
            .iter()
            .map(|one| json!({ "night": one.night, "trial": one.number, "reason": printable(&one.reason) }))
            .collect();
        let unread: Vec<_> = unread
            .iter()
            .map(|one| json!({ "path": printable(&one.path), "reason": printable(&one.reason.to_string()) }))
            .collect();
        text::json_line(&json!({
            "unread": unread, "findings": findings, "negatives": negatives, "known": known, "left_out": left_out,
            "committed": *commit && is_new,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    for path in findings.iter().chain(negatives) {
        println!("written  {}", printable(&path.to_string_lossy()));
    }
    for one in left_out {
        println!("left out #{} of night {}: {}", one.number, one.night, printable(&one.reason));
    }
    for one in unread {
        println!("unread   {}: {}", printable(&one.path), printable(&one.reason.to_string()));
    }
    println!(
        "{} findings and {} lists of negatives are new, {known} findings were there",
        findings.len(),
        negatives.len()
    );
    if !findings.is_empty() && !licence.as_ref().is_some_and(Licence::allows_changes) {
        eprintln!(
            "note: without a free licence of SPDX's list (--licence MIT), others cannot publish what they build on your work"
        );
    }
    if is_new && !commit {
        println!("`git add`, `git commit` and `git push` show them to others");
    }
    Ok(ExitCode::SUCCESS)
}

pub fn follow(cli: &Cli, what: &args::Follow) -> Result<ExitCode> {
    let args::Follow { dir, one_in, replays, free } = what;
    cli.on_the_processor("`host commons follow`")?;
    let store = setup::writable_store(&cli.store)?;
    let own = PrivateKey::open(&setup::key_path(&cli.store)).ok().map(|key| key.public());
    let mut bar = text::Bar::new(cli.json, "replaying");
    let sample = Sample { every: *one_in, replays: *replays, threads: cli.threads };
    let how = Follow { sample, own, is_free_only: *free };
    let followed = commons::follow(&store, dir, &how, &mut |progress| bar.progress(progress))?;
    bar.finish();
    let Followed { taken, refused, known, comparable, replayed, later, hints } = &followed;
    for one in taken {
        let (finding, proof, change) = (one.finding, one.proof, &one.change);
        if cli.json {
            text::json_line(&json!({
                "status": "taken", "finding": finding, "lab": one.lab, "change": change, "proof": proof,
                "allows_changes": one.allows_changes,
            }));
        } else {
            let (lab, change) = (short(&one.lab), sanitize::line(change, 100));
            println!("taken    {}  lab {lab}  {:<11}  {change}", finding.short(), proof.name());
        }
    }
    for one in refused {
        let reason = printable(&one.reason.to_string());
        if cli.json {
            text::json_line(&json!({ "status": "refused", "path": printable(&one.path), "reason": reason }));
        } else {
            println!("refused  {}: {reason}", printable(&one.path));
        }
    }
    if cli.json {
        text::json_line(&json!({
            "status": "followed", "taken": taken.len(), "refused": refused.len(), "known": known,
            "comparable": comparable, "replayed": replayed, "later": later, "hints": hints,
        }));
    } else {
        println!("{} taken, {} refused, {known} known before", taken.len(), refused.len());
        println!("{replayed} of {comparable} new findings on the same terms were run again");
        if *later > 0 {
            println!(
                "{later} wait for the next `follow`: at most {replays} are run again at once (`--replays`), and few of a lab"
            );
        }
        println!("{hints} new results without gain, as hints");
        let closed = taken.iter().filter(|one| !one.allows_changes).count();
        if closed > 0 {
            println!(
                "{closed} of those taken have no free licence: what this lab builds on them is not published (`--free` leaves them)"
            );
        }
        if !taken.is_empty() {
            println!("a policy with `proposers = [\"commons\", …]` tries what was taken");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn list(cli: &Cli) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let findings = store.findings()?;
    for record in &findings {
        let state = state(&store, record)?;
        if cli.json {
            let mut line = serde_json::to_value(record)?;
            line["state"] = state.into();
            text::json_line(&line);
        } else {
            let (lab, change) = (short(&record.lab), sanitize::line(&record.change, 100));
            println!("{}  lab {lab}  {:<11}  {state:<10}  {change}", record.hash.short(), record.proof.name());
        }
    }
    let distrusted = store.distrusted()?;
    for one in &distrusted {
        if cli.json {
            text::json_line(&json!({ "distrusted": one }));
        } else {
            let Distrusted { lab, reason, .. } = one;
            println!("distrusted  {}: {}", printable(lab), printable(reason));
        }
    }
    if findings.is_empty() && distrusted.is_empty() && !cli.json {
        println!("nothing was taken in yet; `host commons follow DIR` does");
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of a finding.
fn state(store: &Store, record: &FindingRecord) -> Result<&'static str> {
    let trial = store.trial_of_finding(&record.hash)?;
    Ok(trial.map_or("waiting", |record| record.trial.found.verdict.name()))
}

pub fn trust(cli: &Cli, lab: &str) -> Result<ExitCode> {
    let key: PublicKey = lab.parse().context("the public key of a lab")?;
    let store = setup::writable_store(&cli.store)?;
    if !store.trust(&key.to_string())? {
        bail!("the lab {} is not distrusted here; `host commons list` shows which are", key.short());
    }
    if !cli.json {
        println!("the lab {} is believed again", key.short());
    }
    Ok(ExitCode::SUCCESS)
}

/// The first digits of a key, for people.
fn short(lab: &str) -> String {
    sanitize::cut(&printable(lab), 12, "")
}
