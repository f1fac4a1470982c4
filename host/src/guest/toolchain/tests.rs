//! The compiler, its diagnostics, and its confinement.

use super::*;
use crate::guest::source::Source;
use crate::system::confinement::Rlimits;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The child process of the tests' toolchain. Without an order it does nothing.
#[test]
fn helper() {
    if std::env::var_os(confine::ORDER_VARIABLE).is_some() {
        compile_child_main();
    }
}

fn toolchain() -> Toolchain {
    let mut toolchain = Toolchain::find_or_install(&mut |_| {}).unwrap();
    let harness = std::env::current_exe().unwrap();
    toolchain.helper =
        [harness, "guest::toolchain::tests::helper".into(), "--exact".into(), "--nocapture".into()].into();
    toolchain
}

fn compile(text: &str) -> Result<Vec<u8>, CompileError> {
    toolchain().compile(&Source::parse(text).unwrap())
}

fn rejected(result: Result<Vec<u8>, CompileError>) -> String {
    match result {
        Err(CompileError::Rejected(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_sdk_is_carried_whole() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/src");
    let mut folders = vec![src.clone()];
    let mut on_disk = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                on_disk.insert(path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let carried: BTreeSet<String> = SDK.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(carried, on_disk);
}

#[test]
fn compiles_to_the_same_bytes_wherever_it_stands() {
    let text = "pub fn train() { let v: Vec<u32> = (0..9).collect(); assert!(v.len() == 9); }";
    let module = compile(text).unwrap();
    assert!(module.starts_with(b"\0asm"));
    assert_eq!(module, compile(text).unwrap());
    assert!(!String::from_utf8_lossy(&module).contains(&*std::env::temp_dir().to_string_lossy()));
}

#[test]
fn errors_name_the_line() {
    let message = rejected(compile("fn train() {\n    let x: u32 = \"text\";\n}\n"));
    assert!(message.contains("mismatched types") && message.contains("train.rs:2:18"), "{message}");
}

#[test]
fn diagnostics_are_capped_and_plain() {
    let text = format!("{}fn f() {{}}", "const A: u32 = \"\\u{1b}[31m\";\n".repeat(500));
    let message = rejected(compile(&text));
    assert!(message.len() <= MAX_DIAGNOSTIC_BYTES && message.ends_with("[more was said]"));
    assert!(!message.contains('\u{1b}'));
}

/// The parser would refuse these sources; the confinement must hold without it.
#[test]
fn the_compiler_cannot_read_this_machine() {
    let toolchain = toolchain();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "secret").unwrap();
    for path in ["/etc/passwd", "/proc/self/environ", secret.path().to_str().unwrap()] {
        let message =
            rejected(toolchain.compile_text(&format!("pub const A: &[u8] = include_bytes!({path:?});"), &|| false));
        assert!(message.contains("Permission denied"), "{message}");
    }
    let message = rejected(toolchain.compile_text("#[path = \"/etc/passwd\"] mod x;", &|| false));
    assert!(message.contains("Permission denied") && !message.contains("root:"), "{message}");
    for name in ["HOME", "PATH", "USER", confine::ORDER_VARIABLE] {
        let message = rejected(toolchain.compile_text(&format!("pub const A: &str = env!({name:?});"), &|| false));
        assert!(message.contains("not defined"), "{message}");
    }
    let message = rejected(toolchain.compile_text("#![feature(rustc_private)]", &|| false));
    assert!(message.contains("may not be used on the stable release channel"), "{message}");
}

/// In CI the host is root. Another user's process has no other walls, but other rights, and they hold as well.
#[test]
fn the_walls_of_an_ordinary_user_s_compiler_hold_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (harness, file) = (folder.path().join("harness"), folder.path().join("readable"));
    std::fs::copy(std::env::current_exe().unwrap(), &harness).unwrap();
    std::fs::write(&file, "for everybody").unwrap();
    let mut toolchain = toolchain();
    let ordinary = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(PathBuf::from);
    toolchain.helper.splice(..1, ordinary.into_iter().chain([harness]));
    let walls = toolchain.walls(&[file]).unwrap();
    assert!(walls.hold(), "{walls}");
}

/// What the host itself has open, and the compiler's own output, are no way out either.
#[test]
fn the_compiler_has_no_descriptor_to_read() {
    // A number that the compiler does not use itself.
    let (ours, _theirs) = rustix::pipe::pipe().unwrap();
    let ours = rustix::io::fcntl_dupfd_cloexec(&ours, 300).unwrap();
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty()).unwrap();
    let inherited = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&ours));
    for path in ["/proc/self/fd/1", "/proc/self/fd/2", &inherited, "/dev/zero", "/usr/lib/os-release"] {
        let result = toolchain().compile_text(&format!("pub const A: &[u8] = include_bytes!({path:?});"), &|| false);
        assert!(rejected(result).contains("couldn't read"), "{path}");
    }
}

#[test]
fn a_damaged_toolchain_is_not_the_sources_fault() {
    let damaged = |damage: fn(&mut Toolchain)| {
        let mut toolchain = toolchain();
        damage(&mut toolchain);
        [
            toolchain.check().err(),
            toolchain.compile(&Source::parse("use guest_sdk::prelude::*; pub fn f() {}").unwrap()).err(),
        ]
    };
    for (what, found) in [
        ("no SDK", damaged(|toolchain| toolchain.sdk = "/nonexistent".into())),
        ("no linker", damaged(|toolchain| toolchain.linker = "/bin/false".into())),
        ("no compiler", damaged(|toolchain| toolchain.rustc.path = "/nonexistent".into())),
        ("no library", damaged(|toolchain| toolchain.built_sysroot = Some("/nonexistent".into()))),
        ("no helper", damaged(|toolchain| toolchain.helper = ["/nonexistent".into()].into())),
        ("a helper that ends", damaged(|toolchain| toolchain.helper = ["/bin/false".into()].into())),
    ] {
        for error in found {
            assert!(error.as_ref().is_some_and(|error| !error.is_verdict()), "{what}: {error:?}");
        }
    }
}

#[test]
fn a_lower_limit_of_the_machine_is_not_the_sources_fault() {
    let limits = CompileLimits { memory_bytes: u64::MAX / 2, ..CompileLimits::default() };
    let toolchain = toolchain().with_limits(limits);
    let order = toolchain.order(Path::new("/"), "/out".into());
    let lower = Rlimits { files: u64::MAX - 1, ..order.limits };
    assert!(lower.beyond_this_process().unwrap().contains("ulimit -n"));
}

#[test]
fn endless_constants_time_out() {
    let limits = CompileLimits { time: Duration::from_secs(2), ..CompileLimits::default() };
    let source =
        "#![allow(long_running_const_eval)] pub const A: u32 = { let mut i = 0u32; loop { i = i.wrapping_add(1) } };";
    let result = toolchain().with_limits(limits).compile(&Source::parse(source).unwrap());
    assert_eq!(result, Err(CompileError::Timeout { limit: limits.time }));
}

#[test]
fn greedy_constants_run_out_of_memory() {
    let limits = CompileLimits { memory_bytes: 1 << 30, ..CompileLimits::default() };
    let source = "pub static A: [u64; 1 << 27] = [1; 1 << 27];";
    let result = toolchain().with_limits(limits).compile(&Source::parse(source).unwrap());
    assert_eq!(result, Err(CompileError::Memory { limit_bytes: limits.memory_bytes }));
}

#[test]
fn large_modules_are_refused() {
    let limits = CompileLimits { output_bytes: 1 << 10, ..CompileLimits::default() };
    let result =
        toolchain().with_limits(limits).compile(&Source::parse("#[used] static A: [u8; 65536] = [1; 65536];").unwrap());
    assert_eq!(result, Err(CompileError::OutputTooLarge { limit_bytes: limits.output_bytes }));
}
