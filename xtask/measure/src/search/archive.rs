//! An archive of what was tried, in islands: who is changed next, in the place of the champion.

use super::arms::Tried;
use super::landscape::Guest;
use nightlab::propose::evolve::random::Random;
use std::collections::{BTreeMap, BTreeSet};

const ISLANDS: usize = 2;
/// After this number of trials the best of each island, this share of it, join the next island too.
const MIGRATES_EVERY: usize = 50;
const MIGRANTS: f64 = 0.1;
/// Members of an island at most. Its best one and those that own a cell stay beyond that.
const MEMBERS: usize = 40;
/// Size of a cell along a constant, as a logarithm.
const CELL: f64 = 0.5;
/// Smallest scatter of scores by which they are weighted.
const LEAST_SCATTER: f64 = 1e-6;

/// A trial that was measured, by its number; 0 is the seed guest.
#[derive(Clone, Copy)]
struct Member {
    number: usize,
    /// Measured gain over the seed guest.
    score: f64,
}

/// The trial whose guest is changed next. The islands take turns, each of them `every` trials.
pub fn parent(tried: &[Tried], every: usize, random: &mut Random) -> Option<usize> {
    let members = island(tried, every, tried.len() / every % ISLANDS);
    let scores: Vec<f64> = members.iter().map(|member| member.score).collect();
    let middle = median(scores.clone())?;
    let scatter = median(scores.iter().map(|score| (score - middle).abs()).collect())?.max(LEAST_SCATTER);
    let weight = |member: &Member| {
        let children = tried.iter().filter(|one| one.parent == member.number).count() as f64;
        1.0 / (1.0 + (-10.0 * (member.score - middle) / scatter).exp()) / (1.0 + children)
    };
    let weights: Vec<f64> = members.iter().map(weight).collect();
    random.weighted(&weights).map(|at| members[at].number)
}

/// The members of an island, best first.
fn island(tried: &[Tried], every: usize, island: usize) -> Vec<Member> {
    let all = scored(tried);
    let of = |island: usize, trials: usize| {
        let born =
            all.iter().filter(|one| one.number <= trials && one.number.saturating_sub(1) / every % ISLANDS == island);
        let mut born: Vec<Member> = born.copied().collect();
        born.sort_by(|a, b| b.score.total_cmp(&a.score));
        born
    };
    let mut members = of(island, tried.len());
    let neighbour = (island + ISLANDS - 1) % ISLANDS;
    for trials in (MIGRATES_EVERY..=tried.len()).step_by(MIGRATES_EVERY) {
        let there = of(neighbour, trials);
        let migrants = (MIGRANTS * there.len() as f64).ceil() as usize;
        members.extend(there.into_iter().take(migrants));
    }
    members.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.number.cmp(&b.number)));
    members.dedup_by_key(|member| member.number);
    let mut owned = BTreeSet::new();
    let mut rank = 0;
    members.retain(|member| {
        let guest = member.number.checked_sub(1).map_or(&Guest::SEED, |at| &tried[at].guest);
        rank += 1;
        owned.insert(cell(guest)) || rank <= MEMBERS
    });
    members
}

/// The seed guest and all that were measured. A trial's score is that of its champion and its own gain.
fn scored(tried: &[Tried]) -> Vec<Member> {
    let mut levels = BTreeMap::from([(0, 0.0)]);
    let mut members = vec![Member { number: 0, score: 0.0 }];
    for (at, one) in tried.iter().enumerate() {
        let (Some(gain), Some(level)) = (one.gain(), levels.get(&one.run.champion)) else { continue };
        let score = level + gain;
        if one.kept {
            levels.insert(one.run.champion + 1, score);
        }
        members.push(Member { number: at + 1, score });
    }
    members
}

/// What stands for parameters, for the cost of a token, and for the family of the optimizer.
fn cell(guest: &Guest) -> (i64, i64, bool) {
    let along = |at: usize| (guest.constants[at] / CELL).round() as i64;
    (along(0), along(1), guest.switches[0])
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
