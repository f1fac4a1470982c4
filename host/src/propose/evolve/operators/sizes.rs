//! Trades sizes at about equal cost: depth for width, batch for sequence.

use crate::propose::evolve::constants::{self, Value};
use crate::propose::evolve::operators::guest::{Guest, Site};

pub const DEPTH_AGAINST_WIDTH: &str = "depth against width";
pub const BATCH_AGAINST_SEQUENCE: &str = "batch against sequence";

/// The cost of a layer grows with the square of the width. So `depth · width²` stays constant, as nearly as whole heads
/// allow.
pub fn depth_against_width(guest: &Guest) -> Vec<Site> {
    let (Some(depth), Some(width)) = (integer(guest, "DEPTH"), integer(guest, "WIDTH")) else {
        return Vec::new();
    };
    let head = integer(guest, "HEAD_DIM").unwrap_or(8).max(1);
    let mut sites = Vec::new();
    for deeper in [depth / 2, depth - 2, depth - 1, depth + 1, depth + 2, depth.saturating_mul(2)] {
        if deeper < 1 {
            continue;
        }
        let ideal = width as f64 * (depth as f64 / deeper as f64).sqrt();
        let heads = ((ideal / head as f64).round() as i64).max(1);
        let narrower = heads.saturating_mul(head);
        if deeper != depth && narrower != width {
            sites.extend(both(guest, DEPTH_AGAINST_WIDTH, ("DEPTH", deeper), ("WIDTH", narrower)));
        }
    }
    sites.dedup();
    sites
}

/// Doubles one and halves the other, with the same number of tokens per step.
pub fn batch_against_sequence(guest: &Guest) -> Vec<Site> {
    let (Some(batch), Some(seq)) = (integer(guest, "BATCH"), integer(guest, "SEQ")) else {
        return Vec::new();
    };
    let trades = [(batch.saturating_mul(2), seq / 2, seq % 2), (batch / 2, seq.saturating_mul(2), batch % 2)];
    let whole = trades.into_iter().filter(|&(b, s, rest)| rest == 0 && b >= 1 && s >= 8);
    whole.filter_map(|(b, s, _)| both(guest, BATCH_AGAINST_SEQUENCE, ("BATCH", b), ("SEQ", s))).collect()
}

fn integer(guest: &Guest, name: &str) -> Option<i64> {
    match constants::named(&guest.constants, name)?.value {
        Value::Integer(v) => Some(v),
        Value::Float(_) => None,
    }
}

fn both(guest: &Guest, operator: &'static str, first: (&str, i64), second: (&str, i64)) -> Option<Site> {
    let set = |(name, value)| Some(constants::named(&guest.constants, name)?.set(Value::Integer(value)));
    let ((first, said_first), (second, said_second)) = (set(first)?, set(second)?);
    Some(Site { operator, description: format!("{operator}: {said_first}, {said_second}"), edits: vec![first, second] })
}
