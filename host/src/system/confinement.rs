//! The second wall: what a process gives up before it touches anything of a stranger's. Used by every child, the
//! compiler's included. Linux has all of it; elsewhere each wall reports that it does not stand.
//!
//! Order in a process: [`limits`], [`landlock()`] while there is one thread, then start the threads, then
//! [`seccomp_worker`], which refuses further threads too.

use serde::{Deserialize, Serialize};
use std::path::Path;

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

/// How much of a Landlock ruleset the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LandlockStatus {
    /// All that was asked for.
    Full,
    /// What an older kernel knows.
    Partial,
    /// Nothing.
    None,
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

/// Limits of a process; core dumps are always off.
#[derive(Clone, Copy, Debug)]
pub struct Rlimits {
    /// Private writable memory in bytes.
    pub data_bytes: u64,
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
    let set = |resource, value: u64| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
            .map_err(|e| ConfineError::new("rlimits", e))
    };
    set(Resource::Core, 0)?;
    set(Resource::Data, limits.data_bytes)?;
    set(Resource::Fsize, limits.file_bytes)?;
    set(Resource::Nofile, limits.files)?;
    limits.cpu_seconds.map_or(Ok(()), |seconds| set(Resource::Cpu, seconds))
}

/// Dies with its parent.
///
/// # Errors
/// Where the parent is gone already, or the system refuses.
#[cfg(target_os = "linux")]
pub fn die_with_parent(parent: u32) -> Result<(), ConfineError> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| ConfineError::new("parent", e))?;
    match getppid() {
        Some(pid) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent) => Ok(()),
        _ => Err(ConfineError::new("parent", "it is gone")),
    }
}

/// Confines the calling thread, and the threads it starts, to these paths: below `read` files can be read, below
/// `write` also written, made and removed, below `execute` also read and executed. Paths that don't exist are skipped.
/// On newer kernels TCP is refused too.
///
/// # Errors
/// Where the ruleset can't be made; a kernel without Landlock is no error but a status.
#[cfg(target_os = "linux")]
pub fn landlock(read: &[&Path], write: &[&Path], execute: &[&Path]) -> Result<LandlockStatus, ConfineError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetStatus, path_beneath_rules,
    };
    let error = |e: landlock::RulesetError| ConfineError::new("landlock", e);
    let abi = ABI::V4;
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(read, reading)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(write, AccessFs::from_all(abi) & !AccessFs::Execute)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(execute, reading | AccessFs::Execute)))
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(error)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => LandlockStatus::Full,
        RulesetStatus::PartiallyEnforced => LandlockStatus::Partial,
        RulesetStatus::NotEnforced => LandlockStatus::None,
    })
}

/// Allows every thread of this process only what computing and an open connection need: no file, socket, process or
/// thread can be opened or started from here on. Everything else fails with EPERM.
///
/// # Errors
/// Where the kernel refuses the filter.
#[cfg(target_os = "linux")]
pub fn seccomp_worker() -> Result<(), ConfineError> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
    let arch = std::env::consts::ARCH.try_into().map_err(|e| ConfineError::new("seccomp", e))?;
    let rules = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let program: BpfProgram = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .map_err(|e| ConfineError::new("seccomp", e))?;
    apply_filter_all_threads(&program).map_err(|e| ConfineError::new("seccomp", e))
}

/// Memory, synchronisation, clocks, signals within the process, and the descriptors that are open already.
#[cfg(target_os = "linux")]
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

/// Tries to list the root folder: true where that is refused.
pub fn files_refused() -> bool {
    std::fs::read_dir("/").is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Tries to open a socket and start a thread: true where both are refused.
pub fn sockets_and_threads_refused() -> bool {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0");
    let refused = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    socket.is_err_and(refused) && std::thread::Builder::new().spawn(|| ()).is_err()
}
