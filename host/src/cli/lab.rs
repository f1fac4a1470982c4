//! `host init` and `host mcp`: the commands for coding agents.

use crate::cli::args::Cli;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::{Context, Result};
use nightlab::mcp::{self, Settings};
use nightlab::policy::Policy;
use nightlab::system::sanitize::{self, printable};
use std::path::Path;
use std::process::ExitCode;

pub fn init(cli: &Cli, dir: &Path) -> Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let files = nightlab::mcp::init::init(dir, &program)?;
    if cli.json {
        text::json_line(&serde_json::json!({ "dir": dir, "files": files }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} has {}", printable(&dir.to_string_lossy()), files.join(", "));
    let word = |path: &Path| printable(&sanitize::shell_word(&path.to_string_lossy()));
    println!("next: cd {}", word(dir));
    println!("      {} run    a night by its policy.toml", word(&program));
    println!("      or start your coding agent there: AGENTS.md tells it what to do");
    Ok(ExitCode::SUCCESS)
}

/// Standard output belongs to the protocol, so errors always go to standard error.
pub fn mcp(cli: &Cli, policy: Option<&str>) -> Result<ExitCode> {
    let policy_name = policy.unwrap_or(nightlab::night::setup::default_policy()).to_owned();
    let served = Policy::load(&policy_name).map_err(anyhow::Error::from).and_then(|policy| {
        let settings = Settings { store: cli.store.clone(), policy, policy_name, power: cli.power() };
        Ok(mcp::serve(settings)?)
    });
    match served {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {}", printable(&text::error(&error)));
            Ok(ExitCode::FAILURE)
        }
    }
}
