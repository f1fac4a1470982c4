//! `host completions` and `host man`: shell completions and man pages, generated from the definition of the command
//! line.

use crate::cli::args::Cli;
use crate::cli::out::{self, println};
use crate::cli::text;
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub fn completions(cli: &Cli, shell: Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "host", &mut script);
    if cli.json {
        text::json_line(&json!({ "shell": shell.to_string(), "script": String::from_utf8(script)? }));
    } else {
        out::write_bytes(&script);
    }
    Ok(ExitCode::SUCCESS)
}

pub fn man(cli: &Cli, dir: Option<&Path>) -> Result<ExitCode> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command().disable_help_subcommand(true)).render(&mut page)?;
        if cli.json {
            text::json_line(&json!({ "page": String::from_utf8(page)? }));
        } else {
            out::write_bytes(&page);
        }
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir)).with_context(|| {
        format!("cannot write manual pages into {}; choose a folder that you may write in", dir.display())
    })?;
    if cli.json {
        text::json_line(&json!({ "dir": dir }));
    } else {
        let dir = printable(&dir.to_string_lossy());
        println!("{dir} has host.1 and a page for each command\nnext: man {dir}/host.1");
    }
    Ok(ExitCode::SUCCESS)
}
