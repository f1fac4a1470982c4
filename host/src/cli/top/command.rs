//! Chooses how a night is shown.

use crate::cli::args::{Cli, Top};
use crate::cli::out;
use crate::cli::top::watched::Watched;
use crate::cli::top::{plain, screen};
use anyhow::Result;
use std::process::ExitCode;

/// Shows the night until a key or a signal ends it, or, without a terminal, until the night ends.
pub fn top(cli: &Cli, what: &Top) -> Result<ExitCode> {
    let mut watched = Watched::open(&cli.store, what.night)?;
    match !cli.json && !what.once && out::shows_screens() {
        true => screen::show(&mut watched)?,
        false => plain::print(&mut watched, cli.json, what.once),
    }
    Ok(ExitCode::SUCCESS)
}
