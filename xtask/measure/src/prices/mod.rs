//! Searches for operations that cost less than the time they take: random shapes of every kind of op, the worst of
//! which are searched on and then made as small as they can be.

mod shapes;

use crate::guests::{MAKES, profile, threads};
use crate::{budget, machine};
use anyhow::{Context, Result};
use kernels::calibrate;
use kernels::cost::Prices;
use kernels::cpu::CpuExecutor;
use nightlab::policy::DEFAULT_PROFILE;
use nightlab::propose::evolve::random::Random;
use shapes::{Case, Draw, FAMILIES, possible, smaller};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Price beyond which a case takes too long to be timed, in picoseconds.
const DEAREST: u64 = 20_000_000_000;
/// Share of the worst ratio that a smaller case must keep.
const KEEPS: f64 = 0.9;
/// Ratio above which a case is timed again, because other programs may have slowed it down …
const SUSPECT: f64 = 1.4;
/// … so many times.
const AGAIN: usize = 4;
/// Steps of shrinking.
const SHRINKS: usize = 24;

/// How the search goes.
#[derive(Debug, clap::Args)]
pub struct Search {
    /// Shipped profile or a file.
    #[arg(long, default_value = DEFAULT_PROFILE)]
    profile: String,
    /// Cases of each kind of op.
    #[arg(long, default_value_t = 40)]
    cases: usize,
    /// Only kinds whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Random seed of the shapes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every timing here: kind, case, class, work, bytes, seconds, seconds by price.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// A case that was timed.
struct Timed {
    case: Case,
    words: String,
    /// Time over price.
    ratio: f64,
}

/// Prints the worst case of each kind of op. A ratio is time over price, as a multiple of the seed guest's.
pub fn search(how: &Search) -> Result<()> {
    let profile = profile(&how.profile)?;
    let seed = budget::rows(&profile, 3, &[&MAKES[0]])?;
    let unit = seed.iter().map(|row| row.measured_ms / row.predicted_ms).sum::<f64>();
    let mut bench = Bench { prices: Prices::new(&profile), unit, written: String::new() };
    println!("profile {}; {}; seed guest {unit:.2} seconds per budget second\n", profile.name, machine::describe());
    println!("| kind | cases | worst | the case, made smaller | best |\n|---|---|---|---|---|");
    for (i, (name, make)) in FAMILIES.iter().enumerate().filter(|(_, (name, _))| name.contains(&how.only)) {
        let mut random = Random::new(how.seed, i as u64);
        let mut timed = Vec::new();
        for _ in 0..20 * how.cases {
            if timed.len() < how.cases
                && let Some(case) = make(&mut Draw(&mut random)).and_then(possible)
                && let Some(found) = bench.time(name, case)?
            {
                timed.push(found);
            }
        }
        timed.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
        let count = timed.len();
        let best = timed.first().map_or(0.0, |timed| timed.ratio);
        if let Some(worst) = timed.pop() {
            let worst = bench.shrunk(name, worst)?;
            println!("| {name} | {count} | {:.2} | {} | {best:.2} |", worst.ratio, worst.words);
        }
    }
    if let Some(file) = &how.write {
        std::fs::write(file, &bench.written).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

struct Bench {
    prices: Prices,
    /// Time over price of the seed guest.
    unit: f64,
    written: String,
}

impl Bench {
    /// `None` if the case would take too long.
    fn time(&mut self, kind: &str, case: Case) -> Result<Option<Timed>> {
        let (op, inputs) = &case;
        let specs: Vec<_> = inputs.iter().collect();
        let rules = self.prices.rules;
        let cost = rules.cost(op, &specs, &kernels::infer::infer(op, &specs)?)?;
        let price = self.prices.price(&cost);
        if price > DEAREST {
            return Ok(None);
        }
        let predicted = price as f64 / 1e12;
        let mut seconds = f64::INFINITY;
        let mut words = String::new();
        for _ in 0..AGAIN {
            // Each has an executor of its own: one keeps tables for the next.
            let mut executor = CpuExecutor::new(threads() as usize, 0)?;
            let timing = calibrate::time(&mut executor, rules, op.clone(), inputs)?;
            (seconds, words) = (timing.seconds.min(seconds), timing.case);
            if seconds / predicted / self.unit < SUSPECT {
                break;
            }
        }
        let class = cost.class.name();
        let _ = writeln!(
            self.written,
            "{kind}\t{words}\t{op:?}\t{class}\t{}\t{}\t{}\t{predicted}",
            cost.work, cost.bytes, seconds
        );
        Ok(Some(Timed { case, words, ratio: seconds / predicted / self.unit }))
    }

    /// A smaller case of nearly the same ratio.
    fn shrunk(&mut self, kind: &str, mut worst: Timed) -> Result<Timed> {
        for _ in 0..SHRINKS {
            let mut found = None;
            for case in smaller(&worst.case) {
                if let Some(timed) = self.time(kind, case)?
                    && timed.ratio >= KEEPS * worst.ratio
                {
                    found = Some(timed);
                    break;
                }
            }
            match found {
                Some(next) => worst = next,
                None => break,
            }
        }
        Ok(worst)
    }
}
