//! `host data`: lists, adds and shows corpora.

use crate::cli::args::{Cli, Data};
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::Result;
use nightlab::data::{self, compress};
use nightlab::system::cache;
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::process::ExitCode;

pub fn data(cli: &Cli, command: &Data) -> Result<ExitCode> {
    match command {
        Data::List => list(cli),
        Data::Add { name, path } => {
            let corpus = data::add(name, path, &cache::cache_dir()?)?;
            let (documents, bytes) = (corpus.documents.len(), corpus.bytes());
            let warning = data::split::split(&corpus)?.report.warning();
            if cli.json {
                text::json_line(&json!({
                    "corpus": name, "documents": documents, "bytes": bytes, "hash": corpus.manifest.hash_hex(),
                    "warning": warning,
                }));
            } else {
                println!("{name}: {documents} documents, {}", text::bytes(bytes));
                warning.iter().for_each(|warning| println!("warning: {warning}"));
                println!(
                    "next: put \"{name}\" first in a policy's `corpora`, or host data show {}",
                    text::shell_word(name)
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Data::Show { name } => show(cli, name),
    }
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
    let corpus = data::open(name, &cache, &mut |_| {})?;
    let reached = compress::cached(&corpus.text(), &cache)?;
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
    println!(
        "  bits per byte  gzip {:.2}  xz {:.2}  bzip2 {:.2} (whole corpus)",
        reached.gzip, reached.xz, reached.bzip2
    );
    printable(&shown.sample).lines().for_each(|line| println!("  | {line}"));
    Ok(ExitCode::SUCCESS)
}
