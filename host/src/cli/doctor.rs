//! `host setup`, `host doctor` and `host calibrate`: what a night needs on this machine, and how fast the machine is.

use crate::cli::args::Cli;
use crate::cli::out::println;
use crate::cli::text;
use anyhow::{Result, bail};
use nightlab::data;
use nightlab::experiment::calibrate;
use nightlab::guest::toolchain::{Language, Toolchain};
use nightlab::night::setup;
use nightlab::record::store::Store;
use nightlab::sandbox::backend::Part;
use nightlab::sandbox::{Accelerator, Device, Sandbox, instructions};
use nightlab::system::cache;
use nightlab::system::sanitize::printable;
use nightlab::system::walls::Walls;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How deep, and how many files of each folder and of all, confined processes try to open.
const FOLDER_DEPTH: usize = 3;
const FOLDER_FILES: usize = 64;
const MOST_PRIVATE: usize = 512;

/// Installs what a night needs, and compiles the seed guest as a test.
pub fn setup(cli: &Cli) -> Result<ExitCode> {
    let mut note = |line: &str| {
        if !cli.json {
            println!("{}", printable(line));
        }
    };
    let toolchain = Toolchain::find_or_install(&mut note)?;
    let source = nightlab::guest::source::Source::parse(nightlab::guest::seed::SEED_GUEST)?;
    let bytes = toolchain.compile(&source)?.len();
    let names: Vec<String> = data::BUILT_IN.iter().map(|&name| name.into()).collect();
    let picked = data::pick(&names, &mut note)?;
    if cli.json {
        text::json_line(&json!({
            "toolchain": toolchain.describe(), "seed_guest_bytes": bytes, "corpus": picked.corpus.manifest.name,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    for (name, why) in &picked.passed_over {
        println!("{:<16} not to be had: {}", name, printable(why));
    }
    println!("guest toolchain  {} (the seed guest compiles)", toolchain.describe());
    println!("corpus           {}, {}", picked.corpus.manifest.name, text::bytes(picked.corpus.bytes()));
    println!("\nnext: host run --policy smoke");
    Ok(ExitCode::SUCCESS)
}

/// Checks what a night needs; installs nothing. Exit code 1 if a night could not run.
pub fn doctor(cli: &Cli) -> Result<ExitCode> {
    let mut lines: Vec<(&str, bool, String)> = Vec::new();
    let private = private_files(&cli.store);
    match Toolchain::find() {
        Ok(Some(toolchain)) => {
            lines.push(("guest toolchain", true, toolchain.describe()));
            lines.push(match toolchain.walls(&private) {
                Ok(walls) => ("compiler's walls", walls.hold(), tried(&walls, &private)),
                Err(error) => ("compiler's walls", false, error.to_string()),
            });
        }
        Ok(None) => lines.push(("guest toolchain", false, "not ready; `host setup` finds or installs it".into())),
        Err(error) => lines.push(("guest toolchain", false, error.to_string())),
    }
    for language in Language::ALL {
        let text = match language.find(Path::new(".")) {
            Ok(tool) => format!("{}: {}", language.name(), tool.describe()),
            Err(missing) => missing.to_string(),
        };
        // A night needs none of them.
        lines.push(("other languages", true, text));
    }
    match Sandbox::new(None).walls(&private) {
        Ok(walls) => lines.push(("sandbox", walls.hold(), format!("wasm on, {}", tried(&walls, &private)))),
        Err(status) => lines.push(("sandbox", false, status.to_string())),
    }
    lines.extend(gpu());
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    lines.push(match instructions::chosen() {
        Ok(path) => {
            let (used, there, variable) = (path.name(), instructions::names(), instructions::VARIABLE);
            let class = kernels::cpu::CLASS;
            ("engine", true, format!("class {class}, path {used} of {there} ({variable} chooses), {threads} threads"))
        }
        Err(error) => ("engine", false, error.to_string()),
    });
    match cache::cache_dir() {
        Ok(cache) => {
            for corpus in data::list_all(&cache)? {
                let (ok, what) = match corpus.facts {
                    Ok(Some(facts)) => (true, format!("{}, {} documents", text::bytes(facts.bytes), facts.documents)),
                    Ok(None) => (true, "not here yet; fetched when needed".into()),
                    Err(why) => (false, why),
                };
                lines.push(("corpus", ok, format!("{}: {what}", corpus.name)));
            }
        }
        Err(error) => lines.push(("cache", false, error.to_string())),
    }
    let trials = |exists: bool| exists.then(|| Store::open_to_read(&cli.store)?.count_trials()).transpose();
    lines.push(match Store::exists(&cli.store).and_then(trials) {
        Ok(None) => ("store", true, format!("none in {} yet", cli.store.display())),
        Ok(Some(trials)) => ("store", true, format!("{}, {trials} trials", cli.store.display())),
        Err(error) => ("store", false, error.to_string()),
    });
    for (what, ok, text) in &lines {
        if cli.json {
            text::json_line(&json!({ "what": what, "ok": ok, "text": text }));
        } else {
            println!("{} {what:<16} {}", if *ok { "ok  " } else { "MISS" }, printable(text));
        }
    }
    let all = lines.iter().all(|(_, ok, _)| *ok);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `--device cuda` finds here. A night needs none of it.
fn gpu() -> Vec<(&'static str, bool, String)> {
    let line = |text: String| ("GPU", true, text);
    let accelerator = match Accelerator::find(0) {
        Ok(accelerator) => accelerator,
        Err(error) => return vec![line(format!("none: {error}"))],
    };
    let program = line(format!("host-cuda is {}", accelerator.program().display()));
    let parts = match Sandbox::look(&accelerator) {
        Ok(parts) => parts,
        Err(status) => return vec![program, line(format!("host-cuda does not work: {status}"))],
    };
    let is_whole = parts.iter().all(|part| part.is_there);
    let parts = parts.into_iter().map(|Part { name, text, .. }| line(format!("{name}: {text}")));
    let end = if is_whole { "`--device cuda` has what it needs" } else { "`--device cuda` cannot work yet" };
    std::iter::once(program).chain(parts).chain([line(end.to_owned())]).collect()
}

/// Files that nothing confined may open: what is in the store (keys, secrets and records) and in the cache but for the
/// toolchain (the held-out text).
fn private_files(store: &Path) -> Vec<PathBuf> {
    let inside = cache::cache_dir().ok().and_then(|cache| std::fs::read_dir(cache).ok());
    let cached = inside.into_iter().flatten().flatten().filter(|entry| entry.file_name() != "toolchain");
    let mut files = Vec::new();
    let folders = std::iter::once(store.to_owned()).chain(cached.map(|entry| entry.path()));
    folders.for_each(|folder| add_files(&folder, FOLDER_DEPTH, &mut files));
    files
}

fn add_files(path: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    if path.is_file() && files.len() < MOST_PRIVATE {
        files.push(path.to_owned());
    }
    let inside = depth.checked_sub(1).and_then(|depth| Some((depth, std::fs::read_dir(path).ok()?)));
    let Some((depth, entries)) = inside else { return };
    entries.flatten().take(FOLDER_FILES).for_each(|entry| add_files(&entry.path(), depth, files));
}

fn tried(walls: &Walls, private: &[PathBuf]) -> String {
    let kept = private.len().saturating_sub(walls.opened.len());
    format!("{walls}; {kept} of {} files of store and cache cannot be opened", private.len())
}

/// Compares this machine's speed with a profile.
pub fn calibrate(cli: &Cli, profile: &str) -> Result<ExitCode> {
    let profile = nightlab::policy::load_profile(profile)?;
    let threads = cli.threads.unwrap_or_else(setup::all_cores);
    let found = calibrate::calibrate(&Sandbox::new(None).on(cli.device)?, &profile, threads, u64::MAX)?;
    if found.rows.is_empty() {
        bail!("nothing was measured");
    }
    if cli.json {
        text::json_line(&found);
        return Ok(ExitCode::SUCCESS);
    }
    match cli.device {
        Device::Cpu => println!("profile {} on this machine, {} threads", profile.name, threads),
        device => println!("profile {} on {device}", profile.name),
    }
    println!(
        "{:<14} {:>11} {:>11} {:>7} {:>8} {:>7}  case",
        "class", "predicted", "measured", "factor", "GFLOP/s", "GB/s"
    );
    for row in &found.rows {
        println!(
            "{:<14} {:>8.1} µs {:>8.1} µs {:>7.2} {:>8.1} {:>7.1}  {}",
            row.class, row.predicted_us, row.measured_us, row.factor, row.gflops, row.gbytes, row.case
        );
    }
    println!("this machine runs at {:.2} of the profile's speed", found.speed);
    Ok(ExitCode::SUCCESS)
}
