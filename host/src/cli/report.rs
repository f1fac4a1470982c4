//! `host report`: writes a night of the store as a file for other people.

use crate::cli::args::{Cli, Report};
use crate::cli::out::println;
use crate::cli::text;
use anyhow::{Context, Result};
use nightlab::night::picture::{Picture, svg};
use nightlab::night::setup;
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Writes every requested format.
pub fn report(cli: &Cli, what: &Report) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let picture = Picture::of_night(&store, what.night)?;
    if let Some(file) = &what.svg {
        write(cli, file, picture.night, &svg::draw(&picture))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(cli: &Cli, file: &Path, night: i64, report: &str) -> Result<()> {
    std::fs::write(file, report).with_context(|| format!("cannot write {}", file.display()))?;
    if cli.json {
        text::json_line(&json!({ "night": night, "file": file }));
    } else {
        println!("{} shows night {night}", printable(&file.to_string_lossy()));
    }
    Ok(())
}
