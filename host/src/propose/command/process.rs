//! The host's side of a program: starts its supervisor, keeps the end of its output, and ends it in time.

use crate::propose::command::error::CommandError;
use crate::propose::command::supervisor::MODE;
use crate::system::process::{self, Bounds, Keep, Output};
use crate::system::sanitize;
use rustix::fs::{Access, access};
use std::ffi::OsString;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Environment variables that every program gets: folders and languages, no secrets.
const PLAIN_VARIABLES: [&str; 15] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
];

/// The folder where the host was started. A shell can use it in arguments such as `$HOST_LAB/agent.py`.
const LAB_VARIABLE: &str = "HOST_LAB";

/// A supervisor that was told to end everything is killed after this time.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest supervisor report in bytes.
const REPORT_BYTES: u64 = 4 << 10;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Killed(i32),
    NotStarted(String),
    TimedOut,
    Interrupted,
    /// The supervisor was killed.
    Lost,
}

/// How a program ended, and the end of its output.
#[derive(Debug)]
pub(super) struct Ended {
    pub end: End,
    stdout: Output,
    stderr: Output,
}

impl Ended {
    /// Both outputs, escaped.
    pub(super) fn output(&self) -> String {
        [&self.stdout, &self.stderr]
            .map(text)
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The last lines of both outputs: agents write why they failed to either, and warnings to the other.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let [stdout, stderr] = [&self.stdout, &self.stderr].map(text);
        let each = if stdout.is_empty() || stderr.is_empty() { count } else { count / 2 };
        let lines = [stdout, stderr].map(|said| process::last_lines(&said, each));
        let lines = lines.iter().flat_map(|said| said.lines()).map(|line| sanitize::line(line, 300));
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// The output, safe for a terminal, with a note about dropped bytes.
fn text(output: &Output) -> String {
    let text = sanitize::printable(output.text().trim_end());
    match output.dropped() {
        0 => text,
        dropped => format!("({dropped} bytes before this are not kept)\n{text}"),
    }
}

/// Finds the executable file of a command line.
pub(super) fn find(argv: &[String]) -> Result<PathBuf, CommandError> {
    let name = argv.first().filter(|name| !name.is_empty()).ok_or_else(|| CommandError::NotFound(String::new()))?;
    let shown = || sanitize::line(name, 200);
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![std::path::absolute(name)?]
    } else {
        process::path_folders().into_iter().map(|folder| folder.join(name)).collect()
    };
    let files: Vec<PathBuf> = candidates.into_iter().filter(|path| path.is_file()).collect();
    if files.is_empty() {
        return Err(CommandError::NotFound(shown()));
    }
    let executable = |path: &PathBuf| access(path, Access::EXEC_OK).is_ok();
    files.into_iter().find(executable).ok_or_else(|| CommandError::NotExecutable(shown()))
}

/// The plain variables that are set, the named ones, and the folder where the host was started.
pub(super) fn environment(named: &[String]) -> Result<Vec<(OsString, OsString)>, CommandError> {
    let mut all = Vec::new();
    for name in PLAIN_VARIABLES {
        all.extend(std::env::var_os(name).map(|value| (name.into(), value)));
    }
    for name in named {
        let value = std::env::var_os(name).ok_or_else(|| CommandError::NoVariable(sanitize::line(name, 80)))?;
        all.push((name.into(), value));
    }
    all.push((LAB_VARIABLE.into(), std::env::current_dir()?.into()));
    Ok(all)
}

/// The program to run, its folder and its time limit.
pub(super) struct Order<'a> {
    pub program: &'a Path,
    pub arguments: &'a [String],
    pub environment: &'a [(OsString, OsString)],
    pub folder: &'a Path,
    pub limit: Duration,
    pub output_bytes: usize,
}

impl Order<'_> {
    /// Runs the program to its end, the end of its time, or until it is stopped. Afterwards all its processes are gone.
    pub(super) fn carry_out(&self, supervisor: Option<&Path>, stopped: &dyn Fn() -> bool) -> io::Result<Ended> {
        let (mut connection, theirs) = UnixStream::pair()?;
        let mut command = supervisor.map_or_else(process::this_program, Command::new);
        command
            .arg(MODE)
            .arg(self.program)
            .args(self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder)
            .stdin(Stdio::from(OwnedFd::from(theirs)));
        // A closed connection tells the supervisor to end everything. It may already be gone.
        let hang_up = || drop(connection.shutdown(Shutdown::Write));
        let ended = process::run_within(
            command,
            &Bounds {
                limit: self.limit,
                stopped,
                ask_to_end: &hang_up,
                patience: PATIENCE,
                output_bytes: self.output_bytes,
                keep: Keep::Tail,
            },
        )?;
        let end = match ended.end {
            process::End::Exited(_) => report(&mut connection)?,
            process::End::TimedOut => End::TimedOut,
            process::End::Stopped => End::Interrupted,
        };
        Ok(Ended { end, stdout: ended.stdout, stderr: ended.stderr })
    }
}

/// The program's end, as reported by a supervisor that has ended.
fn report(connection: &mut UnixStream) -> io::Result<End> {
    connection.set_nonblocking(true)?;
    let mut said = Vec::new();
    match connection.take(REPORT_BYTES).read_to_end(&mut said) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let text = sanitize::printable(&String::from_utf8_lossy(&said));
    Ok(match text.split_once(' ').map(|(word, rest)| (word, rest, rest.parse())) {
        Some(("exited", _, Ok(code))) => End::Exited(code),
        Some(("killed", _, Ok(signal))) => End::Killed(signal),
        Some(("unstarted", reason, _)) => End::NotStarted(reason.to_owned()),
        Some(_) | None => End::Lost,
    })
}
