//! The cost of the sandbox: the op stream of S from a guest and from native code, on the same engine; and the dry run.

use crate::guests::{Kind, SMALL_OPS, peer, profile, run};
use crate::peers::line;
use crate::step::{Line, median};
use anyhow::{Result, bail};
use nightlab::policy::DEFAULT_PROFILE;
use nightlab::sandbox::{RunSpec, measure};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Budget of the timed dry run in seconds.
const DRY_SECONDS: u64 = 300;

pub fn boundary(rounds: usize, steps: u64) -> Result<()> {
    let kind = peer("S")?;
    let component = kind.compile()?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), &component)?;
    let (mut guest, mut native) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        guest.push(one(Some(file.path()), steps)?);
        native.push(one(None, steps)?);
    }
    if let (Some(a), Some(b)) = (guest.first(), native.first())
        && a.op_hash != b.op_hash
    {
        bail!("the guest's op stream is {}, the native one {}", a.op_hash, b.op_hash);
    }
    let more: Vec<f64> = guest.iter().zip(&native).map(|(g, n)| (g.ms / n.ms - 1.0) * 100.0).collect();
    let ms = |lines: &[Line]| median(lines.iter().map(|l| l.ms).collect());
    println!("S, {rounds} interleaved rounds: guest {:.2} ms, native {:.2} ms per step", ms(&guest), ms(&native));
    println!("the guest takes {:+.2}% (median of the rounds)", median(more));
    dry("S", &component, &kind)?;
    let small = Kind { name: "small ops", file: SMALL_OPS, ..kind };
    dry("small ops", &small.compile()?, &small)
}

fn one(component: Option<&Path>, steps: u64) -> Result<Line> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["step", "S", "--steps", &steps.to_string()]);
    if let Some(component) = component {
        command.arg("--component").arg(component);
    }
    line(command)
}

fn dry(name: &str, component: &[u8], kind: &Kind) -> Result<()> {
    let budget_ps = DRY_SECONDS * 1_000_000_000_000;
    let spec = RunSpec { budget_ps, ..run(kind.vocab, &profile(DEFAULT_PROFILE)?) };
    let mut best = f64::INFINITY;
    let mut ops = 0;
    for _ in 0..3 {
        let started = Instant::now();
        let found = measure::dry_run(component, &spec).map_err(|status| anyhow::anyhow!("{status:?}"))?;
        best = best.min(started.elapsed().as_secs_f64());
        ops = found.train.ops;
    }
    println!(
        "dry run of {DRY_SECONDS} s of {name}: {best:.3} s with compiling, {ops} ops, {:.2} million a second",
        ops as f64 / best / 1e6
    );
    Ok(())
}
