//! Whether the walls around a process hold: acts that a confined process tries, since what a system announces may be
//! wrong. An act that is possible does no harm here. Linux only.

use crate::system::confinement::Calls;
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// The exit status of a forked process that was not allowed to execute a program.
const NOT_EXECUTED: i32 = 86;

/// An act that no confined process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    ReadFile,
    ListFolder,
    CreateFile,
    OpenSocket,
    StartThread,
    Fork,
    /// Executes a program that is not the compiler's.
    Execute,
    /// Reads its parent as a debugger does.
    Trace,
    ReadMemoryOfParent,
    SignalParent,
}

impl Act {
    /// What a process that computes for a guest tries.
    const COMPUTING: [Self; 10] = [
        Self::ReadFile,
        Self::ListFolder,
        Self::CreateFile,
        Self::OpenSocket,
        Self::StartThread,
        Self::Fork,
        Self::Execute,
        Self::Trace,
        Self::ReadMemoryOfParent,
        Self::SignalParent,
    ];

    /// What the compiler's process tries. It may start threads and its linker.
    const COMPILING: [Self; 8] = [
        Self::ReadFile,
        Self::ListFolder,
        Self::CreateFile,
        Self::OpenSocket,
        Self::Execute,
        Self::Trace,
        Self::ReadMemoryOfParent,
        Self::SignalParent,
    ];

    /// In words, after "it could".
    fn words(self) -> &'static str {
        match self {
            Self::ReadFile => "read a file",
            Self::ListFolder => "list a folder",
            Self::CreateFile => "create a file",
            Self::OpenSocket => "open a socket",
            Self::StartThread => "start a thread",
            Self::Fork => "start a process",
            Self::Execute => "execute a program",
            Self::Trace => "trace its parent",
            Self::ReadMemoryOfParent => "read its parent's memory",
            Self::SignalParent => "signal its parent",
        }
    }

    /// Tries it. `parent` is the process id of the parent.
    fn is_possible(self, parent: u32) -> bool {
        match self {
            Self::ReadFile => File::open("/etc/passwd").is_ok() || File::open("/proc/self/environ").is_ok(),
            Self::ListFolder => !std::fs::read_dir("/").is_err_and(|error| is_refusal(&error)),
            Self::CreateFile => creates_a_file(),
            Self::OpenSocket => opens_a_socket(),
            Self::StartThread => std::thread::Builder::new().spawn(|| ()).is_ok(),
            Self::Fork => forks(),
            Self::Execute => executes(),
            Self::Trace => traces(parent),
            Self::ReadMemoryOfParent => reads_memory(parent),
            Self::SignalParent => signals(parent),
        }
    }
}

/// The forbidden acts that this process could do.
pub fn possible(calls: Calls, parent: u32) -> Vec<Act> {
    let acts: &[Act] = match calls {
        Calls::Computing | Calls::Driving => &Act::COMPUTING,
        Calls::Compiling => &Act::COMPILING,
    };
    acts.iter().copied().filter(|act| act.is_possible(parent)).collect()
}

/// Those of the files that this process could open.
pub fn opened(files: &[PathBuf]) -> Vec<PathBuf> {
    files.iter().filter(|file| File::open(file).is_ok()).cloned().collect()
}

/// Whether Landlock holds: before seccomp, which refuses the same, the process could neither list nor read a file.
pub fn landlock_holds() -> bool {
    !Act::ReadFile.is_possible(0) && !Act::ListFolder.is_possible(0)
}

/// What a confined process found out about its walls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// Whether Landlock alone keeps files from being opened.
    pub landlock: bool,
    /// Forbidden acts that were possible with all walls up.
    pub possible: Vec<Act>,
    /// Files that it was told to try, and could open.
    pub opened: Vec<PathBuf>,
}

impl Walls {
    /// Whether the second wall works, so that untrusted code may run.
    pub fn hold(&self) -> bool {
        self.landlock && self.possible.is_empty() && self.opened.is_empty()
    }

    /// What holds if these walls and others do: those of two kinds of processes.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let Self { landlock, mut possible, mut opened } = self;
        let more: Vec<Act> = other.possible.into_iter().filter(|act| !possible.contains(act)).collect();
        possible.extend(more);
        opened.extend(other.opened);
        Self { landlock: landlock && other.landlock, possible, opened }
    }

    /// The walls that are missing, and what they would have refused. `None` if none is.
    pub fn missing(&self) -> Option<String> {
        let landlock = "Landlock lets files be opened (it needs Linux 5.13, and a container that permits it)";
        let acts = self.possible.iter().map(|act| format!("it could {}", act.words()));
        let files = self.opened.iter().map(|file| format!("it could open {}", file.display()));
        let missing: Vec<String> =
            (!self.landlock).then(|| landlock.to_owned()).into_iter().chain(acts).chain(files).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

impl std::fmt::Display for Walls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let say = |stands: bool| if stands { "on" } else { "OFF" };
        let seccomp = self.possible.is_empty() && self.opened.is_empty();
        write!(f, "landlock {}, seccomp {} (", say(self.landlock), say(seccomp))?;
        match self.missing() {
            None => write!(f, "tried by forbidden acts)"),
            Some(missing) => write!(f, "{missing})"),
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// A system call that gave no answer but a refusal by the filter was possible, whatever else came of it.
fn was_possible(answer: libc::c_long) -> bool {
    answer != -1 || io::Error::last_os_error().raw_os_error() != Some(libc::EPERM)
}

fn creates_a_file() -> bool {
    for number in 0..100 {
        let path = left_file(number);
        match File::create_new(&path) {
            Ok(_) => {
                // Nothing is confined here, so the file can be removed; if not, it is empty.
                let _ = std::fs::remove_file(&path);
                return true;
            }
            // An earlier process of the same number left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
                return !matches!(error.kind(), NotFound | PermissionDenied | ReadOnlyFilesystem);
            }
        }
    }
    true
}

fn left_file(number: u32) -> String {
    format!("/tmp/host-wall-{}-{number}", std::process::id())
}

fn opens_a_socket() -> bool {
    let is_refused = |opened: io::Result<()>| opened.is_err_and(|error| is_refusal(&error));
    !is_refused(UdpSocket::bind("127.0.0.1:0").map(drop))
        || !is_refused(TcpListener::bind("127.0.0.1:0").map(drop))
        || !is_refused(UnixDatagram::unbound().map(drop))
}

fn forks() -> bool {
    // SAFETY: no flag shares memory, so this is `fork`. The new process calls nothing but `_exit`, which is safe
    // whatever other threads held.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    match child {
        -1 => was_possible(child),
        // SAFETY: ends the new process at once.
        0 => unsafe { libc::_exit(0) },
        _ => {
            reap(child);
            true
        }
    }
}

/// Programs of which a system has one at least.
const PROGRAMS: [&CStr; 3] = [c"/bin/sh", c"/usr/bin/env", c"/bin/busybox"];

/// Executes a shell that does nothing in a new process, or tells by the refusal that it cannot be executed.
fn executes() -> bool {
    // SAFETY: as in `forks`.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    match child {
        -1 if !was_possible(child) => {
            // No process can be started, so the call itself is tried with a folder, which can never be executed.
            was_possible(execute(c"/", c":"))
        }
        // The system has no room for a process: this one is risked. Its parent reads why it ended.
        -1 => PROGRAMS.iter().any(|program| !is_not_executed(execute(program, SAYS_SO))),
        0 => {
            let refused = PROGRAMS.iter().all(|program| is_not_executed(execute(program, c":")));
            // SAFETY: ends the new process at once.
            unsafe { libc::_exit(if refused { NOT_EXECUTED } else { 0 }) }
        }
        _ => reap(child) != Some(NOT_EXECUTED),
    }
}

/// What a shell does in the place of this process.
const SAYS_SO: &CStr = c"echo 'a wall is missing: it could execute a program' >&2; exit 125";

/// Returns only if the program is not executed.
fn execute(program: &CStr, order: &CStr) -> libc::c_long {
    let null = std::ptr::null();
    let arguments: [*const libc::c_char; 4] = [c"sh".as_ptr(), c"-c".as_ptr(), order.as_ptr(), null];
    // SAFETY: path and arguments are terminated and outlive the call.
    unsafe { libc::syscall(libc::SYS_execve, program.as_ptr(), arguments.as_ptr(), [null].as_ptr()) }
}

/// Whether a program was refused or is not there.
fn is_not_executed(answer: libc::c_long) -> bool {
    let error = io::Error::last_os_error().raw_os_error();
    answer == -1 && matches!(error, Some(libc::EACCES | libc::EPERM | libc::ENOENT))
}

/// The exit status of a process of ours. `None` if a signal ended it.
fn reap(child: libc::c_long) -> Option<i32> {
    let mut status = 0;
    let child = libc::pid_t::try_from(child).ok()?;
    loop {
        // SAFETY: `status` outlives the call, and the process is a child of this one that nobody else waits for.
        let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
        if reaped != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return (reaped == child && libc::WIFEXITED(status)).then(|| libc::WEXITSTATUS(status));
        }
    }
}

/// Asks for a word of a process that is not traced. A system that allows the call says so.
fn traces(parent: u32) -> bool {
    // SAFETY: the process is not traced by this one, so the call reads and changes nothing.
    was_possible(unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_PEEKDATA, parent, 0, 0) })
}

fn reads_memory(parent: u32) -> bool {
    // SAFETY: the lists are empty, so nothing is read.
    was_possible(unsafe { libc::syscall(libc::SYS_process_vm_readv, parent, 0, 0, 0, 0, 0) })
}

/// Signals a thread of the parent with the signal that does nothing.
fn signals(parent: u32) -> bool {
    // SAFETY: the call takes three numbers and touches no memory; signal 0 only asks whether it could be sent.
    was_possible(unsafe { libc::syscall(libc::SYS_tgkill, parent, parent, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_walls_every_act_is_possible() {
        let parent = std::os::unix::process::parent_id();
        // What an earlier process left behind hides nothing.
        std::fs::write(left_file(0), "").unwrap();
        assert_eq!(possible(Calls::Computing, parent), Act::COMPUTING);
        assert_eq!(possible(Calls::Compiling, parent), Act::COMPILING);
        std::fs::remove_file(left_file(0)).unwrap();
        assert!(!landlock_holds());
        let file = tempfile::NamedTempFile::new().unwrap();
        let missing = file.path().with_extension("none");
        assert_eq!(opened(&[file.path().into(), missing]), [file.path()]);
    }

    #[test]
    fn a_missing_wall_is_named() {
        let holding = Walls { landlock: true, ..Walls::default() };
        assert_eq!(holding.to_string(), "landlock on, seccomp on (tried by forbidden acts)");
        let no_seccomp = Walls { possible: vec![Act::OpenSocket, Act::Fork], ..holding.clone() };
        let said = "landlock on, seccomp OFF (it could open a socket, it could start a process)";
        assert_eq!((no_seccomp.hold(), no_seccomp.to_string().as_str()), (false, said));
        let read = Walls { opened: vec!["key".into()], ..holding.clone() };
        assert_eq!((read.hold(), read.missing().as_deref()), (false, Some("it could open key")));
        let both = no_seccomp.and(Walls {
            possible: vec![Act::Fork, Act::Trace],
            opened: vec!["key".into()],
            landlock: false,
        });
        assert_eq!(both.possible, [Act::OpenSocket, Act::Fork, Act::Trace]);
        assert!(!both.landlock && both.opened.len() == 1);
        let no_landlock = Walls { landlock: false, ..holding };
        assert!(no_landlock.to_string().starts_with("landlock OFF, seccomp on (Landlock lets files"), "{no_landlock}");
    }
}
