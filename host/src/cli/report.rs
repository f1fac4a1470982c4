//! `host report`: writes a night of the store as files for other people.

use crate::cli::args::{Cli, Report};
use crate::cli::ctrl_c::stop_on_ctrl_c;
use crate::cli::night_view::NightView;
use crate::cli::out::println;
use crate::cli::text;
use anyhow::{Context, Result};
use nightlab::night::event::Event;
use nightlab::night::report::picture::Picture;
use nightlab::night::report::svg;
use nightlab::night::{Night, Plan, past, setup};
use nightlab::system::sanitize::printable;
use nightlab::system::user_file;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Writes every requested format.
pub fn report(cli: &Cli, what: &Report) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    if what.seal {
        seal(cli, what.night)?;
    }
    let Some(file) = &what.svg else { return Ok(ExitCode::SUCCESS) };
    let picture = Picture::of_night(&store, what.night)?;
    write(cli, file, picture.night, &svg::draw(&picture))?;
    Ok(ExitCode::SUCCESS)
}

/// Reports a night of the store as if it ended now.
fn seal(cli: &Cli, number: Option<i64>) -> Result<()> {
    let store = setup::writable_store(&cli.store)?;
    let (night, policy) = past::night(&store, number)?;
    let stop = stop_on_ctrl_c()?;
    let name = night.policy_name.clone();
    let mut view = NightView::new(cli.json, &name, &cli.store);
    let mut tell = |event: Event| view.show(&event);
    let brief = setup::brief()?;
    let (bench, seed_guest) = setup::bench_of_night(store, (&night, &policy), (cli.threads, cli.jobs), &mut tell)?;
    let plan = Plan { night: Some(night), ..Plan::for_one(&policy, &name, &brief, seed_guest) };
    Night::begin(&bench, plan, &stop, &mut tell)?.seal()?;
    Ok(())
}

fn write(cli: &Cli, file: &Path, night: i64, report: &str) -> Result<()> {
    user_file::write(file, report).with_context(|| format!("cannot write {}", file.display()))?;
    if cli.json {
        text::json_line(&json!({ "night": night, "file": file }));
    } else {
        println!("{} shows night {night}", printable(&file.to_string_lossy()));
    }
    Ok(())
}
