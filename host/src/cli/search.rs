//! `host search`: prints a table of points to standard output, and everything else to standard error.

use crate::cli::args::{Cli, Search};
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::{Context, Result, bail};
use nightlab::guest::source::MAX_SOURCE_BYTES;
use nightlab::night::event::Event;
use nightlab::night::search::random_search;
use nightlab::night::setup;
use nightlab::policy::Policy;
use nightlab::record::store::Store;
use nightlab::system::sanitize::printable;
use nightlab::system::user_file;
use std::process::ExitCode;

/// Prints one line for each point. Writes the source of the best point if requested.
pub fn search(cli: &Cli, what: &Search) -> Result<ExitCode> {
    let Search { policy, trials, random_seed, spread, guest, write } = what;
    if !(*spread > 1.0 && *spread <= 100.0) {
        bail!("--spread must be above 1 and at most 100");
    }
    let policy = Policy::load(policy)?;
    let text = match guest {
        Some(path) => {
            user_file::read(path, MAX_SOURCE_BYTES as u64).with_context(|| format!("cannot read {}", path.display()))?
        }
        None => nightlab::guest::seed::SEED_GUEST.to_string(),
    };
    let store = Store::open(&cli.store)?;
    let _lock = store.lock_run()?;
    let mut note = |event: Event| match event {
        Event::Setup { what, text } => eprintln!("{what:<16} {}", printable(&text)),
        Event::Note { text } | Event::Fault { text } => eprintln!("{}", printable(&text)),
        _ => {}
    };
    let (bench, seed_guest) = setup::bench(store, &policy, cli.power(), &mut note)?;
    if !cli.json {
        println!("point\tval_bpb\tsteps\tconstants");
    }
    let first = bench.manifest(&seed_guest.component, *random_seed).key();
    let best = random_search(&bench, &text, *trials, *random_seed, *spread, &mut |point| {
        if cli.json {
            text::json_line(point);
        } else {
            let bpb = point.bpb.map_or_else(|| printable(&point.status), |bpb| format!("{bpb:.4}"));
            println!("{}\t{bpb}\t{}\t{}", point.number, point.steps, printable(&point.constants));
        }
        if let Err(error) = bench.store.let_go(&policy.store, bench.sandbox.class(), &first) {
            eprintln!("old weights are still in the store: {error}");
        }
    })?;
    if let (Some(path), Some(text)) = (write, best) {
        user_file::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
