//! The offline search of version 0.1, for comparison: one change at a time (now and then two constants), drawn by how
//! often its kind was kept, with a momentum for each constant.

use super::arms::{STEPS, Tried};
use super::landscape::{CONSTANTS, Guest, SWITCHES};
use nightlab::propose::evolve::random::Random;

const DRAWS: usize = 64;

pub fn propose(
    champion: &Guest,
    tried: &[Tried],
    seen: &dyn Fn(&Guest) -> bool,
    random: &mut Random,
) -> Option<(Guest, String)> {
    let names: Vec<String> = ["constant".to_owned(), "two constants".to_owned()]
        .into_iter()
        .chain((0..SWITCHES / 2).map(|at| format!("switch {at}")))
        .collect();
    let base = |name: &str| match name {
        "constant" => 6.0,
        "two constants" => 1.5,
        _ => 1.0,
    };
    let weights: Vec<f64> = names.iter().map(|name| base(name) * success(name, tried)).collect();
    let momenta: Vec<f64> = (0..CONSTANTS).map(|at| momentum(at, tried)).collect();
    for _ in 0..DRAWS {
        let operator = random.weighted(&weights)?;
        let mut guest = champion.clone();
        match operator {
            0 => step(&mut guest, &momenta, random),
            1 => (0..2).for_each(|_| step(&mut guest, &momenta, random)),
            other => {
                let at = 2 * (other - 2) + usize::from(random.chance(0.5));
                guest.switches[at] ^= true;
            }
        }
        if !seen(&guest) {
            return Some((guest, names[operator].clone()));
        }
    }
    None
}

fn step(guest: &mut Guest, momenta: &[f64], random: &mut Random) {
    let weights: Vec<f64> = momenta.iter().map(|m| 1.0 + m.abs()).collect();
    let Some(at) = random.weighted(&weights) else { return };
    let up = random.chance(1.0 / (1.0 + (-momenta[at]).exp()));
    let size = random.pick(&STEPS[..5]).copied().unwrap_or_default();
    guest.constants[at] += if up { size } else { -size };
}

/// Relative success of an operator: 1 before any trial. Kept trials raise it, and other trials lower it.
fn success(operator: &str, tried: &[Tried]) -> f64 {
    let of = tried.iter().filter(|one| one.operator == operator);
    let (tries, kept) = of.fold((0.0, 0.0), |(n, k), one| (n + 1.0, k + f64::from(u8::from(one.kept))));
    (1.0 + 8.0 * kept) / (1.0 + 0.25 * tries)
}

/// The direction in which a constant should move: positive is up.
fn momentum(at: usize, tried: &[Tried]) -> f64 {
    let steps =
        tried.iter().flat_map(|one| one.steps.iter().filter(|step| step.0 == at).map(move |step| (step.1, one)));
    steps.fold(0.0, |momentum, (up, one)| {
        let push = match one.gain() {
            _ if one.kept => 3.0,
            Some(gain) if gain > 0.0 => 0.5,
            Some(_) | None => -1.0,
        };
        0.7 * momentum + if up { push } else { -push }
    })
}
