//! Child processes with a deadline and capped output.

use crate::system::environment::hide_secrets;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What is kept of a child's output; the rest is read and dropped.
const MAX_OUTPUT_BYTES: usize = 1 << 20;

/// Between two looks at a child.
const POLL: Duration = Duration::from_millis(5);

/// How a child ended.
pub(crate) struct Ended {
    /// None where the deadline passed and it was killed.
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
}

/// Variables that would make a compiler or cargo do something else than asked.
const MISLEADING: [&str; 9] = [
    "LD_LIBRARY_PATH",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
];

/// A command in the user's environment, without what would mislead it and without secrets.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in MISLEADING {
        command.env_remove(name);
    }
    hide_secrets(&mut command);
    command
}

/// Files of that name in the folders of PATH and in `/usr/bin`.
pub(crate) fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/bin")]);
    let mut found: Vec<PathBuf> = Vec::new();
    for file in folders.filter(|f| f.is_absolute()).map(|f| f.join(name)).filter(|f| f.is_file()) {
        if !found.contains(&file) {
            found.push(file);
        }
    }
    found
}

/// Standard output of a command that succeeds in time; else the end of what it said.
pub(crate) fn output(command: Command, limit: Duration) -> Result<String, String> {
    let ended = run(command, limit).map_err(|e| e.to_string())?;
    match ended.status {
        Some(status) if status.success() => Ok(ended.stdout),
        Some(status) => Err(format!("{status}: {}", tail(&ended.stderr))),
        None => Err(format!("no end after {} s: {}", limit.as_secs(), tail(&ended.stderr))),
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Runs a command in a process group of its own, so that nothing it starts outlives the deadline.
pub(crate) fn run(mut command: Command, limit: Duration) -> io::Result<Ended> {
    let mut child =
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    std::thread::scope(|scope| {
        let stdout = scope.spawn(move || stdout.map_or_else(String::new, read_capped));
        let stderr = scope.spawn(move || stderr.map_or_else(String::new, read_capped));
        let ended = wait(&child, Instant::now() + limit);
        // Not reaped yet, so the group's number can't belong to anyone else.
        kill_group(&child);
        let status = child.wait()?;
        let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
        Ok(Ended { status: ended?.then_some(status), stdout, stderr })
    })
}

/// Whether the child ended by itself before the deadline. Leaves it to be reaped.
fn wait(child: &Child, deadline: Instant) -> io::Result<bool> {
    let Some(pid) = pid(child) else {
        return Ok(true);
    };
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    loop {
        if waitid(WaitId::Pid(pid), look)?.is_some() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// A group that is gone already is no error.
fn kill_group(child: &Child) {
    if let Some(group) = pid(child) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn read_capped(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let room = MAX_OUTPUT_BYTES.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
    String::from_utf8_lossy(&kept).into_owned()
}
