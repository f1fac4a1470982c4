//! Fits a profile to this machine: first each class of op to single ops that are timed alone; then all rates together,
//! also to whole training steps, in which operations share caches and passes.

use crate::guests::{FITTED, profile};
use crate::{budget, machine, ops};
use anyhow::{Context, Result};
use kernels::calibrate::{self, Timing};
use kernels::cost::{Class, Cost, Instructions, Memory, Prices, Profile, Rate, Rules};
use kernels::cpu::CpuExecutor;
use std::fmt::Write;
use std::path::Path;

/// Weight of a single op's squared logarithmic error; a whole step has weight 1, because budgets consist of steps.
const SINGLE: f64 = 0.004;
/// Penalty on the squared logarithm of a price's change. A price that no timing determines stays as it was.
const INERTIA: f64 = 5e-4;

/// Fits a profile, starting from `from`, and writes it under `name`.
pub fn fit(from: &str, name: &str, rounds: usize, file: &Path) -> Result<()> {
    let threads = crate::guests::threads() as usize;
    let timings = calibrate::measure(&mut CpuExecutor::new(threads, 0)?, profile(from)?.rules, u64::MAX)?;
    let start = Profile { name: name.to_owned(), ..profile(from)? };
    let alone = fit_classes(&start, &timings);
    let rows = budget::rows(&start, rounds, &FITTED.iter().collect::<Vec<_>>())?;
    let mut steps = Vec::new();
    for (kind, row) in FITTED.iter().zip(&rows) {
        let costs = ops::of_step(kind, &kind.compile()?, &start)?.into_iter().map(|asked| asked.cost).collect();
        steps.push(Timed { costs, seconds: row.measured_ms / 1e3 });
    }
    let singles: Vec<Timed> =
        timings.iter().map(|timing| Timed { costs: vec![timing.cost], seconds: timing.seconds }).collect();
    let fitted = fit_together(&alone, &steps, &singles);
    println!("| fitted to | measured, ms per step | by single ops | by whole steps too |\n|---|---|---|---|");
    let (before, after) = (Prices::new(&alone), Prices::new(&fitted));
    for (row, step) in rows.iter().zip(&steps) {
        let ratio = |prices: &Prices| step.error(prices).exp();
        println!("| {} | {:.2} | {:.2} | {:.2} |", row.name, row.measured_ms, ratio(&before), ratio(&after));
    }
    std::fs::write(file, text(&fitted)).with_context(|| format!("writing {}", file.display()))
}

/// Ops that were timed together.
struct Timed {
    costs: Vec<Cost>,
    seconds: f64,
}

impl Timed {
    /// Logarithm of predicted over measured time.
    fn error(&self, prices: &Prices) -> f64 {
        let ps: f64 = self.costs.iter().map(|cost| prices.price(cost) as f64).sum();
        (ps / 1e12 / self.seconds).ln()
    }
}

/// Fits all rates of all classes to whole steps and single ops.
fn fit_together(start: &Profile, steps: &[Timed], singles: &[Timed]) -> Profile {
    let with = |at: &[f64]| {
        let mut profile = start.clone();
        profile.classes.iter_mut().zip(at.chunks(3)).for_each(|(rate, by)| scale_rate(rate, by));
        profile
    };
    let error = |at: &[f64]| {
        let prices = Prices::new(&with(at));
        let sum = |timed: &[Timed]| timed.iter().map(|timed| timed.error(&prices).powi(2)).sum::<f64>();
        sum(steps) + SINGLE * sum(singles) + INERTIA * at.iter().map(|x| x * x).sum::<f64>()
    };
    with(&descend(vec![0.0; 3 * start.classes.len()], error))
}

/// Fits each class to its own timings. A product's two rates are fitted together.
fn fit_classes(start: &Profile, timings: &[Timing]) -> Profile {
    let mut fitted = start.clone();
    for class in Class::ALL.into_iter().filter(|class| *class != Class::ProductSmall) {
        let own: Vec<&Timing> = timings.iter().filter(|timing| timing.cost.class == class).collect();
        if own.is_empty() {
            continue;
        }
        let with = |at: &[f64]| moved(&fitted, class, at);
        let error = |at: &[f64]| {
            let prices = Prices::new(&with(at));
            let off = |timing: &&Timing| (prices.price(&timing.cost) as f64 / 1e12 / timing.seconds).ln().powi(2);
            own.iter().map(off).sum::<f64>() + INERTIA * at.iter().map(|x| x * x).sum::<f64>()
        };
        let dimensions = if class == Class::Product { 4 } else { 3 };
        fitted = with(&descend(vec![0.0; dimensions], error));
    }
    fitted
}

/// The profile with the class's megaflops, bandwidth and overhead (and a small product's megaflops) multiplied by e to
/// the power of each element.
fn moved(profile: &Profile, class: Class, by: &[f64]) -> Profile {
    let mut moved = profile.clone();
    let small = Class::ProductSmall.name();
    for rate in &mut moved.classes {
        if rate.class == class.name() {
            scale_rate(rate, by);
        } else if class == Class::Product && rate.class == small {
            scale(&mut rate.mflops, by[3]);
        }
    }
    moved
}

/// Multiplies megaflops, bandwidth and overhead by e to the power of each element.
fn scale_rate(rate: &mut Rate, by: &[f64]) {
    scale(&mut rate.mflops, by[0]);
    scale(&mut rate.bytes_per_us, by[1]);
    scale(&mut rate.overhead_ps, by[2]);
}

fn scale(number: &mut u64, by: f64) {
    *number = ((*number as f64 * by.exp()).round() as u64).max(1);
}

/// Finds a local minimum of `error` with shrinking steps (Hooke and Jeeves, 1961): along each axis, and along two axes
/// at once, because one price can replace another.
fn descend(mut at: Vec<f64>, error: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let (mut best, mut step) = (error(&at), 0.4);
    while step > 5e-3 {
        let mut better = false;
        for (i, j) in (0..at.len()).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            for (by, with) in [(step, step), (step, -step), (-step, step), (-step, -step)] {
                let mut next = at.clone();
                next[i] += by;
                if j != i {
                    next[j] += with;
                }
                let found = error(&next);
                if found < best {
                    (at, best, better) = (next, found, true);
                }
            }
        }
        if !better {
            step /= 2.0;
        }
    }
    at
}

fn text(profile: &Profile) -> String {
    let mut text = format!(
        "# Fitted by `cargo measure fit` on {}, {} threads.\n\
         # mflops: work per microsecond; bytes_per_us: bytes per microsecond beyond the cache; overhead_ps: picoseconds\n\
         # per op; jump_ps: picoseconds of a read or write at a random place far beyond the cache.\n\
         name = \"{}\"\n",
        machine::describe(),
        crate::guests::threads(),
        profile.name
    );
    if profile.rules != Rules::One {
        let Memory { cache_bytes, jump_ps } = profile.memory;
        let Instructions { free_per_op, instruction_ps, far_instruction_ps } = profile.guest;
        let _ = write!(
            text,
            "rules = {}\n\n[memory]\ncache_bytes = {cache_bytes}\njump_ps = {jump_ps}\n\n[guest]\n\
             free_per_op = {free_per_op}\ninstruction_ps = {instruction_ps}\nfar_instruction_ps = {far_instruction_ps}\n",
            u32::from(profile.rules)
        );
    }
    for Rate { class, mflops, bytes_per_us, overhead_ps } in &profile.classes {
        let _ = write!(
            text,
            "\n[[classes]]\nclass = \"{class}\"\nmflops = {mflops}\nbytes_per_us = {bytes_per_us}\noverhead_ps = {overhead_ps}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightlab::policy::DEFAULT_PROFILE;

    #[test]
    fn a_fit_finds_the_rates_that_made_the_timings() {
        let truth = profile(DEFAULT_PROFILE).unwrap();
        let prices = Prices::new(&truth);
        let timings: Vec<Timing> = (0..12)
            .map(|i| {
                let (work, bytes) = if i % 2 == 0 { (1000u64 << i, 10) } else { (10, 1000u64 << i) };
                let cost = Cost { class: Class::Norm, flops: work, work, bytes, jumps: 0, span: 0 };
                Timing { case: String::new(), cost, seconds: prices.price(&cost) as f64 / 1e12 }
            })
            .collect();
        let start = moved(&truth, Class::Norm, &[0.9, -0.7, 0.8]);
        let fitted = Prices::new(&fit_classes(&start, &timings));
        for timing in &timings {
            let off = fitted.price(&timing.cost) as f64 / 1e12 / timing.seconds;
            assert!((off - 1.0).abs() < 0.02, "{off} at {:?}", timing.cost);
        }
    }
}
