//! The second wall: what a process gives up before it touches anything of a stranger's. Used by every child that runs a
//! guest, and by the compiler. Linux only.
//!
//! Order in a process: [`die_with_parent`], [`limits`], [`landlock()`] while there is one thread, then start the threads,
//! then [`seccomp`], which may refuse further threads too.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Which walls stand around a child, as tried by forbidden acts, not as announced by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// Files cannot be opened, by Landlock alone.
    pub landlock: bool,
    /// Sockets, files and processes are refused by seccomp.
    pub seccomp: bool,
}

impl Walls {
    /// The second wall stands: a stranger's code may run.
    pub fn hold(&self) -> bool {
        self.landlock && self.seccomp
    }
}

impl std::fmt::Display for Walls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let say = |stands: bool| if stands { "on" } else { "OFF" };
        write!(f, "wasm on, landlock {}, seccomp {} (tried by forbidden acts)", say(self.landlock), say(self.seccomp))
    }
}

/// A wall that could not be put up.
#[derive(Debug, thiserror::Error)]
#[error("{wall}: {reason}")]
pub struct ConfineError {
    wall: &'static str,
    reason: String,
}

impl ConfineError {
    fn new(wall: &'static str, reason: impl std::fmt::Display) -> Self {
        Self { wall, reason: reason.to_string() }
    }
}

/// What memory is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// All addresses.
    Addresses(u64),
    /// Private writable memory: for an engine that reserves more addresses than it uses.
    Written(u64),
}

/// Limits of a process; core dumps are always off. The number of processes has no limit: the system counts all of a
/// user's, and none of root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimits {
    /// Bytes of memory.
    pub memory: Memory,
    /// Size of a file that it writes.
    pub file_bytes: u64,
    /// Open descriptors.
    pub files: u64,
    /// Processor seconds.
    pub cpu_seconds: Option<u64>,
}

/// Sets the limits for good.
///
/// # Errors
/// Where the system refuses.
pub fn limits(limits: &Rlimits) -> Result<(), ConfineError> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let set = |resource, soft: u64, hard: u64| {
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })
            .map_err(|e| ConfineError::new("rlimits", format!("{resource:?}: {e}")))
    };
    match limits.memory {
        Memory::Addresses(bytes) => set(Resource::As, bytes, bytes)?,
        Memory::Written(bytes) => set(Resource::Data, bytes, bytes)?,
    }
    if let Some(seconds) = limits.cpu_seconds {
        // A second apart: the soft limit's signal says what happened, the hard one's only kills.
        set(Resource::Cpu, seconds, seconds.saturating_add(1))?;
    }
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, limits.file_bytes, limits.file_bytes)?;
    set(Resource::Nofile, limits.files, limits.files)
}

/// Dies with its parent.
///
/// # Errors
/// Where the parent is gone already, or the system refuses.
pub fn die_with_parent(parent: u32) -> Result<(), ConfineError> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| ConfineError::new("parent", e))?;
    match getppid() {
        Some(pid) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent) => Ok(()),
        Some(_) | None => Err(ConfineError::new("parent", "it is gone")),
    }
}

/// The paths that are left to a process; none is the default. Those that don't exist are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// Below these, files can be read.
    pub read: Vec<PathBuf>,
    /// Below these, files can be read, written, made and removed.
    pub write: Vec<PathBuf>,
    /// Below these, files can be read and executed.
    pub execute: Vec<PathBuf>,
}

/// Confines the calling thread, and the threads and programs it starts, to these paths. On newer kernels TCP is refused
/// too. A kernel without Landlock is no error: whether the wall stands is for [`files_refused`] to say.
///
/// # Errors
/// Where the rules can't be made.
pub fn landlock(paths: &Paths) -> Result<(), ConfineError> {
    let error = |e: landlock::RulesetError| ConfineError::new("landlock", e);
    let files = AccessFs::from_all(ABI::V5);
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(files)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(&paths.read, reading)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(&paths.write, files & !AccessFs::Execute)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(&paths.execute, reading | AccessFs::Execute)))
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(error)?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Ok(()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced if status.no_new_privs => Ok(()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => {
            Err(ConfineError::new("landlock", "the process could still gain privileges"))
        }
    }
}

/// The system calls that are left to a process; the others fail with EPERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Only what computing and an open connection need: no file, socket, process or thread can be opened or started.
    Computing,
    /// What a compiler needs, that becomes another program and starts a linker: no socket, no other process.
    Compiling,
}

/// Leaves every thread of this process, and what it starts, only these calls.
///
/// # Errors
/// Where the kernel refuses the filter.
pub fn seccomp(calls: Calls) -> Result<(), ConfineError> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
    let error = |e: &dyn std::fmt::Display| ConfineError::new("seccomp", e);
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let (listed, listed_ones, other_ones) = match calls {
        Calls::Computing => (ALLOWED, SeccompAction::Allow, refuse),
        Calls::Compiling => (REFUSED, refuse, SeccompAction::Allow),
    };
    let arch = std::env::consts::ARCH.try_into().map_err(|e: seccompiler::BackendError| error(&e))?;
    let rules = listed.iter().map(|&call| (call, Vec::new())).collect();
    let program: BpfProgram =
        SeccompFilter::new(rules, other_ones, listed_ones, arch).and_then(TryInto::try_into).map_err(|e| error(&e))?;
    apply_filter_all_threads(&program).map_err(|e| error(&e))
}

/// Memory, synchronisation, clocks, signals within the process, and the descriptors that are open already.
const ALLOWED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // The C library's start of a thread that was cloned just before the filter.
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Sockets, and `io_uring`, which could make them; whatever looks into other processes or the kernel.
const REFUSED: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_io_uring_setup,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_bpf,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_kill,
];

/// Tries to list the root folder and to open a file that everybody may read: true where both are refused.
pub fn files_refused() -> bool {
    std::fs::read_dir("/").is_err_and(|error| is_refusal(&error)) && File::open("/etc/passwd").is_err()
}

/// Tries to open a socket: true where it is refused.
pub fn sockets_refused() -> bool {
    std::net::UdpSocket::bind("127.0.0.1:0").is_err_and(|error| is_refusal(&error))
}

/// Tries to start a thread: true where it is refused.
pub fn threads_refused() -> bool {
    std::thread::Builder::new().spawn(|| ()).is_err()
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
