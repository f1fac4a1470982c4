//! `host store`: housekeeping of the store.

use crate::cli::args::Cli;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::Result;
use nightlab::night::{past, setup};
use nightlab::record::store::Fault;
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::process::ExitCode;
use std::time::SystemTime;

pub fn gc(cli: &Cli, dry_run: bool) -> Result<ExitCode> {
    let store = if dry_run { setup::existing_store(&cli.store)? } else { setup::writable_store(&cli.store)? };
    let rules = past::retention(&store)?;
    let (weights, blobs) = match dry_run {
        true => (store.would_let_go(&rules, kernels::cpu::CLASS)?, store.would_gc(SystemTime::now())?),
        false => (store.let_go_beside_others(&rules, kernels::cpu::CLASS)?, store.gc(SystemTime::now())?),
    };
    if cli.json {
        text::json_line(&json!({
            "blobs": blobs.files, "bytes": blobs.bytes, "runs": weights.runs, "weights_bytes": weights.bytes,
            "dry_run": dry_run,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let removed = if dry_run { "would remove" } else { "removed" };
    println!("{removed} {} blobs that nothing refers to, {}", text::count(blobs.files), text::bytes(blobs.bytes));
    println!("{removed} weights of {} runs, {}", text::count(weights.runs), text::bytes(weights.bytes));
    println!(
        "kept are the weights of the last {} runs, of kept trials and of the baseline, up to {} GB (`[store]` in the policy)",
        rules.keep_runs, rules.quota_gb
    );
    if weights.runs > 0 {
        println!("what is removed is made again when it is needed; `{} replay KEY` proves it", text::host(store.dir()));
    }
    Ok(ExitCode::SUCCESS)
}

pub fn check(cli: &Cli, mend: bool) -> Result<ExitCode> {
    let store = if mend { setup::writable_store(&cli.store)? } else { setup::existing_store(&cli.store)? };
    // Nothing may be mended under a running trial.
    let _lock = if mend { Some(store.lock_run()?) } else { None };
    let checked = store.check(mend, &mut |line| eprintln!("{line}"))?;
    let left: Vec<&Fault> = checked.faults.iter().filter(|fault| !fault.is_mended).collect();
    if cli.json {
        text::json_line(&checked);
    } else {
        println!(
            "read {} blobs, {}, and {} records",
            text::count(checked.blobs),
            text::bytes(checked.bytes),
            text::count(checked.records)
        );
        if checked.let_go > 0 {
            println!("the weights of {} runs were let go to save space", text::count(checked.let_go));
        }
        for fault in &checked.faults {
            let what = if fault.is_mended { "mended" } else { "fault " };
            println!("{what}  {}\n        {}", printable(&fault.what), fault.remedy);
        }
        if checked.unreferenced > 0 {
            println!("{} blobs belong to no record; `host store gc` removes old ones", checked.unreferenced);
        }
        match (left.is_empty(), left.iter().any(|fault| fault.can_be_mended)) {
            (true, _) => println!("everything is as it was written"),
            (false, true) if !mend => println!("next: host store check --mend mends what it can"),
            (false, _) => println!("{} faults are left", left.len()),
        }
    }
    Ok(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
