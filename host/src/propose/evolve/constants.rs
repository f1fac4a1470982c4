//! Constants of a guest as search variables: finds them, computes sensible steps, and writes new literals as short as
//! possible. Depends only on the syntax tree.

use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::random::Random;
use std::ops::Range;
use syn::{Expr, Item, Lit, Type, UnOp};

/// The types of constants that are searched, which are also the suffixes of their literals.
const NUMBERS: &[&str] = &["f32", "f64", "usize", "u8", "u16", "u32", "u64", "isize", "i8", "i16", "i32", "i64"];
/// Factors of a single step, for the value or for its odds.
const FACTORS: &[f64] = &[1.1, 1.2, 1.4, 1.7, 2.0, 2.8, 4.0];
/// New values for a rate that is 0.
const FROM_ZERO: &[f64] = &[0.01, 0.03, 0.1];
/// Significant digits of a new value.
const DIGITS: i32 = 2;

/// Largest number of constants that are searched, and longest name of one in bytes. A text may declare any number.
const MAX_CONSTANTS: usize = 1000;
const NAME_BYTES: usize = 80;

/// A number at the top of a guest: `const NAME: f32 = 0.02;`, or an element of an array constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The name. Elements are called `NAME[0]`.
    pub name: String,
    /// The current value.
    pub value: Value,
    /// The literal as written.
    pub literal: String,
    range: Range<usize>,
    suffix: String,
}

/// The value of a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// An f32 or f64.
    Float(f64),
    /// Any integer type.
    Integer(i64),
}

impl Value {
    /// The value as a floating-point number.
    pub fn number(self) -> f64 {
        match self {
            Self::Float(v) => v,
            Self::Integer(v) => v as f64,
        }
    }
}

/// An array constant of integers, such as a pattern over layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    pub name: String,
    pub values: Vec<i64>,
    /// The byte range from bracket to bracket.
    pub range: Range<usize>,
    /// Whether its type fixes the number of elements.
    pub fixed_length: bool,
}

/// The constants that can be searched, in order of appearance. Random seeds are left out: a change there is only luck.
pub fn find(file: &syn::File, text: &str) -> Vec<Constant> {
    let mut found = Vec::new();
    for item in &file.items {
        let Item::Const(item) = item else { continue };
        let name = item.ident.to_string();
        if name.contains("SEED") || name.len() > NAME_BYTES {
            continue;
        }
        if is_number(&item.ty) {
            found.extend(constant(name, &item.expr, text));
        } else if let Some(elements) = elements(&item.expr) {
            let constants = elements.elems.iter().enumerate();
            let constants = constants.filter_map(|(i, e)| constant(format!("{name}[{i}]"), e, text));
            found.extend(constants.filter(|c| matches!(c.value, Value::Float(_))).take(MAX_CONSTANTS));
        }
        if found.len() >= MAX_CONSTANTS {
            break;
        }
    }
    found.truncate(MAX_CONSTANTS);
    found
}

/// Every array constant of integers.
pub fn patterns(file: &syn::File) -> Vec<Pattern> {
    let consts = file.items.iter().filter_map(|item| if let Item::Const(c) = item { Some(c) } else { None });
    consts
        .filter_map(|item| {
            let name = Some(item.ident.to_string()).filter(|name| name.len() <= NAME_BYTES)?;
            let array = elements(&item.expr).filter(|array| array.elems.len() <= MAX_CONSTANTS)?;
            let values = array.elems.iter().map(|e| match number(e)? {
                (Value::Integer(v), _) => Some(v),
                (Value::Float(_), _) => None,
            });
            Some(Pattern {
                name,
                values: values.collect::<Option<Vec<_>>>().filter(|v| !v.is_empty())?,
                range: edit::range(array),
                fixed_length: matches!(*item.ty, Type::Array(_)),
            })
        })
        .collect()
}

/// The constant with this name.
pub fn named<'a>(constants: &'a [Constant], name: &str) -> Option<&'a Constant> {
    constants.iter().find(|c| c.name == name)
}

impl Constant {
    /// The edit that sets another value, and the change in words: "WARMDOWN 0.5 → 0.35".
    pub fn set(&self, value: Value) -> (Edit, String) {
        let literal = self.write(value);
        let words = format!("{} {} → {}", self.name, self.literal, literal);
        (Edit { range: self.range.clone(), text: literal }, words)
    }

    /// Every value that is one step up (`up`) or down.
    pub fn steps(&self, up: bool) -> Vec<Value> {
        let all: Vec<Value> = match self.value {
            Value::Integer(v) => integer_steps(v, up).into_iter().map(Value::Integer).collect(),
            Value::Float(v) if v == 0.0 && up => FROM_ZERO.iter().map(|&v| Value::Float(v)).collect(),
            Value::Float(_) => FACTORS.iter().map(|&f| self.scaled(if up { f } else { f.recip() })).collect(),
        };
        let mut steps: Vec<Value> = Vec::new();
        for value in all {
            if self.write(value) != self.literal && !steps.contains(&value) {
                steps.push(value);
            }
        }
        steps
    }

    /// The value times `factor`. For a share (a number between 0 and 1 that is not a rate) the odds are multiplied
    /// instead, so it stays a share.
    pub fn scaled(&self, factor: f64) -> Value {
        match self.value {
            Value::Integer(v) => Value::Integer(((v as f64 * factor).round() as i64).max(i64::from(v > 0))),
            Value::Float(v) if is_share(&self.name, v) => {
                let odds = v / (1.0 - v) * factor;
                let share = odds / (1.0 + odds);
                // Near 1, the distance from 1 has the significant digits.
                Value::Float(if share > 0.5 { 1.0 - round(1.0 - share) } else { round(share) })
            }
            Value::Float(v) => Value::Float(round(v * factor)),
        }
    }

    fn write(&self, value: Value) -> String {
        let digits = match value {
            Value::Integer(v) => grouped(&v.to_string()),
            Value::Float(v) if v != 0.0 && (v.abs() < 1e-4 || v.abs() >= 1e7) => format!("{v:e}"),
            Value::Float(v) => {
                // Ten decimals remove the binary noise of `1 - (1 - v)`.
                let text = format!("{v:.10}");
                let text = text.trim_end_matches('0');
                let (whole, part) = text.split_once('.').unwrap_or((text, ""));
                format!("{}.{}", grouped(whole), if part.is_empty() { "0" } else { part })
            }
        };
        digits + &self.suffix
    }
}

/// Whether a number is a share, whose odds are searched: it lies between 0 and 1 and is not a rate.
fn is_share(name: &str, value: f64) -> bool {
    let is_rate =
        ["LR", "RATE", "STD", "SCALE", "GAIN", "DECAY"].iter().any(|part| name.split('_').any(|p| p == *part));
    value > 0.0 && value < 1.0 && !is_rate
}

/// Where a step begins and ends on the scale of its constant: the logarithm of the size, of two shares that of their
/// odds. The steps of [`Constant::steps`] are about as long everywhere on it.
pub fn coordinates(name: &str, from: f64, to: f64) -> [f64; 2] {
    // One step below the least value that replaces 0.
    const ZERO: f64 = 0.005;
    let shares = is_share(name, from) && is_share(name, to);
    [from, to].map(|value| match value.abs() {
        size if shares => libm::log(size / (1.0 - size)),
        size => libm::log(if size == 0.0 { ZERO } else { size }),
    })
}

/// The number in a literal: `10_000.0`, `-3e-5`, `64u32`.
pub fn literal_number(literal: &str) -> Option<f64> {
    let digits = NUMBERS.iter().find_map(|suffix| literal.strip_suffix(suffix)).unwrap_or(literal);
    let number: f64 = digits.replace('_', "").parse().ok()?;
    (digits.ends_with(|c: char| c.is_ascii_digit()) && number.is_finite()).then_some(number)
}

/// Checks constants that depend on each other, so that a proposal can run: the width must be a multiple of the heads,
/// and rotary embedding needs an even head size. `value` returns the value of a constant by name.
pub fn can_run(value: impl Fn(&str) -> Option<Value>) -> bool {
    let integer = |name: &str| match value(name) {
        Some(Value::Integer(v)) => Some(v),
        Some(Value::Float(_)) | None => None,
    };
    let head = integer("HEAD_DIM");
    let whole_heads = match (integer("WIDTH"), head) {
        (Some(width), Some(head)) => head > 0 && width >= head && width % head == 0,
        (Some(_), None) | (None, _) => true,
    };
    whole_heads && head.is_none_or(|h| h % 2 == 0)
}

/// Draws every constant again around its value. Floats are log-uniform within a factor of `spread` (for shares, on
/// their odds); each integer moves one step with probability one half. Returns the edits and the change in words.
pub fn sample(constants: &[Constant], random: &mut Random, spread: f64) -> Option<(Vec<Edit>, String)> {
    for _ in 0..64 {
        let drawn: Vec<Value> = constants.iter().map(|c| draw(c, random, spread)).collect();
        let value = |name: &str| constants.iter().zip(&drawn).find(|(c, _)| c.name == name).map(|(_, v)| *v);
        if !can_run(value) {
            continue;
        }
        let changed = constants.iter().zip(&drawn).filter(|(c, v)| c.write(**v) != c.literal);
        let (edits, words): (Vec<Edit>, Vec<String>) = changed.map(|(c, v)| c.set(*v)).unzip();
        if !edits.is_empty() {
            return Some((edits, words.join(", ")));
        }
    }
    None
}

fn draw(constant: &Constant, random: &mut Random, spread: f64) -> Value {
    match constant.value {
        Value::Float(0.0) => {
            let raised = random.chance(0.5).then(|| random.pick(FROM_ZERO).copied()).flatten();
            Value::Float(raised.unwrap_or(0.0))
        }
        Value::Float(_) => constant.scaled(libm::pow(spread.max(1.0), 2.0 * random.uniform() - 1.0)),
        Value::Integer(_) => {
            let up = random.chance(0.5);
            let moved = random.chance(0.5).then(|| random.pick(&constant.steps(up)).copied()).flatten();
            moved.unwrap_or(constant.value)
        }
    }
}

/// Steps for an integer: double and half; ±1 if that is a small change or the only one; quarters for multiples of
/// eight.
fn integer_steps(v: i64, up: bool) -> Vec<i64> {
    let mut steps = Vec::new();
    let small = v.abs() < 16;
    if small && v != 0 {
        steps.push(if up { v.saturating_add(1) } else { v - 1 });
    }
    if v % 32 == 0 && v != 0 {
        steps.push(if up { v.saturating_add(v / 4) } else { v - v / 4 });
    }
    if v != 0 && (up || v % 2 == 0) {
        steps.push(if up { v.saturating_mul(2) } else { v / 2 });
    }
    steps.retain(|&s| s >= 1 || v < 0);
    steps
}

fn is_number(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.get_ident().is_some_and(|ident| NUMBERS.iter().any(|number| ident == number))
}

fn elements(expr: &Expr) -> Option<&syn::ExprArray> {
    match expr {
        Expr::Array(array) => Some(array),
        Expr::Reference(reference) => elements(&reference.expr),
        _ => None,
    }
}

fn constant(name: String, expr: &Expr, text: &str) -> Option<Constant> {
    let (value, suffix) = number(expr)?;
    let range = edit::range(expr);
    let literal = text.get(range.clone())?.to_owned();
    Some(Constant { name, value, literal, range, suffix })
}

fn number(expr: &Expr) -> Option<(Value, String)> {
    match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Float(f) => Some((Value::Float(f.base10_parse().ok()?), f.suffix().to_owned())),
            Lit::Int(i) => Some((Value::Integer(i.base10_parse().ok()?), i.suffix().to_owned())),
            _ => None,
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => {
            let (value, suffix) = number(&unary.expr)?;
            let negative = match value {
                Value::Float(v) => Value::Float(-v),
                Value::Integer(v) => Value::Integer(v.checked_neg()?),
            };
            Some((negative, suffix))
        }
        _ => None,
    }
}

/// Rounds to [`DIGITS`] significant digits.
fn round(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return v;
    }
    let scale = 10f64.powi(DIGITS - 1 - libm::log10(v.abs()).floor() as i32);
    (v * scale).round() / scale
}

/// Adds underscores to numbers of five digits or more.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |d| ("-", d));
    let mut out = String::from(sign);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && digits.len() > 4 && (digits.len() - i) % 3 == 0 {
            out.push('_');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::source;

    const TEXT: &str = "const DEPTH: usize = 4; // layers\nconst LR: f32 = 0.02;\nconst ROPE_BASE: f32 = 10_000.0;\n\
        const MOMENTUM: f32 = 0.95;\nconst DECAY: f32 = 0.0;\nconst SEED: u64 = 7;\nconst COEFFICIENTS: [f32; 2] = [3.4, -4.7];\n\
        const WINDOWS: &[usize] = &[64, 0];\nconst TWICE: usize = 2 * DEPTH;\nconst BIG: u32 = 64u32;\n";

    fn found(text: &str) -> Vec<Constant> {
        source::look(text, |syntax| find(&syntax.file, text)).unwrap()
    }

    fn constants() -> Vec<Constant> {
        found(TEXT)
    }

    fn get(name: &str) -> Constant {
        named(&constants(), name).unwrap().clone()
    }

    fn steps(name: &str, up: bool) -> Vec<String> {
        let constant = get(name);
        constant.steps(up).into_iter().map(|v| constant.write(v)).collect()
    }

    #[test]
    fn literals_are_found_and_expressions_and_seeds_are_not() {
        let names: Vec<String> = constants().into_iter().map(|c| c.name).collect();
        let expected = ["DEPTH", "LR", "ROPE_BASE", "MOMENTUM", "DECAY", "COEFFICIENTS[0]", "COEFFICIENTS[1]", "BIG"];
        assert_eq!(names, expected);
        assert_eq!(get("COEFFICIENTS[1]").value, Value::Float(-4.7));
        let patterns = source::look(TEXT, |syntax| patterns(&syntax.file)).unwrap();
        assert_eq!(patterns.len(), 1);
        assert_eq!((patterns[0].values.as_slice(), &TEXT[patterns[0].range.clone()]), (&[64, 0][..], "[64, 0]"));
    }

    #[test]
    fn steps_are_short_literals() {
        assert_eq!(steps("LR", true), ["0.022", "0.024", "0.028", "0.034", "0.04", "0.056", "0.08"]);
        assert_eq!(
            steps("ROPE_BASE", true),
            ["11_000.0", "12_000.0", "14_000.0", "17_000.0", "20_000.0", "28_000.0", "40_000.0"]
        );
        assert_eq!(steps("MOMENTUM", true), ["0.954", "0.958", "0.964", "0.97", "0.974", "0.982", "0.987"]);
        assert_eq!(steps("DECAY", true), ["0.01", "0.03", "0.1"]);
        assert!(steps("DECAY", false).is_empty());
        assert_eq!(steps("DEPTH", true), ["5", "8"]);
        assert_eq!(steps("DEPTH", false), ["3", "2"]);
        assert_eq!(steps("BIG", false), ["48u32", "32u32"]);
        assert_eq!(steps("COEFFICIENTS[1]", true)[4], "-9.4");
    }

    #[test]
    fn setting_one_keeps_the_rest_of_the_text() {
        let (edit, words) = get("DEPTH").set(Value::Integer(6));
        assert_eq!(words, "DEPTH 4 → 6");
        assert_eq!(edit::apply(TEXT, &[edit]).unwrap(), TEXT.replace("= 4; //", "= 6; //"));
    }

    #[test]
    fn shares_stay_shares() {
        let share = get("MOMENTUM");
        for factor in [1e-6, 0.5, 3.0, 1e4] {
            let Value::Float(v) = share.scaled(factor) else { unreachable!() };
            assert!(v > 0.0 && v < 1.0, "{v}");
        }
    }

    #[test]
    fn a_literal_is_read_as_it_is_written_and_a_factor_is_a_step_on_the_scale() {
        for constant in constants() {
            for value in constant.steps(true).into_iter().chain(constant.steps(false)) {
                let read = literal_number(&constant.write(value)).unwrap();
                assert!((read - value.number()).abs() < 1e-9, "{}: {read}", constant.name);
            }
        }
        let words = ["", "x", "inf", "NaN", "1.0.0", "e5", "usize", "→"];
        assert!(words.iter().all(|word| literal_number(word).is_none()));
        let step = |name, from, to| {
            let [from, to] = coordinates(name, from, to);
            to - from
        };
        assert!((step("LR", 0.02, 0.04) - 2f64.ln()).abs() < 1e-12);
        assert!((step("MOMENTUM", 0.5, 0.8) - 4f64.ln()).abs() < 1e-12, "the odds of a share");
        assert!(
            step("CLIP", 1.0, 0.9) < 0.0 && step("CLIP", 1.0, 0.5) < step("CLIP", 1.0, 0.9),
            "over the end of shares"
        );
        assert!(step("DECAY", 0.0, 0.01) > 0.0 && step("BIAS", -2.0, 2.0) == 0.0);
    }

    #[test]
    fn heads_must_fit() {
        let value = |width, head| {
            move |name: &str| match name {
                "WIDTH" => Some(Value::Integer(width)),
                "HEAD_DIM" => Some(Value::Integer(head)),
                _ => None,
            }
        };
        assert!(can_run(value(96, 32)));
        assert!(!can_run(value(100, 32)) && !can_run(value(99, 33)) && !can_run(value(16, 32)));
        assert!(can_run(|_| None));
    }

    #[test]
    fn samples_are_reproducible_and_spread() {
        let draw = |n| sample(&constants(), &mut Random::new(1, n), 2.0).unwrap();
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0).1, draw(1).1);
        for n in 0..50 {
            let text = edit::apply(TEXT, &draw(n).0).unwrap();
            let again = found(&text);
            let Value::Float(lr) = named(&again, "LR").unwrap().value else { unreachable!() };
            assert!((0.0099..=0.0401).contains(&lr), "{lr}");
        }
    }
}
