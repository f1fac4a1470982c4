//! The compiler's wall: a helper process takes everything away from itself and then becomes `rustc`. Linux only;
//! elsewhere confinement is refused.

use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// How the parent hands the order over: a variable, since the arguments belong to whoever runs the helper.
pub(super) const ORDER_VARIABLE: &str = "HOST_CONFINED_COMPILE";

/// Exit status of a helper that could not confine itself: the compiler never started.
pub(super) const NOT_CONFINED: i32 = 125;

/// What to become, and what is left to it.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub read: Vec<PathBuf>,
    pub write: PathBuf,
    pub execute: Vec<PathBuf>,
    pub memory_bytes: u64,
    pub cpu_seconds: u64,
    pub file_bytes: u64,
    /// False only for sources that the user trusts, where the system has no such wall.
    pub walled: bool,
}

/// What `host __compile` does: confines itself as the parent ordered, then becomes the compiler. Never returns; on
/// failure says why on stderr and exits with status 125.
pub fn compile_child_main() -> ! {
    let error = match order().and_then(|order| apply(&order).map(|()| order)) {
        Ok(order) => become_compiler(&order),
        Err(error) => error,
    };
    // The parent shows this; should the pipe be gone, nobody is left to tell.
    let _ = writeln!(std::io::stderr(), "{error}");
    std::process::exit(NOT_CONFINED)
}

fn order() -> Result<Order, String> {
    let text = std::env::var(ORDER_VARIABLE).map_err(|_| "this command is for the host itself".to_owned())?;
    serde_json::from_str(&text).map_err(|e| format!("the compiler's order is unreadable: {e}"))
}

fn become_compiler(order: &Order) -> String {
    use std::os::unix::process::CommandExt;
    let error =
        std::process::Command::new(&order.program).args(&order.args).env_clear().env("TMPDIR", &order.write).exec();
    format!("{}: {error}", order.program.display())
}

fn apply(order: &Order) -> Result<(), String> {
    limit(order)?;
    if order.walled { wall(order) } else { Ok(()) }
}

/// The number of processes has no limit here: that counts all of a user's, and not at all for root. The compiler starts
/// only the linker, and a stranger's code never runs in either.
fn limit(order: &Order) -> Result<(), String> {
    use rlimit::Resource;
    for (resource, soft, hard) in [
        (Resource::AS, order.memory_bytes, order.memory_bytes),
        // A second apart: the soft limit's signal says what happened, the hard one's only kills.
        (Resource::CPU, order.cpu_seconds, order.cpu_seconds.saturating_add(1)),
        (Resource::FSIZE, order.file_bytes, order.file_bytes),
        (Resource::CORE, 0, 0),
    ] {
        rlimit::setrlimit(resource, soft, hard).map_err(|e| format!("limit {resource:?}: {e}"))?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn wall(_: &Order) -> Result<(), String> {
    Err("this system has no Landlock: only sources that you trust can be compiled here".into())
}

#[cfg(target_os = "linux")]
fn wall(order: &Order) -> Result<(), String> {
    landlock(order).map_err(|e| format!("Landlock: {e}"))?;
    // Landlock can be there and still not hold, in containers that only pretend: see with our own eyes.
    if std::fs::File::open("/etc/passwd").is_ok() || std::fs::read_dir("/").is_ok() {
        return Err("Landlock does not hold here: only sources that you trust can be compiled".into());
    }
    no_network().map_err(|e| format!("seccomp: {e}"))
}

#[cfg(target_os = "linux")]
fn landlock(order: &Order) -> Result<(), Box<dyn std::error::Error>> {
    use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr};
    use landlock::{RulesetStatus, path_beneath_rules};
    let read = AccessFs::from_read(ABI::V1) & !AccessFs::Execute;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .create()?
        .add_rules(path_beneath_rules(&order.read, read))?
        .add_rules(path_beneath_rules(&order.execute, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules([&order.write], (read | AccessFs::from_write(ABI::V5)) & !AccessFs::Execute))?
        .restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err("not enforced by this kernel".into());
    }
    Ok(())
}

/// No sockets and no `io_uring`, which could make them; nothing that looks into other processes.
#[cfg(target_os = "linux")]
fn no_network() -> Result<(), Box<dyn std::error::Error>> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let refused = [
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
    let filter = SeccompFilter::new(
        refused.into_iter().map(|call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}
