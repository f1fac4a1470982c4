//! `host store`: housekeeping of the store.

use crate::cli::args::Cli;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::Result;
use nightlab::night::setup;
use nightlab::record::store::Fault;
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::process::ExitCode;
use std::time::SystemTime;

pub fn gc(cli: &Cli) -> Result<ExitCode> {
    let store = setup::writable_store(&cli.store)?;
    let collected = store.gc(SystemTime::now())?;
    if cli.json {
        text::json_line(&json!({ "blobs": collected.files, "bytes": collected.bytes }));
    } else {
        println!("removed {} blobs, {}", text::count(collected.files), text::bytes(collected.bytes));
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
