//! Runs a guest in this process and times each step. The repository's measuring tools use it. It lacks the second wall,
//! so it must only run guests of this repository; others run in children.

use crate::record::dry_run::DryRun;
use crate::record::outcome::Status;
use crate::sandbox::evaluate::evaluate;
use crate::sandbox::guest::Guest;
use crate::sandbox::run_spec::{EvalInput, Evaluated, RunSpec};
use crate::sandbox::start::Start;
use kernels::cpu::CpuExecutor;
use kernels::exec::Executor;
use kernels::session::{LOSS, NamedState, Totals};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Measurements of a run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Wall time of each step, from one batch to the next.
    pub seconds: Vec<f64>,
    /// Price of each step in picoseconds.
    pub spent_ps: Vec<u64>,
    /// The values logged as [`LOSS`].
    pub losses: Vec<f64>,
    /// Counters after the last step and the batch that follows it.
    pub totals: Totals,
}

/// Time and price at the start of a step.
struct Mark {
    at: Instant,
    spent_ps: u64,
}

/// The executor for a run.
///
/// # Errors
/// Its threads could not be started.
pub fn engine(run: &RunSpec) -> Result<Box<dyn Executor>, Status> {
    let executor = CpuExecutor::new(run.threads as usize, run.random_seed).map_err(crate::sandbox::guest::fault)?;
    Ok(Box::new(executor))
}

/// Trains for `steps` steps on `executor`. `at_step` is called at the start of each step and at the end of the last
/// one.
///
/// # Errors
/// The status of the failed run.
pub fn train(
    component: &[u8],
    run: &RunSpec,
    executor: Box<dyn Executor>,
    start: Start,
    steps: u64,
    mut at_step: impl FnMut() + Send + 'static,
) -> Result<Measured, Status> {
    let guest = Guest::new(component, run)?;
    let marks = Arc::new(Mutex::new(Vec::new()));
    let watched = marks.clone();
    let mut trained = guest.train_from(executor, start, steps, move |spent_ps| {
        at_step();
        watched.lock().unwrap_or_else(PoisonError::into_inner).push(Mark { at: Instant::now(), spent_ps });
    });
    if trained.status != Status::Completed {
        return Err(trained.status);
    }
    let marks = std::mem::take(&mut *marks.lock().unwrap_or_else(PoisonError::into_inner));
    trained.curve.retain(|point| point.key == LOSS);
    Ok(Measured {
        seconds: marks.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect(),
        spent_ps: marks.windows(2).map(|pair| pair[1].spent_ps - pair[0].spent_ps).collect(),
        losses: trained.curve.iter().map(|point| point.value).collect(),
        totals: trained.totals,
    })
}

/// Dry run over the whole budget of `run`, without a child.
///
/// # Errors
/// The guest's fault.
pub fn dry_run(component: &[u8], run: &RunSpec) -> Result<DryRun, Status> {
    let executor = CpuExecutor::new(1, run.random_seed).map_err(crate::sandbox::guest::fault)?;
    Guest::new(component, run)?.dry_run(&|| Box::new(executor.sibling(run.random_seed)))
}

/// Wall time of the proof of causality, and of a whole evaluation, which begins with the same proof. Without a child.
///
/// # Errors
/// The guest's fault.
pub fn causality(
    component: &[u8],
    run: &RunSpec,
    state: &NamedState,
    input: &EvalInput,
) -> Result<[Duration; 2], Status> {
    let executor = CpuExecutor::new(run.threads as usize, run.random_seed).map_err(crate::sandbox::guest::fault)?;
    let make = || Box::new(executor.sibling(run.random_seed)) as Box<dyn Executor>;
    let guest = Guest::new(component, run)?;
    let began = Instant::now();
    guest.prove(state, &make)?;
    let proof = began.elapsed();
    let began = Instant::now();
    let Evaluated { status, .. } = evaluate(&guest, state, run, input, &make);
    if status == Status::Completed { Ok([proof, began.elapsed()]) } else { Err(status) }
}
