//! The host's side of a program: starts its supervisor, keeps the end of what it says, ends it in time.

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
use std::time::{Duration, Instant};

/// What a program gets of the user's environment without being named: places and languages, no secrets.
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

/// Where the host was started, so that an argument such as `$HOST_LAB/agent.py` can be made in a shell.
const LAB_VARIABLE: &str = "HOST_LAB";

/// A supervisor that was told to end everything and does not is killed after this long.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of a supervisor's report.
const REPORT_BYTES: u64 = 4 << 10;

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Killed(i32),
    NotStarted(String),
    TimedOut,
    Interrupted,
    /// Its supervisor was killed.
    Lost,
}

/// How it ended and the end of what it said.
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

    /// The last lines of standard error, or of standard output where it said nothing there.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let [stdout, stderr] = [&self.stdout, &self.stderr].map(text);
        let said = if stderr.is_empty() { stdout } else { stderr };
        let lines = process::last_lines(&said, count);
        lines.lines().map(|line| sanitize::line(line, 300)).collect::<Vec<_>>().join("\n")
    }
}

/// Without what would act on a terminal, and with a word about what is missing.
fn text(output: &Output) -> String {
    let text = sanitize::printable(output.text().trim_end());
    match output.dropped() {
        0 => text,
        dropped => format!("({dropped} bytes before this are not kept)\n{text}"),
    }
}

/// The program of a command line: a file that can be executed.
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

/// The plain variables that are set, those that are named, and where the host was started.
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

/// What is to be run, where, and how long.
pub(super) struct Order<'a> {
    pub program: &'a Path,
    pub arguments: &'a [String],
    pub environment: &'a [(OsString, OsString)],
    pub folder: &'a Path,
    pub deadline: Instant,
    pub output_bytes: usize,
}

impl Order<'_> {
    /// Runs it to its end, the deadline, or the user's word; afterwards nothing of it is left.
    pub(super) fn carry_out(&self, supervisor: Option<&Path>, stopped: &dyn Fn() -> bool) -> io::Result<Ended> {
        let exe = supervisor.map_or_else(std::env::current_exe, |path| Ok(path.to_owned()))?;
        let (mut connection, theirs) = UnixStream::pair()?;
        let mut command = Command::new(exe);
        command
            .arg(MODE)
            .arg(self.program)
            .args(self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder)
            .stdin(Stdio::from(OwnedFd::from(theirs)));
        // A closed connection tells the supervisor to end it all. It may be gone already.
        let hang_up = || drop(connection.shutdown(Shutdown::Write));
        let ended = process::run_within(
            command,
            &Bounds {
                deadline: self.deadline,
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

/// What a supervisor that has ended said of its program's end.
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
