//! Child processes: commands without secrets, deadlines, capped output, and process groups that are killed as a whole.

use crate::system::clock::Countdown;
use crate::system::environment::hide_secrets;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes that are kept from the start of a command's output.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Longest wait between two checks of a child.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
/// Number of reads that empty a pipe of any usual size.
const MOST_READS: usize = 256;

/// Variables that would change what a compiler or cargo does.
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

/// A command in the user's environment, without misleading variables and without secrets.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in MISLEADING {
        command.env_remove(name);
    }
    hide_secrets(&mut command);
    command
}

/// This very program. An update may have replaced the file under the program's own path since it started; a child of
/// another version could answer otherwise, or not at all.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// A command that starts this very program again.
pub(crate) fn this_program() -> Command {
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0("host");
    command
}

/// The absolute folders of PATH; empty if it is not set.
pub(crate) fn path_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH");
    path.iter().flat_map(std::env::split_paths).filter(|folder| folder.is_absolute()).collect()
}

/// Files with this name in the folders of PATH, in cargo's folder and in `/usr/bin`: cron and systemd start programs
/// with a short PATH.
pub(crate) fn on_path(name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let cargo =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let cargo = cargo.map(|home| home.join("bin")).filter(|folder| folder.is_absolute());
    for folder in path_folders().into_iter().chain(cargo).chain([PathBuf::from("/usr/bin")]) {
        let file = folder.join(name);
        if file.is_file() && !found.contains(&file) {
            found.push(file);
        }
    }
    found
}

/// A child that leads a process group. On drop, the whole group is killed and the child is reaped.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    /// After this, its process id may belong to another process.
    is_reaped: bool,
}

impl Group {
    /// Takes over a child that leads a group, or will lead one.
    pub(crate) fn new(child: Child) -> Self {
        Self { child, is_reaped: false }
    }

    /// Whether the child has ended. Does not reap it, so that its process id stays its own.
    fn has_ended(&self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        Ok(waitid(WaitId::Pid(Pid::from_child(&self.child)), look)?.is_some())
    }

    /// How the child ended, if it has.
    pub(crate) fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.is_reaped |= status.is_some();
        Ok(status)
    }

    /// Asks the child to read its configuration again.
    pub(crate) fn hang_up(&self) {
        if !self.is_reaped {
            // Fails if no process is left in the group.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::HUP);
        }
    }

    /// Asks the child to end, and waits.
    pub(crate) fn end_in_order(&mut self) -> io::Result<ExitStatus> {
        if !self.is_reaped {
            // Fails if no process is left in the group.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
        }
        self.wait()
    }

    /// Waits for the child to end.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.is_reaped = true;
        Ok(status)
    }

    /// Kills the rest of the group, and returns the child's exit status.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if !self.is_reaped {
            // Fails if no process is left in the group.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            // For a child that does not lead its group yet. Fails if it has ended.
            let _ = self.child.kill();
        }
        self.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails only if the system has lost the child; then there is nothing left to kill.
        let _ = self.end();
    }
}

/// Which end of a stream is kept if it exceeds the cap. The rest is read and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Head,
    Tail,
}

/// Output of a stream, up to a cap.
#[derive(Debug)]
pub(crate) struct Output {
    keep: Keep,
    cap: usize,
    kept: VecDeque<u8>,
    dropped: u64,
}

impl Output {
    fn new(keep: Keep, cap: usize) -> Self {
        Self { keep, cap, kept: VecDeque::new(), dropped: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        let over = self.kept.len().saturating_sub(self.cap);
        match self.keep {
            Keep::Head => self.kept.truncate(self.cap),
            Keep::Tail => drop(self.kept.drain(..over)),
        }
        self.dropped = self.dropped.saturating_add(over as u64);
    }

    /// The kept bytes as text. Bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self) -> String {
        let bytes: Vec<u8> = self.kept.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Number of dropped bytes.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Result of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
    Closed,
}

/// A pipe from a child, read without blocking until it is closed.
struct Stream {
    pipe: Option<OwnedFd>,
    output: Output,
}

impl Stream {
    fn new(pipe: Option<OwnedFd>, output: Output) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self { pipe, output })
    }

    fn read(&mut self) -> Read {
        let Some(pipe) = &self.pipe else { return Read::Closed };
        let mut buffer = [0; 16 << 10];
        match rustix::io::read(pipe, &mut buffer) {
            Ok(count @ 1..) => {
                self.output.push(&buffer[..count]);
                Read::Some
            }
            Err(Errno::INTR | Errno::AGAIN) => Read::Nothing,
            Ok(0) | Err(_) => {
                self.pipe = None;
                Read::Closed
            }
        }
    }

    /// Reads the rest of the pipe, in a limited number of reads: a process that left the group may still write to it.
    fn drain(&mut self) {
        (0..MOST_READS).take_while(|_| self.read() == Read::Some).for_each(drop);
    }
}

/// Limits of a child.
pub(crate) struct Bounds<'a> {
    /// After this time the child is ended.
    pub limit: Duration,
    /// Called many times a second. If it returns true, the child is ended before its time is up.
    pub stopped: &'a dyn Fn() -> bool,
    /// Asks the child to end by itself. If it has not ended after [`Bounds::patience`], it is killed.
    pub ask_to_end: &'a dyn Fn(),
    /// See [`Bounds::ask_to_end`].
    pub patience: Duration,
    /// Bytes to keep of each output.
    pub output_bytes: usize,
    /// Which end of the output to keep.
    pub keep: Keep,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, or another process killed it.
    Exited(ExitStatus),
    /// Its time was up.
    TimedOut,
    /// The caller stopped it.
    Stopped,
}

/// How a child ended, and its output.
#[derive(Debug)]
pub(crate) struct Ended {
    pub end: End,
    pub stdout: Output,
    pub stderr: Output,
}

impl Bounds<'_> {
    /// A time limit, and the start of the output.
    fn of_time(limit: Duration) -> Self {
        Self {
            limit,
            stopped: &|| false,
            ask_to_end: &|| (),
            patience: Duration::ZERO,
            output_bytes: MAX_OUTPUT_BYTES,
            keep: Keep::Head,
        }
    }
}

/// Runs a command in its own process group until it ends or the time is up. Keeps the start of its output.
pub(crate) fn run(mut command: Command, limit: Duration) -> io::Result<Ended> {
    command.process_group(0).stdin(Stdio::null());
    run_within(command, &Bounds::of_time(limit))
}

/// Like [`run`], and ends the child if `stopped` returns true. The child cannot open its own output again for reading,
/// as it could open a pipe through `/proc`, past Landlock.
pub(crate) fn run_closed(mut command: Command, limit: Duration, stopped: &dyn Fn() -> bool) -> io::Result<Ended> {
    let ((stdout, child_stdout), (stderr, child_stderr)) = (UnixStream::pair()?, UnixStream::pair()?);
    command.process_group(0).stdin(Stdio::null());
    command.stdout(OwnedFd::from(child_stdout)).stderr(OwnedFd::from(child_stderr));
    let child = command.spawn()?;
    drop(command);
    watch_to_the_end(child, [Some(stdout.into()), Some(stderr.into())], &Bounds { stopped, ..Bounds::of_time(limit) })
}

/// Runs a command that leads a process group until it ends or reaches a limit. Afterwards the whole group is gone.
pub(crate) fn run_within(mut command: Command, bounds: &Bounds) -> io::Result<Ended> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // This also drops this side's copy of the child's input.
    drop(command);
    let output = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
    watch_to_the_end(child, output, bounds)
}

fn watch_to_the_end(child: Child, [stdout, stderr]: [Option<OwnedFd>; 2], bounds: &Bounds) -> io::Result<Ended> {
    let mut group = Group::new(child);
    let output = || Output::new(bounds.keep, bounds.output_bytes);
    let mut streams = [Stream::new(stdout, output())?, Stream::new(stderr, output())?];
    let early = watch(&group, &mut streams, bounds);
    if !matches!(early, Ok(None)) {
        (bounds.ask_to_end)();
        let patience = Instant::now() + bounds.patience;
        while Instant::now() < patience && !group.has_ended()? {
            listen(&mut streams)?;
        }
    }
    let status = group.end()?;
    streams.iter_mut().for_each(Stream::drain);
    let [stdout, stderr] = streams.map(|stream| stream.output);
    Ok(Ended { end: early?.unwrap_or(End::Exited(status)), stdout, stderr })
}

/// Reads output until the child ends or must be ended. Returns the reason if it must be ended, else `None`.
fn watch(group: &Group, streams: &mut [Stream; 2], bounds: &Bounds) -> io::Result<Option<End>> {
    let mut left = Countdown::new(bounds.limit);
    while !group.has_ended()? {
        listen(streams)?;
        if (bounds.stopped)() {
            return Ok(Some(End::Stopped));
        }
        if left.is_over() {
            return Ok(Some(End::TimedOut));
        }
    }
    Ok(None)
}

/// Reads available output, or waits a moment.
fn listen(streams: &mut [Stream; 2]) -> io::Result<()> {
    let pipes = streams.iter().filter_map(|stream| stream.pipe.as_ref());
    let mut look: Vec<PollFd> = pipes.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)).collect();
    match poll(&mut look, Some(&TICK)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    for stream in streams {
        stream.read();
    }
    Ok(())
}

/// Standard output of a command that succeeds in time; otherwise the last lines of its output.
pub(crate) fn output(command: Command, limit: Duration) -> Result<String, String> {
    let Ended { end, stdout, stderr } = run(command, limit).map_err(|e| e.to_string())?;
    match end {
        End::Exited(status) if status.success() => Ok(stdout.text()),
        End::Exited(status) => Err(format!("{status}: {}", last_lines(&stderr.text(), 8))),
        End::TimedOut | End::Stopped => {
            Err(format!("no end after {} s: {}", limit.as_secs(), last_lines(&stderr.text(), 8)))
        }
    }
}

/// The last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim().lines().rev().take(count).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_cap_keeps_the_start_or_the_end() {
        for (keep, left) in [(Keep::Head, "abcd"), (Keep::Tail, "efgh")] {
            let mut output = Output::new(keep, 4);
            for bytes in [&b"abc"[..], b"de", b"fgh"] {
                output.push(bytes);
            }
            assert_eq!((output.text().as_str(), output.dropped()), (left, 4), "{keep:?}");
        }
    }

    #[test]
    fn a_command_says_what_it_has_to_say() {
        let limit = Duration::from_secs(20);
        assert_eq!(output(shell("echo out; echo err >&2"), limit).unwrap(), "out\n");
        assert!(output(shell("echo a; echo why >&2; exit 3"), limit).unwrap_err().ends_with("why"));
        let long = run(shell("head -c 3000000 /dev/zero"), limit).unwrap();
        assert_eq!((long.stdout.text().len(), long.stdout.dropped()), (1 << 20, 3_000_000 - (1 << 20)));
    }

    #[test]
    fn nothing_of_a_group_outlives_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let script = "(sleep 1; touch late) & echo started; sleep 60";
        let mut command = shell(script);
        command.current_dir(folder.path());
        let started = Instant::now();
        let ended = run(command, Duration::from_millis(300)).unwrap();
        assert_eq!((ended.end, ended.stdout.text().as_str()), (End::TimedOut, "started\n"));
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!folder.path().join("late").exists());
    }

    /// A process that leaves the group may keep the output open.
    #[test]
    fn what_leaves_the_group_does_not_hold_up_the_end() {
        let started = Instant::now();
        let ended = run(shell("setsid sleep 5 & echo done"), Duration::from_secs(20)).unwrap();
        assert!(matches!(ended.end, End::Exited(status) if status.success()));
        assert!(started.elapsed() < Duration::from_secs(4));
    }
}
