//! The second wall: a process gives up its powers before it touches anything untrusted. Every child that runs a guest
//! uses it, and so does the compiler's child. Linux only.
//!
//! Order in a process: first [`die_with_parent`] and [`limits`]; then [`landlock()`], while there is only one thread;
//! then the process starts its threads; last [`seccomp`], which may refuse new threads.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// A wall could not be put up.
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

/// The kind of memory that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// All address space.
    Addresses(u64),
    /// Private writable memory, for an engine that reserves more addresses than it uses.
    Written(u64),
}

/// Resource limits of a process. Core dumps are always off. The number of processes is not limited, because the system
/// counts all processes of a user, and none of root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimits {
    /// Memory in bytes.
    pub memory: Memory,
    /// Largest size of a file that the process writes.
    pub file_bytes: u64,
    /// Open descriptors.
    pub files: u64,
    /// Processor seconds.
    pub cpu_seconds: Option<u64>,
}

impl Rlimits {
    /// The first of these limits that is higher than what this process may give, in words.
    pub fn beyond_this_process(&self) -> Option<String> {
        use rustix::process::{Resource, getrlimit};
        // All addresses hold the data, too.
        let (addresses, data) = match self.memory {
            Memory::Addresses(bytes) => (bytes, bytes),
            Memory::Written(bytes) => (0, bytes),
        };
        let wanted = [
            ((Resource::As, "ulimit -v"), addresses),
            ((Resource::Data, "ulimit -d"), data),
            ((Resource::Fsize, "ulimit -f"), self.file_bytes),
            ((Resource::Nofile, "ulimit -n"), self.files),
            ((Resource::Cpu, "ulimit -t"), self.cpu_seconds.unwrap_or(0)),
        ];
        wanted.into_iter().find_map(|((resource, name), wanted)| {
            let given = getrlimit(resource).maximum.filter(|given| *given < wanted)?;
            Some(format!("`{name}` allows {given} here, and {wanted} are needed"))
        })
    }
}

/// Sets the limits permanently. Where this process may only give less, it gives that.
///
/// # Errors
/// The system refuses a limit.
pub fn limits(limits: &Rlimits) -> Result<(), ConfineError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let set = |resource, soft: u64, hard: u64| {
        let given = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        setrlimit(resource, Rlimit { current: Some(soft.min(given)), maximum: Some(hard.min(given)) })
            .map_err(|e| ConfineError::new("rlimits", format!("{resource:?}: {e}")))
    };
    match limits.memory {
        Memory::Addresses(bytes) => set(Resource::As, bytes, bytes)?,
        Memory::Written(bytes) => set(Resource::Data, bytes, bytes)?,
    }
    if let Some(seconds) = limits.cpu_seconds {
        // The soft limit comes one second earlier, because its signal tells the cause; the hard limit only kills.
        set(Resource::Cpu, seconds, seconds.saturating_add(1))?;
    }
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, limits.file_bytes, limits.file_bytes)?;
    set(Resource::Nofile, limits.files, limits.files)
}

/// Closes every descriptor but standard input, output and error: whoever started the host may have left some open.
///
/// # Errors
/// The system refuses.
pub fn close_descriptors() -> Result<(), ConfineError> {
    // SAFETY: nothing in this process uses a descriptor above 2: it calls this before it opens any.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(ConfineError::new("descriptors", io::Error::last_os_error())),
    }
}

/// Makes the system kill this process when its parent dies.
///
/// # Errors
/// The parent is already gone, or the system refuses.
pub fn die_with_parent(parent: u32) -> Result<(), ConfineError> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| ConfineError::new("parent", e))?;
    match getppid() {
        Some(pid) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent) => Ok(()),
        Some(_) | None => Err(ConfineError::new("parent", "it is gone")),
    }
}

/// The paths that a process may access; by default none. Paths that don't exist are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// Files below these paths can be read.
    pub read: Vec<PathBuf>,
    /// Files below these paths can be read, written, created and removed.
    pub write: Vec<PathBuf>,
    /// Files below these paths can be read and executed.
    pub execute: Vec<PathBuf>,
}

/// Restricts the calling thread, and the threads and programs that it starts, to these paths. Newer kernels also refuse
/// TCP. A kernel without Landlock is not an error here: [`crate::system::walls`] tests whether the wall works.
///
/// # Errors
/// The rules cannot be made.
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

/// The system calls that a process may use. All others fail with EPERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Computing, and I/O on open connections. Files, sockets, processes and threads cannot be opened or started.
    Computing,
    /// The same, and what a driver of a device does between its start and its end: it opens the files that Landlock
    /// leaves, and talks to open devices.
    Driving,
    /// What a compiler needs, which executes another program and starts a linker. No sockets.
    Compiling,
}

/// Allows only these calls to every thread of this process, and to everything it starts.
///
/// # Errors
/// The kernel refuses the filter.
pub fn seccomp(calls: Calls) -> Result<(), ConfineError> {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        apply_filter_all_threads,
    };
    let error = |e: &dyn std::fmt::Display| ConfineError::new("seccomp", e);
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let (listed, listed_ones, other_ones) = match calls {
        Calls::Computing => (ALLOWED.to_vec(), SeccompAction::Allow, refuse),
        Calls::Driving => ([ALLOWED, DRIVER].concat(), SeccompAction::Allow, refuse),
        Calls::Compiling => (REFUSED.to_vec(), refuse, SeccompAction::Allow),
    };
    let arch = std::env::consts::ARCH.try_into().map_err(|e: seccompiler::BackendError| error(&e))?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = listed.into_iter().map(|call| (call, Vec::new())).collect();
    // A thread may signal threads of its own process, as `abort` does, and nobody else.
    let itself = u64::from(std::process::id());
    let compared = match calls {
        Calls::Computing | Calls::Driving => SeccompCmpOp::Eq,
        Calls::Compiling => SeccompCmpOp::Ne,
    };
    let target = SeccompCondition::new(0, SeccompCmpArgLen::Dword, compared, itself);
    let rule = target.and_then(|target| SeccompRule::new(vec![target])).map_err(|e| error(&e))?;
    rules.insert(libc::SYS_tgkill, vec![rule]);
    let program: BpfProgram =
        SeccompFilter::new(rules, other_ones, listed_ones, arch).and_then(TryInto::try_into).map_err(|e| error(&e))?;
    apply_filter_all_threads(&program).map_err(|e| error(&e))
}

/// Memory, synchronisation, clocks, signals within the process, and descriptors that are already open.
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
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // The C library calls this when it starts a thread that was cloned just before the filter.
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Opening, and orders to open devices. Landlock alone decides what can be opened; no filter can tell one order from
/// another.
const DRIVER: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_ioctl,
    libc::SYS_fcntl,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sysinfo,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// Sockets, `io_uring` (which could create them), and calls that inspect other processes or the kernel.
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
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
];
