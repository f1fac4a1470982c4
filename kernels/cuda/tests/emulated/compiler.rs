//! Compiles kernels and the machine that runs them (`cpu/`) into one program.

use cuda_kernels::kernels_of;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Of GCC, whose address sanitizer also guards variables in sections of their own, as shared memory is. Nothing is
/// fused that does not say so, as on the GPU.
const FLAGS: [&str; 9] = [
    "-std=c++17",
    "-O1",
    "-march=native",
    "-ffp-contract=off",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-Wno-unknown-pragmas",
    "-Wno-unused-function",
    "-fsanitize-sections=shared_memory",
];
const COMPILER: &str = "g++";

/// The program with these sources, made if it is not there. None where the compiler lacks what it takes.
pub fn program(folder: &Path, sources: &[(&str, &str)], headers: &[(&str, &str)]) -> Option<PathBuf> {
    let text = text(sources);
    let parts = sources.iter().chain(headers).chain(&MACHINE).flat_map(|(name, text)| [*name, *text]);
    let mut hash = blake3::Hasher::new();
    parts.chain([text.as_str()]).chain(FLAGS).for_each(|part| {
        hash.update(part.as_bytes());
    });
    let place = folder.join(format!("cuda-{}", &hash.finalize().to_hex()[..16]));
    let program = place.join("program");
    // Tests share the programs.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if program.exists() {
        return Some(program);
    }
    if !can_compile(folder) {
        return None;
    }
    std::fs::create_dir_all(&place).unwrap();
    for (name, text) in sources.iter().chain(headers).chain(&MACHINE).chain(&[("all.cpp", text.as_str())]) {
        std::fs::write(place.join(name), text).unwrap();
    }
    let made = place.join(format!("{}.made", std::process::id()));
    let output = Command::new(COMPILER).args(FLAGS).arg(place.join("all.cpp")).arg("-o").arg(&made).output().unwrap();
    assert!(output.status.success(), "{COMPILER}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&made, &program).unwrap();
    Some(program)
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
        writeln!(text, "#include \"{name}\"").unwrap();
    }
    text.push_str("#include \"runner.h\"\nstatic const runner::Kernel KERNELS[] = {\n");
    for kernel in sources.iter().flat_map(|(_, source)| kernels_of(source)) {
        writeln!(text, "    ENTRY({kernel}),").unwrap();
    }
    text.push_str("};\nint main() { return runner::run(KERNELS); }\n");
    text
}

/// Fibers switch their stacks on these processors.
const PROBE: &str = "#include <sanitizer/common_interface_defs.h>
#if !defined(__x86_64__) && !defined(__aarch64__)
#error
#endif
int main() { return 0; }
";

/// Whether the compiler makes a program with sanitizers.
fn can_compile(folder: &Path) -> bool {
    let (source, made) = (folder.join("probe.cpp"), folder.join("probe"));
    std::fs::write(&source, PROBE).unwrap();
    let output = Command::new(COMPILER).args(FLAGS).arg(&source).arg("-o").arg(&made).output();
    output.is_ok_and(|output| output.status.success())
}
