//! Numbers that a call is given: a constant of the guest is set, a literal becomes a constant first.

use crate::propose::evolve::constants::{Constant, Value};
use crate::propose::evolve::edit;
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use syn::{Expr, Lit};

/// A constant times `factor`.
pub fn scaled(constant: &Constant, factor: f64, what: &str) -> Option<Change> {
    set(constant, constant.scaled(factor), what)
}

/// A constant set to `value`, if that changes it.
pub fn set(constant: &Constant, value: Value, what: &str) -> Option<Change> {
    let (edit, words) = constant.set(value);
    (edit.text != constant.literal).then(|| Change { description: format!("{what}: {words}"), edits: vec![edit] })
}

/// An argument times `factor`: its constant, or a new one of that name in the place of a literal.
pub fn scaled_argument(guest: &Guest, argument: &Expr, (name, meaning): (&str, &str), factor: f64) -> Option<Change> {
    match guest.constant(argument) {
        Some(constant) => scaled(constant, factor, meaning),
        None => {
            let new = float(argument)? * factor;
            // Two digits are enough for a first value.
            let digits = 10f64.powi(1 - libm::log10(new.abs()).floor() as i32);
            set_argument(guest, argument, (name, meaning), (new * digits).round() / digits)
        }
    }
}

/// An argument set to a number: its constant, or a new one of that name in the place of a literal.
pub fn set_argument(guest: &Guest, argument: &Expr, (name, meaning): (&str, &str), value: f64) -> Option<Change> {
    if let Some(constant) = guest.constant(argument) {
        return set(constant, Value::Float(value), meaning);
    }
    let now = float(argument)?;
    let draft = Draft::new(guest).number(name, &format!("{value:?}"), meaning).replace(&edit::range(argument), name);
    if now == value { None } else { draft.done(format!("{meaning}: {now} → {value}")) }
}

/// The value of an argument: a literal or a constant.
pub fn value(guest: &Guest, argument: &Expr) -> Option<f64> {
    guest.constant(argument).map(|constant| constant.value.number()).or_else(|| float(argument))
}

/// The value of a literal with a point.
pub fn float(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Float(number) => number.base10_parse().ok(),
            _ => None,
        },
        _ => None,
    }
}
