//! `host report`: writes a night of the store as files for other people, or two nights side by side.

use crate::cli::args::{Cli, Report};
use crate::cli::ctrl_c::stop_on_ctrl_c;
use crate::cli::night_view::NightView;
use crate::cli::out::println;
use crate::cli::text;
use anyhow::{Context, Result, bail};
use nightlab::night::event::Event;
use nightlab::night::report::page::Page;
use nightlab::night::report::pages;
use nightlab::night::{Night, Plan, past, setup};
use nightlab::record::store::Store;
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Writes the report of a night, or of two.
pub fn report(cli: &Cli, what: &Report) -> Result<ExitCode> {
    let folder = what.to.as_deref().unwrap_or(&cli.store);
    let written = match what.nights.as_slice() {
        [] => one(cli, what, &Which::last(&cli.store), folder)?,
        [night] => one(cli, what, &Which::of(night, &cli.store), folder)?,
        [first, second] if !what.seal => {
            let read = |text: &String| Which::of(text, &cli.store).read();
            pages::write_comparison(folder, &[read(first)?, read(second)?])?
        }
        [_, _] => bail!("--seal ends one night; compare nights without it"),
        _ => bail!("two nights can be compared, not {}", what.nights.len()),
    };
    if cli.json {
        text::json_line(&json!({ "files": written }));
    } else {
        written.iter().for_each(|file| println!("{}", printable(&file.to_string_lossy())));
    }
    Ok(ExitCode::SUCCESS)
}

fn one(cli: &Cli, what: &Report, which: &Which, folder: &Path) -> Result<Vec<PathBuf>> {
    if what.seal {
        seal(cli, which)?;
        // It has written the page, with text that the champion wrote.
        if what.to.is_none() && which.store == cli.store {
            return Ok(pages::files(folder));
        }
    }
    Ok(pages::write(folder, &which.read()?)?)
}

/// A night of a store, as a user names it: a number, the folder of a store, or both with a colon between them.
struct Which {
    store: PathBuf,
    number: Option<i64>,
}

impl Which {
    fn last(store: &Path) -> Self {
        Self { store: store.to_owned(), number: None }
    }

    fn of(text: &str, store: &Path) -> Self {
        if let Ok(number) = text.parse() {
            return Self { store: store.to_owned(), number: Some(number) };
        }
        let parts = text.rsplit_once(':').and_then(|(folder, number)| Some((folder, number.parse().ok()?)));
        match parts {
            Some((folder, number)) if !Path::new(text).exists() => Self { store: folder.into(), number: Some(number) },
            _ => Self::last(Path::new(text)),
        }
    }

    fn open(&self) -> Result<Store> {
        Ok(setup::existing_store(&self.store)?)
    }

    fn read(&self) -> Result<Page> {
        let store = self.open()?;
        let (night, policy) = past::night(&store, self.number)?;
        let of = || format!("night {} of {}", night.id, self.store.display());
        Page::of(&store, &night, &policy).with_context(of)
    }
}

/// Reports a night of the store as if it ended now.
fn seal(cli: &Cli, which: &Which) -> Result<()> {
    let store = setup::writable_store(&which.store)?;
    let (night, policy) = past::night(&store, which.number)?;
    let stop = stop_on_ctrl_c()?;
    let name = night.policy_name.clone();
    let mut view = NightView::new(cli.json, &name, &which.store);
    let mut tell = |event: Event| view.show(&event);
    let brief = setup::brief()?;
    let (bench, seed_guest) = setup::bench_of_night(store, (&night, &policy), cli.power(), &mut tell)?;
    let plan = Plan { night: Some(night), ..Plan::for_one(&policy, &name, &brief, seed_guest) };
    Night::begin(&bench, plan, &stop, &mut tell)?.seal()?;
    Ok(())
}
