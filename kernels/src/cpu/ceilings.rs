//! What this machine can do at most, measured: fused multiply-adds in registers, and memory traffic. Figures of kernels
//! are read against these; they never enter a result.

use super::math::fma;
use super::path::{Path, kernel};
use std::time::Instant;

/// Accumulators of one chain: enough independent ones to hide the latency of a multiply-add on every path.
const CHAIN: usize = 96;
/// Multiply-adds of one measurement, by accumulator.
const ROUNDS: usize = 1 << 20;
/// Elements of each array of one thread: beyond every cache.
const FAR: usize = 1 << 23;
/// Measurements; the best one counts.
const TRIES: usize = 5;

/// Rates of all threads together.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Floating-point operations per second, two per multiply-add.
    pub flops: f64,
    /// Bytes read and written per second, from and to memory.
    pub bytes: f64,
}

kernel! {
    fn multiply_adds(x: &mut [f32; CHAIN], factor: f32, addend: f32) {
        let mut chain = *x;
        for _ in 0..ROUNDS {
            for x in &mut chain {
                *x = fma(*x, factor, addend);
            }
        }
        *x = chain;
    }
}

kernel! {
    /// x ← x + y: two reads and a write.
    fn stream(x: &mut [f32], y: &[f32]) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }
}

impl Ceilings {
    /// Those of `threads` threads: about a second.
    pub fn measure(threads: usize) -> Self {
        let path = Path::detect();
        let registers = || [1.0f32; CHAIN];
        let compute = fastest(threads, registers, |x| multiply_adds(path, x, std::hint::black_box(0.999), 0.001));
        let arrays = || (vec![0.0f32; FAR], vec![1.0f32; FAR]);
        let traffic = fastest(threads, arrays, |(x, y)| stream(path, x, y));
        let work = threads as f64;
        Self { flops: work * (2 * CHAIN * ROUNDS) as f64 / compute, bytes: work * (12 * FAR) as f64 / traffic }
    }
}

/// Seconds of the best try with all threads at work, each on operands of its own.
fn fastest<T: Send>(threads: usize, make: impl Fn() -> T + Sync, work: impl Fn(&mut T) + Sync) -> f64 {
    let mut operands: Vec<T> = (0..threads.max(1)).map(|_| make()).collect();
    let mut best = f64::INFINITY;
    for _ in 0..TRIES {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for operand in &mut operands {
                let work = &work;
                scope.spawn(move || work(operand));
            }
        });
        best = best.min(started.elapsed().as_secs_f64());
    }
    std::hint::black_box(&operands);
    best
}
