//! `host top`: a night in the terminal while it runs.
//!
//! `watched` reads the store and what the night says of itself; `glance` puts it into words; `screen` draws them, and
//! `plain` prints them where there is no terminal.

mod glance;
mod plain;
mod screen;
mod watched;

use crate::cli::args::{Cli, Top};
use crate::cli::out;
use anyhow::Result;
use std::process::ExitCode;
use watched::Watched;

/// Shows the night until a key or a signal ends it, or, without a terminal, until the night ends.
pub fn top(cli: &Cli, what: &Top) -> Result<ExitCode> {
    let mut watched = Watched::open(&cli.store, what.night)?;
    match !cli.json && !what.once && out::shows_screens() {
        true => screen::show(&mut watched)?,
        false => plain::print(&mut watched, cli.json, what.once),
    }
    Ok(ExitCode::SUCCESS)
}
