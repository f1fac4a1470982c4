//! `host split`: the secrets that choose what is held out.

use crate::cli::args::Cli;
use crate::cli::args_house::Split;
use crate::cli::out::println;
use crate::cli::text;
use anyhow::{Result, bail};
use nightlab::night::setup;
use nightlab::record::secret::SplitSecret;
use nightlab::record::store::{SecretRecord, Store, StoreError};
use nightlab::system::clock::unix_ms;
use nightlab::system::user_file;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Longest file of a secret: 64 digits and the end of a line.
const MAX_BYTES: u64 = 100;

pub fn split(cli: &Cli, command: &Split) -> Result<ExitCode> {
    match command {
        Split::Show => show(cli),
        Split::Reveal { commitment } => reveal(cli, commitment.as_deref()),
        Split::Retire { commitment } => retire(cli, commitment.as_deref()),
    }
}

fn show(cli: &Cli) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let secrets = store.secrets()?;
    if secrets.is_empty() && !cli.json {
        println!(
            "no secrets: every held-out text here is public; `split = \"secret\"` in a policy's [task] changes that"
        );
    }
    for record in secrets {
        // Another user cannot read the file, and may know all that the index says.
        let is_lost = matches!(store.secret(&record.commitment), Err(StoreError::SecretLost { .. }));
        let (nights, experiments) = store.secret_uses(&record.commitment)?;
        if cli.json {
            text::json_line(&json!({
                "commitment": record.commitment, "drawn_unix_ms": record.drawn_unix_ms,
                "ended_unix_ms": record.ended_unix_ms, "secret": record.revealed, "is_lost": is_lost, "nights": nights,
                "experiments": experiments,
            }));
            continue;
        }
        let state = match (&record, is_lost) {
            (_, true) => "lost: its file is gone".to_owned(),
            (SecretRecord { revealed: Some(secret), .. }, _) => format!("revealed: {secret}"),
            (SecretRecord { ended_unix_ms: Some(_), .. }, _) => "retired, not revealed".into(),
            _ => "in use".into(),
        };
        println!("{}  {nights} nights, {experiments} experiments  {state}", record.commitment);
    }
    Ok(ExitCode::SUCCESS)
}

/// The secret that is named, or else the one in use.
fn named(store: &Store, commitment: Option<&str>) -> Result<SecretRecord> {
    match commitment {
        Some(prefix) => Ok(store.resolve_secret(prefix)?),
        None => match store.secret_in_use()? {
            Some(record) => Ok(record),
            None => bail!("no secret is in use; `host split show` lists those that were, name one of them"),
        },
    }
}

fn reveal(cli: &Cli, commitment: Option<&str>) -> Result<ExitCode> {
    let store = setup::writable_store(&cli.store)?;
    let record = named(&store, commitment)?;
    let secret = store.reveal_secret(&record.commitment, unix_ms())?;
    if cli.json {
        text::json_line(&json!({ "commitment": record.commitment, "secret": secret.reveal() }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("commitment  {}", record.commitment);
    println!("secret      {}", secret.reveal());
    println!("Nothing new is scored on what it chose: the next night draws another secret.");
    println!("next: host replay HASH --secret {}    in a store that has an experiment on it", secret.reveal());
    Ok(ExitCode::SUCCESS)
}

fn retire(cli: &Cli, commitment: Option<&str>) -> Result<ExitCode> {
    let store = setup::writable_store(&cli.store)?;
    let record = named(&store, commitment)?;
    store.retire_secret(&record.commitment, unix_ms())?;
    if cli.json {
        text::json_line(&json!({ "commitment": record.commitment, "retired": true }));
    } else {
        println!("{} is retired: the next night draws another secret", record.commitment);
    }
    Ok(ExitCode::SUCCESS)
}

/// A secret that another store has revealed: its digits, or a file with them.
pub fn given(text: &str) -> Result<SplitSecret> {
    if let Ok(secret) = SplitSecret::read(text.as_bytes()) {
        return Ok(secret);
    }
    match user_file::read_bytes(Path::new(text), MAX_BYTES) {
        Ok(bytes) => Ok(SplitSecret::read(&bytes)?),
        Err(error) => {
            bail!("--secret takes the 64 digits that `host split reveal` prints, or a file with them: {error}")
        }
    }
}
