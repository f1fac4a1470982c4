//! `host export`: a night for other tools.

use crate::cli::args::{Cli, Export};
use crate::cli::out::println;
use crate::cli::text;
use anyhow::Result;
use nightlab::night::export::{
    Past, write_parquet, write_repository, write_tables, write_tensorboard, write_trackio, write_wandb,
};
use nightlab::night::{past, setup};
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Writes each form that was asked for, and says where.
pub fn export(cli: &Cli, what: &Export) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let (night, policy) = past::night(&store, what.night)?;
    let past = Past::read(&store, night, &policy)?;
    let say = |form: &str, folder: &Path, what: String| match cli.json {
        true => text::json_line(&json!({ "night": past.night.id, "form": form, "folder": folder, "what": what })),
        false => println!("{form:<12} {}: {what}", printable(&folder.to_string_lossy())),
    };
    if let Some(folder) = &what.csv {
        write_tables(folder, &past)?;
        let (trials, runs) = (past.trials.len(), past.runs.len());
        say("csv", folder, format!("trials.csv ({trials}), runs.csv ({runs}), curves.csv"));
    }
    if let Some(folder) = &what.parquet {
        write_parquet(folder, &past)?;
        let (trials, runs) = (past.trials.len(), past.runs.len());
        say("parquet", folder, format!("trials.parquet ({trials}), runs.parquet ({runs}), curves.parquet"));
    }
    if let Some(folder) = &what.git {
        let branch = write_repository(folder, &past)?;
        say("git", folder, format!("branch {branch}, {} keeps; `git log` tells them", past.keeps.len()));
    }
    if let Some(folder) = &what.tensorboard {
        write_tensorboard(folder, &past)?;
        say("tensorboard", folder, format!("{} runs; `tensorboard --logdir` shows them", past.runs.len()));
    }
    if let Some(folder) = &what.wandb_offline {
        let written = write_wandb(folder, &past)?.len();
        say("wandb", folder, format!("{written} runs; `wandb sync DIR/offline-run-*` sends them"));
    }
    if let Some(folder) = &what.trackio {
        let written = write_trackio(folder, &past)?;
        let project = written.file_stem().unwrap_or_default().to_string_lossy();
        say("trackio", folder, format!("project {project}; `TRACKIO_DIR=DIR trackio show` shows it"));
    }
    Ok(ExitCode::SUCCESS)
}
