//! Builds the fuzz targets with the coverage that libFuzzer follows, and runs each from its kept corpus. Only the
//! packages of this workspace are instrumented: this program stands between cargo and rustc for them.
//! `cargo fuzz run --fuzz-dir tests/fuzz --features libfuzzer fuzz-NAME` instruments the dependencies too.

use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Set while this program stands between cargo and rustc.
const COMPILER: &str = "XTASK_FUZZ_COMPILER";

/// Counters per edge, a table of their addresses, and the operands of comparisons, as `cargo fuzz` asks for.
const COVERAGE: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
];

/// The instrumented library is compiled in half the time, and runs fast enough.
const QUICK: &str = "profile.release.package.nightlab.opt-level=1";

/// Bounds of a run: memory in MiB, and seconds for one input.
const MEMORY: &str = "-rss_limit_mb=3072";
const TIMEOUT: &str = "-timeout=20";
const INPUT_BYTES: &str = "-max_len=65536";

/// Most inputs that are kept of a target, and their size: the fast tests run each, and its like.
const KEPT_INPUTS: usize = 48;
const KEPT_BYTES: &str = "-max_len=4096";

pub fn is_compiler() -> bool {
    std::env::var_os(COMPILER).is_some()
}

/// Becomes the compiler that cargo asked for.
pub fn compile() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let compiler = arguments.next().context("cargo named no compiler")?;
    let arguments: Vec<_> = arguments.collect();
    let follows = |pair: &[std::ffi::OsString]| pair[0] == "--crate-type" && pair[1] == "proc-macro";
    let mut command = Command::new(compiler);
    command.args(&arguments);
    if !arguments.windows(2).any(follows) {
        command.args(COVERAGE);
    }
    Err(command.env_remove(COMPILER).exec()).context("starting the compiler")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder of its own, so that what is built every day stays as it is.
fn built_in() -> PathBuf {
    repository().join("target/fuzz")
}

/// The names of all targets, from their files.
fn targets() -> Result<Vec<String>> {
    let files = std::fs::read_dir(repository().join("tests/fuzz/targets"))?;
    let mut names: Vec<String> =
        files.flatten().filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// What is to be done with a target; returns a line for people.
type Todo = dyn Fn(&str) -> Result<String> + Sync;

/// Runs the named targets, or all, two at a time; with `--keep`, keeps what earlier runs found instead.
pub fn run(arguments: &[&str]) -> Result<()> {
    let (todo, named): (Box<Todo>, _) = match arguments {
        ["--keep", named @ ..] => (Box::new(keep), named),
        ["--seconds", seconds, named @ ..] => {
            let seconds = seconds.parse::<u32>().context("--seconds takes a number")?;
            (Box::new(move |name| one(name, seconds)), named)
        }
        named => (Box::new(|name| one(name, 60)), named),
    };
    let all = targets()?;
    if let Some(unknown) = named.iter().find(|name| !all.iter().any(|target| target == *name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    let chosen = if named.is_empty() { all } else { named.iter().map(|&name| name.to_owned()).collect() };
    let built = Command::new(std::env::var_os("CARGO").context("run it as `cargo xtask fuzz`")?)
        .args(["build", "--release", "--package", "fuzz", "--features", "libfuzzer", "--config", QUICK])
        .args(chosen.iter().flat_map(|name| ["--bin".to_owned(), format!("fuzz-{name}")]))
        .env("CARGO_TARGET_DIR", built_in())
        .env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?)
        .env(COMPILER, "1")
        .current_dir(repository())
        .status()?;
    if !built.success() {
        bail!("the targets were not built");
    }
    let (waiting, failed) = (Mutex::new(VecDeque::from(chosen)), Mutex::new(Vec::new()));
    let next = || waiting.lock().ok().and_then(|mut names| names.pop_front());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let found = todo(&name);
                    println!("fuzz {name}: {}", found.as_ref().map_or_else(ToString::to_string, Clone::clone));
                    if let (Err(_), Ok(mut failed)) = (found, failed.lock()) {
                        failed.push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if failed.is_empty() { Ok(()) } else { bail!("something was found by {}", failed.join(", ")) }
}

/// Where runs of a target leave what they find, and its kept inputs.
fn places(name: &str) -> (PathBuf, PathBuf) {
    (built_in().join("found").join(name), repository().join("tests/fuzz/corpus").join(name))
}

/// Runs one target from its kept corpus; what it finds goes to `target/fuzz/found/NAME`. Returns libFuzzer's last line.
fn one(name: &str, seconds: u32) -> Result<String> {
    let (work, kept) = places(name);
    let corpus = work.join("corpus");
    std::fs::create_dir_all(&corpus)?;
    let mut command = target(name);
    command
        .arg(&corpus)
        .args(kept.is_dir().then_some(&kept))
        .args([INPUT_BYTES, &format!("-max_total_time={seconds}")]);
    let said = finish(command.arg(format!("-artifact_prefix={}/", work.display())), &work)?;
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

/// Adds to the kept inputs of a target those that were found and reach more code, the shortest ones first.
fn keep(name: &str) -> Result<String> {
    let (work, kept) = places(name);
    let new = work.join("new");
    if new.is_dir() {
        std::fs::remove_dir_all(&new)?;
    }
    std::fs::create_dir_all(&new)?;
    let before = std::fs::read_dir(&kept)?.count();
    let mut command = target(name);
    command.args(["-merge=1", KEPT_BYTES]).args([&new, &kept, &work.join("corpus")]);
    finish(&mut command, &work)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&new)? {
        let path = entry?.path();
        found.push((std::fs::read(&path)?, path.file_name().context("a file without a name")?.to_owned()));
    }
    found.sort_by(|(one, a), (other, b)| (one.len(), a).cmp(&(other.len(), b)));
    let known = std::fs::read_dir(&kept)?.map(|entry| std::fs::read(entry?.path())).collect::<Result<Vec<_>, _>>()?;
    found.retain(|(bytes, _)| !known.contains(bytes));
    for (bytes, file) in found.iter().take(KEPT_INPUTS.saturating_sub(before)) {
        std::fs::write(kept.join(file), bytes)?;
    }
    Ok(format!("{before} inputs were kept, {} are", std::fs::read_dir(&kept)?.count()))
}

fn target(name: &str) -> Command {
    let mut command = Command::new(built_in().join("release").join(format!("fuzz-{name}")));
    command.args([MEMORY, TIMEOUT]);
    command
}

/// Runs a target to its end. Returns what it said.
fn finish(command: &mut Command, work: &Path) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let from = said.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
    bail!("{} with {}\n{}", output.status, work.display(), &said[from..])
}
