//! The process between the host and a program. It adopts everything that the program starts, even detached processes.
//! It kills all of them when the program ends, when the host says so, and when the host is gone. It is started from the
//! host's own binary.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, set_child_subreaper, setsid, wait};
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Name of the hidden mode on the command line. The program and its arguments follow.
pub(super) const MODE: &str = "__command";

/// Time between two checks of the program.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// Time between two rounds of killing.
const PAUSE: Duration = Duration::from_millis(2);
/// A process that cannot be killed (it waits for a dead disk) is left after this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// If this process was started as a supervisor, runs it and returns its exit code. Call it first in `main`.
pub fn main_if_supervisor() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()?.to_str() != Some(MODE) {
        return None;
    }
    // SAFETY: descriptor 0 is the connection that the host passed, and nothing else in this process uses it.
    let connection = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
    let said = supervise(&connection, arguments.collect());
    // If the host is gone, nobody can read this.
    let _ = (&connection).write_all(said.as_bytes());
    Some(ExitCode::SUCCESS)
}

/// Runs the program until it ends or the host stops it. Returns how it ended, in the form that the host reads.
fn supervise(connection: &UnixStream, arguments: Vec<OsString>) -> String {
    let Some((program, arguments)) = arguments.split_first() else { return "unstarted no program".into() };
    let alone = setsid().and_then(|_| set_child_subreaper(Some(rustix::process::getpid())));
    if let Err(error) = alone {
        return format!("unstarted {error}");
    }
    let started = Command::new(program).args(arguments).stdin(Stdio::null()).process_group(0).spawn();
    let child = match started {
        Ok(child) => child,
        Err(error) => return format!("unstarted {error}"),
    };
    let ended = i32::try_from(child.id()).ok().and_then(Pid::from_raw).and_then(|pid| watch(connection, pid));
    kill_everything();
    match ended {
        Some(status) => status.exit_status().map_or_else(
            || format!("killed {}", status.terminating_signal().unwrap_or_default()),
            |code| format!("exited {code}"),
        ),
        None => "stopped".into(),
    }
}

/// Waits for the program. Returns `None` if the host closed the connection first. Also reaps orphans that end
/// meanwhile.
fn watch(connection: &UnixStream, program: Pid) -> Option<WaitStatus> {
    loop {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == program {
                return Some(status);
            }
        }
        let mut look = [PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::IN)];
        match poll(&mut look, Some(&TICK)) {
            Ok(0) | Err(Errno::INTR) => {}
            // The host never writes, so readable means closed.
            Ok(_) | Err(_) => return None,
        }
    }
}

/// Kills until no descendant is left. When a parent dies, its children become children of this process.
fn kill_everything() {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for pid in descendants() {
            // The process may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Every descendant of this process.
fn descendants() -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<(i32, i32)> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(&std::fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect();
    let mut found = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        found.extend(all.iter().filter(|(pid, parent)| *parent == above && *pid != above).map(|(pid, _)| *pid));
        next += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

/// The parent in a line of `/proc/PID/stat`: the second field after the name. The name itself may contain any
/// character.
fn parent(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_cannot_hide_its_parent_behind_its_name() {
        assert_eq!(parent("12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a) S 1 (b) R 7 12"), Some(7));
        assert_eq!(parent("12 (a"), None);
    }
}
