//! `host data`: lists, adds and shows corpora.

use crate::cli::args::Cli;
use crate::cli::args_house::Data;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::Result;
use nightlab::data;
use nightlab::system::cache;
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Largest `context` of a policy.
const LONGEST_CONTEXT: u64 = 4096;

pub fn data(cli: &Cli, command: &Data) -> Result<ExitCode> {
    match command {
        Data::List => list(cli),
        Data::Add { name, path, field } => add(cli, name, path, field),
        Data::Show { name } => show(cli, name),
    }
}

fn add(cli: &Cli, name: &str, path: &Path, field: &str) -> Result<ExitCode> {
    let added = data::add(name, path, field, &cache::cache_dir()?, &mut |line| eprintln!("{line}"))?;
    let warnings: Vec<String> = added.report.warning().into_iter().chain(replaced(&added)).collect();
    if cli.json {
        text::json_line(&json!({
            "corpus": name, "documents": added.facts.documents, "bytes": added.facts.bytes, "hash": added.facts.hash,
            "longest_context": added.longest_context, "left_out": added.left_out, "replaced": added.replaced,
            "warning": (!warnings.is_empty()).then(|| warnings.join("; ")),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{name}: {} documents, {}", added.facts.documents, text::bytes(added.facts.bytes));
    for (why, omitted) in &added.left_out {
        let more = if omitted.files > omitted.examples.len() { ", …" } else { "" };
        println!("left out: {} ({why}): {}{more}", omitted.files, printable(&omitted.examples.join(", ")));
    }
    warnings.iter().for_each(|warning| println!("warning: {warning}"));
    if added.longest_context < LONGEST_CONTEXT {
        println!("note: a policy's `context` can be at most {} with this corpus", added.longest_context);
    }
    println!("next: put \"{name}\" first in a policy's `corpora`, or host data show {name}");
    Ok(ExitCode::SUCCESS)
}

fn replaced(added: &data::Added) -> Option<String> {
    let before = added.replaced.as_ref()?;
    Some(format!(
        "another text had this name ({before:.12}); experiments on it can't be replayed or sampled until it is added again"
    ))
}

fn list(cli: &Cli) -> Result<ExitCode> {
    for corpus in data::list_all(&cache::cache_dir()?)? {
        if cli.json {
            let facts = match &corpus.facts {
                Ok(Some(f)) => json!({ "bytes": f.bytes, "documents": f.documents, "hash": f.hash }),
                Ok(None) => json!(null),
                Err(why) => json!({ "error": why }),
            };
            text::json_line(&json!({ "corpus": corpus.name, "here": corpus.path.is_some(), "facts": facts }));
            continue;
        }
        let facts = match &corpus.facts {
            Ok(Some(f)) => format!("{:>9}  {:>5} documents  {:.12}", text::bytes(f.bytes), f.documents, f.hash),
            Ok(None) => "not here yet; made when a night or `host setup` needs it".into(),
            Err(why) => printable(why),
        };
        println!("{:<14} {facts}", corpus.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(cli: &Cli, name: &str) -> Result<ExitCode> {
    let cache = cache::cache_dir()?;
    let shown = data::show(name, &cache, &mut |line| eprintln!("{line}"))?;
    let reached = shown.compressors;
    let names = ["train", "search", "confirm", "test"];
    if cli.json {
        let splits: Vec<_> = names
            .iter()
            .zip(shown.report.sizes)
            .map(|(split, (units, bytes))| json!({ "split": split, "units": units, "bytes": bytes }))
            .collect();
        text::json_line(&json!({
            "corpus": name, "bytes": shown.facts.bytes, "documents": shown.facts.documents, "hash": shown.facts.hash,
            "splits": splits, "held_out": shown.report.held_out, "identical": shown.report.identical,
            "bytes_removed": shown.report.bytes_removed, "compressors": reached, "sample": shown.sample,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{name}  {}  {} documents", text::bytes(shown.facts.bytes), shown.facts.documents);
    println!("  hash     {}", shown.facts.hash);
    println!("  file     {}", shown.path.display());
    for (split, (units, bytes)) in names.iter().zip(shown.report.sizes) {
        println!("  {split:<8} {units:>4} documents or sections, {}", text::bytes(bytes));
    }
    println!(
        "  removed  {} identical, {} of passages that a later split holds too",
        shown.report.identical,
        text::bytes(shown.report.bytes_removed)
    );
    shown.report.warning().iter().for_each(|warning| println!("  warning  {warning}"));
    let whole = shown.facts.bytes <= data::COMPRESSED as u64;
    let of = if whole { "whole corpus".into() } else { format!("first {}", text::bytes(data::COMPRESSED as u64)) };
    println!("  bits per byte  gzip {:.2}  xz {:.2}  bzip2 {:.2} ({of})", reached.gzip, reached.xz, reached.bzip2);
    printable(&shown.sample).lines().for_each(|line| println!("  | {line}"));
    Ok(ExitCode::SUCCESS)
}
