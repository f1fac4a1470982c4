//! `host dash`: the nights of the store in a browser, while they run.

use crate::cli::args::{Cli, Dash};
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::Result;
use nightlab::night::past::PastError;
use nightlab::night::report::dash::{DashError, Server};
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::process::ExitCode;

/// Serves until Ctrl-C, which ends the process: there is nothing to put in order.
pub fn dash(cli: &Cli, what: &Dash) -> Result<ExitCode> {
    let server = Server::open(&cli.store, what.port)?;
    if let Some(night) = what.night.filter(|night| !server.has_night(*night)) {
        return Err(DashError::from(PastError::NoNight(night)).into());
    }
    let url = server.url(what.night);
    if cli.json {
        text::json_line(&json!({ "url": url }));
    } else {
        println!("{url}");
        eprintln!("Ctrl-C ends it; nights go on without it");
        if !server.has_store() {
            let store = printable(&cli.store.to_string_lossy());
            eprintln!("there is no store in {store} yet; the page fills when a night begins there");
        }
    }
    server.run()?;
    Ok(ExitCode::SUCCESS)
}
