//! `cargo bench`: the limits of this machine, each kernel compared with them, the training step of S, M and L by part,
//! the cost of the sandbox, and the dry run. Takes about two minutes. `THREADS` sets the number of threads (default:
//! two). `cargo measure` has full comparisons with other systems.

#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../kernels/examples/step/gpt.rs"]
mod gpt;
#[path = "../../kernels/examples/step/inputs.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod inputs;
#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../kernels/examples/step/lab.rs"]
mod lab;

use anyhow::{Context, Result, anyhow};
use gpt::{Gpt, SIZES, Sizes};
use inputs::Inputs;
use kernels::calibrate;
use kernels::cost::Rules;
use kernels::cpu::CpuExecutor;
use kernels::cpu::ceilings::Ceilings;
use lab::Lab;
use nightlab::guest::component::componentise;
use nightlab::guest::source::Source;
use nightlab::guest::toolchain::Toolchain;
use nightlab::policy::Policy;
use nightlab::record::limits::Limits;
use nightlab::sandbox::{RunSpec, Start, measure};
use std::process::ExitCode;
use std::time::Instant;

/// A guest with the same computation as the native model, at the size of S.
const GUEST: &str = include_str!("../../tests/guests/gpt.rs");
/// Budget of the dry run in seconds.
const DRY_SECONDS: u64 = 300;

fn main() -> Result<ExitCode> {
    if let Some(code) = nightlab::main_if_child() {
        return Ok(code);
    }
    // `cargo test --benches` also runs benches, to see that they build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(ExitCode::SUCCESS);
    }
    let threads = std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    kernels_against_ceilings(threads)?;
    for sizes in SIZES.into_iter().filter(|sizes| sizes.name != "tiny") {
        step_by_part(sizes, threads)?;
    }
    boundary(threads)?;
    Ok(ExitCode::SUCCESS)
}

fn kernels_against_ceilings(threads: usize) -> Result<()> {
    let ceilings = Ceilings::measure(threads);
    let (flops, bytes) = (ceilings.flops / 1e9, ceilings.bytes / 1e9);
    println!("{threads} threads: {flops:.0} GFLOP/s in registers, {bytes:.1} GB/s from memory\n");
    println!("{:76} {:>9} {:>9} {:>6} {:>8} {:>6}", "kernel", "µs", "GFLOP/s", "%", "GB/s", "%");
    let mut executor = CpuExecutor::new(threads, 0)?;
    for timing in calibrate::measure(&mut executor, Rules::Two, u64::MAX)? {
        let rate = |count: u64| count as f64 / timing.seconds / 1e9;
        let (done, moved) = (rate(timing.cost.flops), rate(timing.cost.bytes));
        println!(
            "{:76} {:9.1} {done:9.1} {:6.1} {moved:8.1} {:6.0}",
            timing.case.chars().take(76).collect::<String>(),
            timing.seconds * 1e6,
            done / flops * 100.0,
            moved / bytes * 100.0
        );
    }
    println!("\nOperands in cache can move more than memory could.\n");
    Ok(())
}

/// Executes each part separately, so the sum is a little more than a whole step.
fn step_by_part(sizes: Sizes, threads: usize) -> Result<()> {
    let lab = Lab::open(&Inputs::make(sizes.layout()), threads, false)?;
    let mut gpt = Gpt::new(&lab, sizes)?;
    let mut parts: [Vec<f64>; 3] = Default::default();
    let mut whole = Vec::new();
    for step in 0..14 {
        let (started, mut marks) = (Instant::now(), [0.0; 2]);
        let apart = step % 2 == 1;
        gpt.step(&mut |part| {
            if apart {
                lab.flush()?;
            }
            marks[part as usize] = started.elapsed().as_secs_f64() * 1e3;
            Ok(())
        })?;
        lab.flush()?;
        let end = started.elapsed().as_secs_f64() * 1e3;
        match (step, apart) {
            (0..2, _) => {}
            (_, false) => whole.push(end),
            (_, true) => {
                let times = [marks[0], marks[1] - marks[0], end - marks[1]];
                parts.iter_mut().zip(times).for_each(|(part, time)| part.push(time));
            }
        }
    }
    let [forward, backward, optimizer] = parts.map(median);
    let ms = median(whole);
    let tokens = sizes.tokens() as f64 / ms * 1e3;
    println!(
        "step {}: {ms:.1} ms, {tokens:.0} tokens/s; forward {forward:.1}, backward {backward:.1}, optimizer {optimizer:.1}",
        sizes.name
    );
    Ok(())
}

/// Runs the same op stream from a guest and natively, in turn; then both as dry runs.
fn boundary(threads: usize) -> Result<()> {
    let sizes = SIZES.into_iter().find(|sizes| sizes.name == "S").context("no size S")?;
    let toolchain = Toolchain::find_or_install(&mut |_| {})?.with_helper(std::env::current_exe()?);
    let component = componentise(&toolchain.compile(&Source::parse(GUEST)?)?)?;
    let run = run(sizes.vocab, u64::MAX / 4, threads)?;
    let inputs = Inputs::make(sizes.layout());
    let (mut guest, mut native) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let start = Start { state: inputs.state(), batches: Box::new(inputs.batches()) };
        let found = measure::engine(&run)
            .and_then(|engine| measure::train(component.bytes(), &run, engine, start, 10, || ()))
            .map_err(|s| anyhow!("{s:?}"))?;
        guest.push(median(found.seconds.into_iter().skip(2).collect()));
        let lab = Lab::open(&inputs, threads, false)?;
        native.push(median(native_seconds(&lab, sizes, 10)?.into_iter().skip(2).collect()));
    }
    let more = guest.iter().zip(&native).map(|(guest, native)| (guest / native - 1.0) * 100.0).collect();
    println!("\nboundary at S: a guest takes {:+.2}% (median of 5)", median(more));
    let lab = Lab::open(&inputs, threads, true)?;
    let started = Instant::now();
    let ops = lab.totals().ops;
    native_seconds(&lab, sizes, 2000)?;
    let rate = (lab.totals().ops - ops) as f64 / started.elapsed().as_secs_f64();
    let dry = RunSpec { budget_ps: DRY_SECONDS * 1_000_000_000_000, ..run };
    let started = Instant::now();
    let found = measure::dry_run(component.bytes(), &dry).map_err(|s| anyhow!("{s:?}"))?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "dry run of {DRY_SECONDS} s: {seconds:.3} s with compiling, {:.2} million ops/s; natively {:.2} million",
        found.train.ops as f64 / seconds / 1e6,
        rate / 1e6
    );
    Ok(())
}

fn native_seconds(lab: &Lab, sizes: Sizes, steps: usize) -> Result<Vec<f64>> {
    let mut gpt = Gpt::new(lab, sizes)?;
    let mut seconds = Vec::with_capacity(steps);
    for _ in 0..steps {
        let started = Instant::now();
        gpt.step(&mut |_| Ok(()))?;
        lab.flush()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

fn run(vocab: u32, budget_ps: u64, threads: usize) -> Result<RunSpec> {
    Ok(RunSpec {
        vocab,
        context: 128,
        scale: 1.0,
        budget_ps,
        profile: Policy::load("overnight")?.profile()?,
        limits: Limits { max_ops: u64::MAX, ..Limits::default() },
        random_seed: 1,
        intervals: 1,
        eval_rows: 8,
        threads: threads as u32,
        runtime_bytes: 0,
        wall_limit_ms: 600_000,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
