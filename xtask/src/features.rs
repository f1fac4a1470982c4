//! Checks that `cargo run` and the whole test suite build each package with the same features, so that each is built
//! once. Asks cargo for both build plans, and names the packages that differ.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The README's first command, as a build.
const RUN: &[&str] = &["build", "--release"];
/// The README's second command, as a build.
const TEST: &[&str] = &["test", "--release", "--workspace", "--no-run"];

/// A compiled package: package, kind of target, mode, platform.
type Unit = (String, String, String, Option<String>);
type Features = BTreeSet<String>;

#[derive(Deserialize)]
struct Graph {
    units: Vec<Planned>,
}

#[derive(Deserialize)]
struct Planned {
    pkg_id: String,
    target: Target,
    mode: String,
    platform: Option<String>,
    features: Features,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

/// Fails if the two commands build a package with different features, and names the packages.
pub fn check() -> Result<()> {
    let (run, test) = (plan(RUN)?, plan(TEST)?);
    let mut twice = Vec::new();
    for (unit, built) in &run {
        for features in built {
            if !test.get(unit).is_some_and(|known| known.contains(features)) {
                let wanted: Features = test.get(unit).into_iter().flatten().flatten().cloned().collect();
                let missing: Vec<&str> = wanted.difference(features).map(String::as_str).collect();
                twice.push(format!("  {} ({}): {}", unit.0, unit.1, missing.join(", ")));
            }
        }
    }
    if twice.is_empty() {
        return Ok(());
    }
    twice.dedup();
    bail!(
        "`cargo {}` and `cargo {}` build these packages with different features, and so twice:\n{}\n\
         name the features that the first lacks in host/Cargo.toml",
        RUN.join(" "),
        TEST.join(" "),
        twice.join("\n")
    )
}

/// Every unit of a build, with each of its sets of features.
fn plan(command: &[&str]) -> Result<BTreeMap<Unit, BTreeSet<Features>>> {
    let cargo = std::env::var_os("CARGO").context("run this as `cargo xtask features`")?;
    let output = Command::new(cargo)
        .args(command)
        .args(["--unit-graph", "-Zunstable-options"])
        // The unit graph is an unstable option of cargo.
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo {} failed: {}", command.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    let graph: Graph = serde_json::from_slice(&output.stdout).context("reading the unit graph")?;
    let mut units = BTreeMap::<Unit, BTreeSet<Features>>::new();
    for unit in graph.units {
        let key = (unit.pkg_id, unit.target.kind.join("+"), unit.mode, unit.platform);
        units.entry(key).or_default().insert(unit.features);
    }
    Ok(units)
}
