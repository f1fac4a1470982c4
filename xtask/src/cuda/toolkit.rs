//! The CUDA compiler, from the packages that `kernels/cuda/toolkit.txt` pins by version and hash.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// nvcc, in a folder of its own below `target`. None where it can't be had, with a word about it.
pub fn nvcc(pins: &Path, target: &Path) -> Result<Option<PathBuf>> {
    let pinned = std::fs::read_to_string(pins).with_context(|| format!("reading {}", pins.display()))?;
    let folder = target.join("toolkit");
    let nvcc = folder.join("nvidia/cu13/bin/nvcc");
    // What it was made of.
    let kept = "toolkit.txt";
    if std::fs::read_to_string(folder.join(kept)).is_ok_and(|of| of == pinned) {
        return Ok(Some(nvcc));
    }
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return not_checked("there is no CUDA compiler for this processor");
    }
    if Command::new("g++").arg("--version").output().is_err() {
        return not_checked("nvcc needs g++");
    }
    // Moved into place whole.
    let new = target.join(format!("toolkit-{}.new", std::process::id()));
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"])
        .args(["--retries", "2", "--timeout", "30", "--target"])
        .arg(&new)
        .arg("-r")
        .arg(pins)
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return not_checked(&format!("python3 did not start: {error}")),
    };
    if !output.status.success() {
        // What was half brought, if anything.
        let _ = std::fs::remove_dir_all(&new);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("DO NOT MATCH THE HASHES") {
            bail!("the packages are not those of {}:\n{said}", pins.display());
        }
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("pip said nothing");
        return not_checked(&format!("pip did not bring the CUDA compiler: {last}"));
    }
    std::fs::write(new.join(kept), &pinned).with_context(|| format!("writing into {}", new.display()))?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    std::fs::rename(&new, &folder).with_context(|| format!("moving {}", new.display()))?;
    Ok(Some(nvcc))
}

fn not_checked(why: &str) -> Result<Option<PathBuf>> {
    eprintln!("NOT CHECKED: whether the CUDA kernels compile, and what they take of a card; {why}");
    Ok(None)
}
