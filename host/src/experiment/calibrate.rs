//! Compares this machine with a reference profile: predicted and measured time of typical ops. Used to fit profiles and
//! to estimate remaining time. No key and no result depends on it.

use crate::sandbox::{Device, Sandbox, instructions};
use kernels::calibrate::{Timing, measure};
use kernels::cost::{Prices, Profile};
use kernels::cpu::CpuExecutor;
use kernels::fault::Fault;
use serde::Serialize;

/// Predicted and measured time of one op.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub class: &'static str,
    /// The op and its operand shapes.
    pub case: String,
    /// Time by the profile, in microseconds.
    pub predicted_us: f64,
    /// Time on this machine, in microseconds.
    pub measured_us: f64,
    /// Predicted divided by measured time. Above 1, this machine is faster than the profile.
    pub factor: f64,
    /// Gigaflops per second reached.
    pub gflops: f64,
    /// Gigabytes per second reached.
    pub gbytes: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// One row for each op and its shapes.
    pub rows: Vec<Row>,
    /// Speed of this machine over all cases, as a multiple of the profile's speed.
    pub speed: f64,
}

/// Times the sandbox's device, or the CPU engine on `threads` threads, on operations of at most `most_flops`.
pub fn calibrate(sandbox: &Sandbox, profile: &Profile, threads: u32, most_flops: u64) -> Result<Calibration, Fault> {
    let prices = Prices::new(profile);
    let timings = match sandbox.device() {
        Device::Cpu => {
            let path = instructions::chosen().map_err(|e| Fault::Executor(e.to_string()))?;
            measure(&mut CpuExecutor::with_path(threads as usize, 0, path)?, profile.rules, most_flops)?
        }
        Device::Cuda { .. } => {
            sandbox.time(profile.rules, most_flops).map_err(|status| Fault::Executor(status.to_string()))?
        }
    };
    let rows: Vec<Row> = timings.into_iter().map(|timing| row(&prices, timing)).collect();
    let sum = |part: fn(&Row) -> f64| rows.iter().map(part).sum::<f64>();
    let speed = sum(|row| row.predicted_us) / sum(|row| row.measured_us).max(1e-3);
    Ok(Calibration { rows, speed })
}

fn row(prices: &Prices, Timing { case, cost, seconds }: Timing) -> Row {
    let predicted = prices.price(&cost) as f64 / 1e12;
    let seconds = seconds.max(1e-9);
    Row {
        class: cost.class.name(),
        case,
        predicted_us: predicted * 1e6,
        measured_us: seconds * 1e6,
        factor: predicted / seconds,
        gflops: cost.flops as f64 / seconds / 1e9,
        gbytes: cost.bytes as f64 / seconds / 1e9,
    }
}
