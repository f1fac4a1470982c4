//! Compiles every source for every architecture, and holds what the kernels take against `kernels/cuda/resources.txt`.

use super::resources::{self, Kernels};
use super::toolkit;
use anyhow::{Context, Result, bail};
use cuda_kernels::{SOURCES, kernels_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// A100, the RTX 40 series, H100 and H200, B200.
const ARCHITECTURES: [&str; 4] = ["sm_80", "sm_89", "sm_90", "sm_100"];

/// Nothing is fused that does not say so: results are those that the kernels' text gives.
const FLAGS: [&str; 7] = ["-std=c++17", "-fmad=false", "-Werror", "all-warnings", "-cubin", "-Xptxas", "-v"];

const HEAD: &str = "\
# What the kernels take of a card: registers of a thread, + bytes of shared memory of a block of 256 threads. Written by
# `cargo xtask cuda --accept`, which refuses spills.
";

/// Checks the table, or writes it.
pub fn run(accept: bool) -> Result<()> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/cuda");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/cuda");
    std::fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
    let Some(nvcc) = toolkit::nvcc(&sources.join("toolkit.txt"), &target)? else { return Ok(()) };
    let taken = compile(&nvcc, &sources, &target)?;
    complete(&taken)?;
    let table = format!("{HEAD}{}", resources::table(&ARCHITECTURES, &taken));
    let spilling: BTreeSet<&String> =
        (taken.values().flatten().flatten()).filter(|(_, usage)| usage.spilled > 0).map(|(name, _)| name).collect();
    let path = sources.join("resources.txt");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = resources::difference(&committed, &table);
    if !spilling.is_empty() {
        bail!("registers do not suffice for {spilling:?}:\n{difference}");
    }
    if accept {
        return std::fs::write(&path, table).with_context(|| format!("writing {}", path.display()));
    }
    if committed != table {
        bail!(
            "the kernels take something else than {} says:\n{difference}`cargo xtask cuda --accept` writes it anew",
            path.display()
        );
    }
    let kernels: usize = taken.values().map(|by_architecture| by_architecture[0].len()).sum();
    println!("{kernels} CUDA kernels compile for {}; none spills", ARCHITECTURES.join(", "));
    Ok(())
}

/// What the kernels of each source take, by architecture.
fn compile(nvcc: &Path, sources: &Path, target: &Path) -> Result<BTreeMap<String, Vec<Kernels>>> {
    let mut jobs: Vec<(usize, usize)> =
        (0..SOURCES.len()).flat_map(|source| (0..ARCHITECTURES.len()).map(move |a| (source, a))).collect();
    // The longest come first; they are taken from the end.
    jobs.sort_by_key(|(source, _)| SOURCES[*source].1.len());
    let (jobs, done) = (Mutex::new(jobs), Mutex::new(BTreeMap::new()));
    let work = || -> Result<()> {
        loop {
            let Some((source, architecture)) = jobs.lock().expect("no panic").pop() else { return Ok(()) };
            let (name, architecture_name) = (SOURCES[source].0, ARCHITECTURES[architecture]);
            let kernels = compile_one(nvcc, &sources.join(name), architecture_name, target)?;
            done.lock().expect("no panic").insert((name, architecture), kernels);
        }
    };
    std::thread::scope(|scope| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    let mut taken: BTreeMap<String, Vec<Kernels>> = BTreeMap::new();
    // In order of name, then of architecture.
    for ((name, _), kernels) in done.into_inner().expect("no panic") {
        taken.entry(name.to_owned()).or_default().push(kernels);
    }
    Ok(taken)
}

/// Leaves the cubin in the target folder.
fn compile_one(nvcc: &Path, source: &Path, architecture: &str, target: &Path) -> Result<Kernels> {
    let name = source.file_stem().context("a source without a name")?.to_string_lossy();
    let cubin: PathBuf = target.join(format!("{name}.{architecture}.cubin"));
    let output = Command::new(nvcc)
        .args(FLAGS)
        .arg(format!("-arch={architecture}"))
        .arg("-o")
        .arg(cubin)
        .arg(source)
        .output()
        .with_context(|| format!("starting {}", nvcc.display()))?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if !output.status.success() {
        bail!("{} does not compile for {architecture}:\n{said}", source.display());
    }
    resources::read(&said)
}

/// Every kernel that the sources define has been compiled.
fn complete(taken: &BTreeMap<String, Vec<Kernels>>) -> Result<()> {
    for (name, text) in SOURCES {
        for kernel in kernels_of(text) {
            let all = taken.get(name).is_some_and(|by| by.iter().all(|kernels| kernels.contains_key(kernel)));
            if !all {
                bail!("the compiler said nothing of {kernel} in {name}");
            }
        }
    }
    Ok(())
}
