//! Simulates the search on landscapes of known shape: which share of the attainable gain its champion has after some
//! numbers of runs. Beside it, chance and the greedy search of version 0.1, and the search with single parts switched
//! off. But for one row of version 0.1, the same judge decides.

mod archive;
mod arms;
mod greedy;
mod landscape;
mod night;
mod proposal;

use arms::Arm;
use landscape::{Kind, Landscape};
use night::Judge;
use nightlab::propose::evolve::model::parts::Parts;
pub use proposal::proposal;

/// Standard deviations of the difference of a typical pair, in bits per byte.
const NOISES: [f64; 3] = [0.002, 0.004, 0.008];
/// The row that others are compared with.
const WHOLE: &str = "all parts";

/// The arms of the table.
fn arms() -> Vec<(&'static str, Arm, Judge)> {
    let all = Parts::ALL;
    vec![
        ("random", Arm::Random, Judge::Present),
        ("0.1: greedy, and its judge", Arm::Greedy, Judge::Version1),
        ("greedy of 0.1", Arm::Greedy, Judge::Present),
        (WHOLE, Arm::Model(all), Judge::Present),
        ("without the model", Arm::Model(Parts { model: false, ..all }), Judge::Present),
        ("without bundles", Arm::Model(Parts { bundles: false, ..all }), Judge::Present),
        ("without near-misses", Arm::Model(Parts { near_misses: false, ..all }), Judge::Present),
        ("without widening", Arm::Model(Parts { widening: false, ..all }), Judge::Present),
        ("without failures", Arm::Model(Parts { failures: false, ..all }), Judge::Present),
        ("with an archive", Arm::Archive { every: 1 }, Judge::Present),
        ("with an archive, one in four", Arm::Archive { every: 4 }, Judge::Present),
    ]
}

/// Which nights are simulated.
#[derive(Debug, clap::Args)]
pub struct Nights {
    /// Landscapes for each row.
    #[arg(long, default_value_t = 24)]
    landscapes: u64,
    /// Number of the first landscape. The search was tuned on those from 1000 on.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Numbers of runs after which the champion is looked at.
    #[arg(long, value_delimiter = ',', default_value = "100,300,1000")]
    runs: Vec<u32>,
    /// Size of interactions, as a share of the effects of the two changes.
    #[arg(long, default_value_t = 0.3)]
    interaction: f64,
    /// Only rows whose names contain one of these.
    #[arg(long, value_delimiter = ',', default_value = "")]
    only: Vec<String>,
}

/// Prints the tables.
pub fn simulate(nights: &Nights) {
    for sizes in [(0.001, 0.15), (0.001, 0.015)] {
        table(nights, Kind { sizes, interaction: nights.interaction });
    }
}

fn table(nights: &Nights, kind: Kind) {
    let Nights { landscapes, first, runs, interaction, .. } = nights;
    let (low, high) = kind.sizes;
    println!(
        "\nGains of {low} to {high}, interactions of {interaction}; {landscapes} landscapes from number {first}; % of the \
         attainable gain after {runs:?} runs, ± standard error. Rows with Δ: the differences to `{WHOLE}` on the same \
         landscapes.\n"
    );
    println!("| search | noise .002 | noise .004 | noise .008 |\n|---|---|---|---|");
    let is_wanted = |name: &str| nights.only.iter().any(|part| name.contains(part.as_str()));
    let mut whole: Option<[Shares; 3]> = None;
    for (name, arm, judge) in arms().into_iter().filter(|(name, ..)| is_wanted(name)) {
        let of_arm = NOISES.map(|noise| shares(nights, kind, (arm, judge), noise));
        println!("| {name} | {} |", of_arm.each_ref().map(|shares| cell(shares, false)).join(" | "));
        match &whole {
            Some(whole) => {
                let cells: Vec<String> = of_arm.iter().zip(whole).map(|(a, b)| cell(&minus(a, b), true)).collect();
                println!("| Δ {name} | {} |", cells.join(" | "));
            }
            None if name == WHOLE => whole = Some(of_arm),
            None => {}
        }
    }
}

/// By landscape and number of runs: the champion's share of the attainable gain.
type Shares = Vec<Vec<f64>>;

fn shares(nights: &Nights, kind: Kind, (arm, judge): (Arm, Judge), noise: f64) -> Shares {
    let numbers = nights.first..nights.first + nights.landscapes;
    let halves: [Vec<u64>; 2] = [0, 1].map(|half| numbers.clone().filter(|number| number % 2 == half).collect());
    std::thread::scope(|scope| {
        let threads = halves.map(|half| {
            scope.spawn(move || {
                let night = |number: u64| {
                    night::night(&Landscape::draw(number, kind), (arm, judge), noise, number, &nights.runs)
                };
                half.into_iter().map(night).collect::<Shares>()
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

fn minus(a: &Shares, b: &Shares) -> Shares {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect()).collect()
}

/// Means over landscapes with their standard errors, one for each number of runs.
fn cell(shares: &Shares, is_difference: bool) -> String {
    let count = shares.len() as f64;
    let columns = shares.first().map_or(0, Vec::len);
    let parts: Vec<String> = (0..columns)
        .map(|at| {
            let all = || shares.iter().map(|shares| 100.0 * shares[at]);
            let mean = all().sum::<f64>() / count;
            let variance = all().map(|share| (share - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
            let error = (variance / count).sqrt();
            if is_difference { format!("{mean:+.1} ± {error:.1}") } else { format!("{mean:.0} ± {error:.0}") }
        })
        .collect();
    parts.join(", ")
}
