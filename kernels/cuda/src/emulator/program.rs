//! Compiles kernels and the machine that runs them (`cpu/`) into one program.

use crate::source::kernels_of;
use kernels::fault::Fault;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Nothing is fused that does not say so, as on the GPU.
const FLAGS: [&str; 5] =
    ["-std=c++17", "-march=native", "-ffp-contract=off", "-Wno-unknown-pragmas", "-Wno-unused-function"];
/// Of GCC, whose address sanitizer also guards variables in sections of their own, as shared memory is.
const SANITIZERS: [&str; 4] =
    ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fsanitize-sections=shared_memory"];

/// What the program looks after while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Addresses and undefined behaviour, by the compiler's sanitizers.
    Sanitizers,
    /// Nothing, and it is faster.
    None,
}

impl Checks {
    fn flags(self) -> Vec<&'static str> {
        let more = match self {
            Self::Sanitizers => &SANITIZERS[..],
            Self::None => &["-O2"],
        };
        FLAGS.iter().chain(more).copied().collect()
    }
}

const COMPILER: &str = "g++";
/// Where the compiler looks for its linker, if nobody says where programs are.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The program with these sources, made if it is not there. None where the compiler lacks what it takes.
pub fn program(
    folder: &Path,
    sources: &[(&str, &str)],
    headers: &[(&str, &str)],
    checks: Checks,
) -> Result<Option<PathBuf>, Fault> {
    let (text, flags) = (text(sources), checks.flags());
    let parts = sources.iter().chain(headers).chain(&MACHINE).flat_map(|(name, text)| [*name, *text]);
    let mut hash = blake3::Hasher::new();
    parts.chain([text.as_str()]).chain(flags.iter().copied()).for_each(|part| {
        hash.update(part.as_bytes());
    });
    let place = folder.join(format!("cuda-{}", &hash.finalize().to_hex()[..16]));
    let program = place.join("program");
    // Threads share the programs.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if program.exists() {
        return Ok(Some(program));
    }
    let failed = |error: std::io::Error| Fault::Executor(format!("{}: {error}", place.display()));
    // Other processes may make the same one.
    let own = place.join(std::process::id().to_string());
    std::fs::create_dir_all(&own).map_err(failed)?;
    if !can_compile(&own, &flags).map_err(failed)? {
        return Ok(None);
    }
    for (name, text) in sources.iter().chain(headers).chain(&MACHINE).chain(&[("all.cpp", text.as_str())]) {
        std::fs::write(own.join(name), text).map_err(failed)?;
    }
    let made = own.join("program");
    let output = compiler().args(&flags).arg(own.join("all.cpp")).arg("-o").arg(&made).output();
    let output = output.map_err(failed)?;
    if !output.status.success() {
        return Err(Fault::Executor(format!("{COMPILER}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    std::fs::rename(&made, &program).and_then(|()| std::fs::remove_dir_all(&own)).map_err(failed)?;
    Ok(Some(program))
}

/// What CUDA is on a CPU.
const MACHINE: [(&str, &str); 3] = [
    ("cuda.h", include_str!("../../cpu/cuda.h")),
    ("fibers.h", include_str!("../../cpu/fibers.h")),
    ("runner.h", include_str!("../../cpu/runner.h")),
];

/// One source of all.
fn text(sources: &[(&str, &str)]) -> String {
    let mut text = "#include \"cuda.h\"\n".to_owned();
    for (name, _) in sources {
        let _ = writeln!(text, "#include \"{name}\"");
    }
    text.push_str("#include \"runner.h\"\nstatic const runner::Kernel KERNELS[] = {\n");
    for kernel in sources.iter().flat_map(|(_, source)| kernels_of(source)) {
        let _ = writeln!(text, "    ENTRY({kernel}),");
    }
    text.push_str("};\nint main() { return runner::run(KERNELS); }\n");
    text
}

/// Fibers switch their stacks on these processors.
const PROBE: &str = "#if !defined(__x86_64__) && !defined(__aarch64__)
#error
#endif
int main() { return 0; }
";

fn compiler() -> Command {
    let mut command = Command::new(COMPILER);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()));
    command
}

/// Whether there is a compiler that makes a program with these flags.
fn can_compile(folder: &Path, flags: &[&str]) -> std::io::Result<bool> {
    let (source, made) = (folder.join("probe.cpp"), folder.join("probe"));
    std::fs::write(&source, PROBE)?;
    let output = compiler().args(flags).arg(&source).arg("-o").arg(&made).output();
    Ok(output.is_ok_and(|output| output.status.success()))
}
