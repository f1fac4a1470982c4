//! The host's side of a program: starts its supervisor, keeps the end of what it says, ends it in time.

use crate::propose::command::error::CommandError;
use crate::propose::command::supervisor::MODE;
use crate::system::sanitize;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

/// Between two looks at the clock and at the user's wish to stop.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// A supervisor that was told to end everything and does not is killed after this long.
const PATIENCE: Duration = Duration::from_secs(15);
/// What it gets at least, where the host itself fails.
const GRACE: Duration = Duration::from_millis(200);
/// Reads that empty a pipe of any usual size.
const MOST_READS: usize = 256;
/// The supervisor's report, the program's standard output, its standard error.
const STREAMS: usize = 3;

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
    stdout: Tail,
    stderr: Tail,
}

impl Ended {
    /// Both outputs, escaped.
    pub(super) fn output(&self) -> String {
        [&self.stdout, &self.stderr]
            .map(Tail::text)
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The last lines of standard error, or of standard output where it said nothing there.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let text = Some(self.stderr.text()).filter(|text| !text.is_empty()).unwrap_or_else(|| self.stdout.text());
        let lines: Vec<String> = text.lines().rev().take(count).map(|line| sanitize::line(line, 300)).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
struct Tail {
    kept: VecDeque<u8>,
    dropped: u64,
}

/// What one read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
    Closed,
}

impl Tail {
    /// Reads once, without waiting.
    fn read(&mut self, stream: &OwnedFd, cap: usize) -> Read {
        let mut buffer = [0; 16 << 10];
        match rustix::io::read(stream, &mut buffer) {
            Ok(0) => Read::Closed,
            Ok(count) => {
                self.push(buffer.get(..count).unwrap_or_default(), cap);
                Read::Some
            }
            Err(Errno::INTR | Errno::AGAIN) => Read::Nothing,
            Err(_) => Read::Closed,
        }
    }

    fn push(&mut self, bytes: &[u8], cap: usize) {
        self.kept.extend(bytes);
        let over = self.kept.len().saturating_sub(cap);
        self.kept.drain(..over);
        self.dropped = self.dropped.saturating_add(over as u64);
    }

    /// Without what a terminal would take as commands, and with a word about what is missing.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.kept.iter().copied().collect();
        let text = sanitize::printable(String::from_utf8_lossy(&bytes).trim_end());
        if self.dropped == 0 { text } else { format!("({} bytes before this are not kept)\n{text}", self.dropped) }
    }
}

/// The program of a command line: a file that can be executed.
pub(super) fn find(argv: &[String]) -> Result<PathBuf, CommandError> {
    let name = argv.first().filter(|name| !name.is_empty()).ok_or_else(|| CommandError::NotFound(String::new()))?;
    let shown = || sanitize::line(name, 200);
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![std::path::absolute(name)?]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).collect()
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
        let mut running = Running::start(self, supervisor)?;
        let mut early = None;
        let mut patience = None;
        while running.listen(self.output_bytes)? {
            let now = Instant::now();
            if patience.is_some_and(|until| now >= until) {
                break;
            }
            if early.is_none() {
                early =
                    if stopped() { Some(End::Interrupted) } else { (now >= self.deadline).then_some(End::TimedOut) };
                if early.is_some() {
                    running.hang_up();
                    patience = Some(now + PATIENCE);
                }
            }
        }
        running.drain(self.output_bytes);
        let end = early.unwrap_or_else(|| running.report());
        let [_, stdout, stderr] = std::mem::take(&mut running.said);
        Ok(Ended { end, stdout, stderr })
    }
}

/// A supervisor and what comes from it: its report, the program's standard output and standard error, each until closed.
struct Running {
    process: Child,
    streams: [Option<OwnedFd>; STREAMS],
    said: [Tail; STREAMS],
}

impl Running {
    fn start(order: &Order, supervisor: Option<&Path>) -> io::Result<Self> {
        let exe = supervisor.map_or_else(std::env::current_exe, |path| Ok(path.to_owned()))?;
        let (connection, theirs) = UnixStream::pair()?;
        let mut process = Command::new(exe)
            .arg(MODE)
            .arg(order.program)
            .args(order.arguments)
            .env_clear()
            .envs(order.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(order.folder)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdout, stderr) = (process.stdout.take().map(OwnedFd::from), process.stderr.take().map(OwnedFd::from));
        let running = Self { process, streams: [Some(connection.into()), stdout, stderr], said: Default::default() };
        for stream in running.streams.iter().flatten() {
            rustix::io::ioctl_fionbio(stream, true)?;
        }
        Ok(running)
    }

    /// Reads what there is, or waits a moment; false when the supervisor is gone, and with it everything below it.
    fn listen(&mut self, cap: usize) -> io::Result<bool> {
        let mut look: Vec<PollFd> = self
            .streams
            .iter()
            .flatten()
            .map(|stream| PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN))
            .collect();
        match poll(&mut look, Some(&TICK)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for (stream, said) in self.streams.iter_mut().zip(&mut self.said) {
            if stream.as_ref().is_some_and(|open| said.read(open, cap) == Read::Closed) {
                *stream = None;
            }
        }
        Ok(self.streams[0].is_some())
    }

    /// What is left in the pipes. Only where the supervisor was killed can somebody still be writing to them.
    fn drain(&mut self, cap: usize) {
        for (stream, said) in self.streams.iter().zip(&mut self.said) {
            let reads = (0..MOST_READS).map_while(|_| stream.as_ref().map(|open| said.read(open, cap)));
            reads.take_while(|read| *read == Read::Some).for_each(drop);
        }
    }

    /// Tells the supervisor to end it all. The other direction stays open: its end says that everything is dead.
    fn hang_up(&mut self) {
        if let Some(connection) = &self.streams[0] {
            // It may be gone already.
            let _ = rustix::net::shutdown(connection, rustix::net::Shutdown::Write);
        }
    }

    fn report(&self) -> End {
        let text = self.said[0].text();
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        match (word, rest.parse()) {
            ("exited", Ok(code)) => End::Exited(code),
            ("killed", Ok(signal)) => End::Killed(signal),
            ("unstarted", _) => End::NotStarted(rest.to_owned()),
            _ => End::Lost,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.streams[0].is_some() {
            self.hang_up();
            std::thread::sleep(GRACE);
            let _ = self.process.kill();
        }
        // Fails only where it was reaped already.
        let _ = self.process.wait();
    }
}
