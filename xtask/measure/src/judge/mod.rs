//! Simulates the judge on mutations of known effect: what it keeps, what it misses, and what that costs. Beside it, the
//! rule of version 0.1 and a greedy one, on the same mutations.
//!
//! A mutation gains, changes nothing or loses. Its gain on one random seed is its true effect plus normal noise, whose
//! size depends on the kind of change as measured on the seed guest; one in twenty is an unstable guest. A night learns
//! from its own trials only.

mod population;
mod rules;

use population::{EFFECTS, Mutation, Population};
use rules::Rule;
pub use rules::version_1;

/// What a rule did with the mutations of one population.
#[derive(Default)]
struct Tally {
    trials: u64,
    runs: u64,
    kept: u64,
    false_keeps: u64,
    /// Sum of the true effects of what was kept, in standard deviations of a score.
    gained: f64,
    nulls: Share,
    /// For each effect, how many were kept of how many.
    effects: [Share; EFFECTS.len()],
}

#[derive(Clone, Copy, Default)]
struct Share {
    all: u64,
    kept: u64,
    runs: u64,
}

impl Share {
    fn add(&mut self, kept: bool, runs: u32) {
        self.all += 1;
        self.kept += u64::from(kept);
        self.runs += u64::from(runs);
    }

    fn percent(&self) -> f64 {
        100.0 * self.kept as f64 / self.all.max(1) as f64
    }
}

impl Tally {
    fn add(&mut self, mutation: &Mutation, kept: bool, runs: u32) {
        self.trials += 1;
        self.runs += u64::from(runs);
        self.kept += u64::from(kept);
        self.false_keeps += u64::from(kept && mutation.effect <= 0.0);
        self.gained += if kept { mutation.effect } else { 0.0 };
        if mutation.effect == 0.0 {
            self.nulls.add(kept, runs);
        }
        if let Some(index) = EFFECTS.iter().position(|effect| *effect == mutation.effect) {
            self.effects[index].add(kept, runs);
        }
    }

    fn row(&self, population: &str, rule: &str) -> String {
        let gains = self.effects.iter().map(|share| share.all).sum::<u64>() > 0;
        let if_gains = |text: String| if gains { text } else { "–".into() };
        let kept: Vec<String> =
            self.effects.iter().map(|share| format!("{:>4}", if_gains(format!("{:.0}", share.percent())))).collect();
        format!(
            "{population:<22} {rule:<8} {:>6} {:>10.1} {:>9.2} {:>9.2} {:>9}   {}",
            if_gains(format!("{:.1}", 100.0 * self.false_keeps as f64 / self.kept.max(1) as f64)),
            10.0 * self.nulls.percent(),
            self.runs as f64 / self.trials.max(1) as f64,
            self.nulls.runs as f64 / self.nulls.all.max(1) as f64,
            if_gains(format!("{:.1}", 100.0 * self.gained / self.runs.max(1) as f64)),
            kept.join(" ")
        )
    }
}

/// Prints the table: one row for each population and rule.
pub fn simulate(nights: u64, trials: u32) {
    let effects: Vec<String> = EFFECTS.iter().map(|effect| format!("{effect:>4}")).collect();
    println!("{nights} nights of {trials} trials for each row; effects in standard deviations of a score (sd)\n");
    println!("{:<31}  false nulls kept     runs      runs    sd per   % kept of gains of … sd", "");
    println!(
        "{:<22} {:<8} keep %   per 1000 per trial  per null  100 runs   {}",
        "population",
        "rule",
        effects.join(" ")
    );
    for population in Population::all() {
        for rule in Rule::ALL {
            let mut tally = Tally::default();
            for night in 0..nights {
                rule.night(&population, night, trials, &mut |mutation, kept, runs| tally.add(mutation, kept, runs));
            }
            println!("{}", tally.row(&population.name, rule.name()));
        }
    }
}
