//! Simulates the search on landscapes of known shape: which share of the attainable gain its champion has after some
//! numbers of runs. Beside it, chance and the greedy search of version 0.1, and the search with single parts switched
//! off. But for one row of version 0.1, the same judge decides.

mod arms;
mod greedy;
mod landscape;
mod night;
mod proposal;

use arms::Arm;
use landscape::{Landscape, Sizes};
use night::Judge;
use nightlab::propose::evolve::model::parts::Parts;
pub use proposal::proposal;

/// Standard deviations of the difference of a typical pair, in bits per byte.
const NOISES: [f64; 3] = [0.002, 0.004, 0.008];

/// The arms of the table.
fn arms() -> Vec<(&'static str, Arm, Judge)> {
    let all = Parts::ALL;
    vec![
        ("random", Arm::Random, Judge::Present),
        ("0.1: greedy, and its judge", Arm::Greedy, Judge::Version1),
        ("greedy of 0.1", Arm::Greedy, Judge::Present),
        ("all parts", Arm::Model(all), Judge::Present),
        ("without the model", Arm::Model(Parts { model: false, ..all }), Judge::Present),
        ("without bundles", Arm::Model(Parts { bundles: false, ..all }), Judge::Present),
        ("without near-misses", Arm::Model(Parts { near_misses: false, ..all }), Judge::Present),
        ("without widening", Arm::Model(Parts { widening: false, ..all }), Judge::Present),
        ("without failures", Arm::Model(Parts { failures: false, ..all }), Judge::Present),
    ]
}

/// Prints the table. `first` is the number of the first landscape: other numbers are other landscapes.
pub fn simulate(landscapes: u64, first: u64, runs: &[u32], only: &str) {
    for sizes in [Sizes(0.001, 0.15), Sizes(0.001, 0.015)] {
        table(landscapes, first, runs, only, sizes);
    }
}

fn table(landscapes: u64, first: u64, runs: &[u32], only: &str, sizes: Sizes) {
    println!(
        "\nGains of {} to {}; {landscapes} landscapes from number {first}; % of the attainable gain after {runs:?} runs, ± standard error\n",
        sizes.0, sizes.1
    );
    println!("| search | noise .002 | noise .004 | noise .008 |\n|---|---|---|---|");
    for (name, arm, judge) in arms().into_iter().filter(|(name, ..)| name.contains(only)) {
        let cells = NOISES.map(|noise| {
            let all: Vec<Vec<f64>> = std::thread::scope(|scope| {
                let halves = [0, 1].map(|half| {
                    scope.spawn(move || {
                        let of_half = (first..first + landscapes).filter(move |number| number % 2 == half);
                        of_half
                            .map(|number| {
                                night::night(&Landscape::draw(number, sizes), (arm, judge), noise, number, runs)
                            })
                            .collect::<Vec<_>>()
                    })
                });
                halves.into_iter().flat_map(|half| half.join().unwrap_or_default()).collect()
            });
            cell(&all, runs.len())
        });
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn cell(nights: &[Vec<f64>], columns: usize) -> String {
    let count = nights.len() as f64;
    let parts: Vec<String> = (0..columns)
        .map(|at| {
            let shares = || nights.iter().map(|shares| 100.0 * shares[at]);
            let mean = shares().sum::<f64>() / count;
            let variance = shares().map(|share| (share - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
            format!("{mean:.0} ± {:.0}", (variance / count).sqrt())
        })
        .collect();
    parts.join(", ")
}
