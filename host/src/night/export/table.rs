//! The tables of a night: trials, runs and curves. Each column is defined here once, for every form that has tables.

use crate::night::export::past::{Keep, Past, Run};
use crate::record::outcome::Status;
use crate::record::trial::{Credit, Trial};
use crate::system::sanitize::one_line;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const BITS: &str = "bits per byte";

/// A table, by columns. They have equally many values.
pub struct Table {
    pub name: &'static str,
    pub columns: Vec<Column>,
}

impl Table {
    /// The number of its rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| match &column.values {
            Values::Text(values) => values.len(),
            Values::Count(values) => values.len(),
            Values::Integer(values) => values.len(),
            Values::Real(values) => values.len(),
        })
    }
}

/// A column. A value is `None` if the night has none.
pub struct Column {
    pub name: &'static str,
    /// The unit, if the values have one.
    pub unit: Option<&'static str>,
    pub values: Values,
}

/// The values of a column.
pub enum Values {
    /// Strangers' text is one line.
    Text(Vec<Option<Rc<str>>>),
    Count(Vec<Option<u64>>),
    Integer(Vec<Option<i64>>),
    Real(Vec<Option<f64>>),
}

/// The columns of a table while they are made from its rows.
struct Columns<'a, T> {
    rows: &'a [T],
    made: Vec<Column>,
}

impl<'a, T> Columns<'a, T> {
    fn text<S: AsRef<str>>(&mut self, name: &'static str, of: impl Fn(&'a T) -> Option<S>) {
        // Most texts of a column are alike: each is held once.
        let mut known: BTreeSet<Rc<str>> = BTreeSet::new();
        let mut share = |text: S| {
            let line = one_line(text.as_ref());
            if let Some(known) = known.get(&*line) {
                return known.clone();
            }
            let new: Rc<str> = line.into();
            known.insert(new.clone());
            new
        };
        let values = self.rows.iter().map(|row| of(row).map(&mut share)).collect();
        self.made.push(Column { name, unit: None, values: Values::Text(values) });
    }

    fn count(&mut self, name: &'static str, unit: Option<&'static str>, of: impl Fn(&'a T) -> Option<u64>) {
        let values = Values::Count(self.rows.iter().map(of).collect());
        self.made.push(Column { name, unit, values });
    }

    fn integer(&mut self, name: &'static str, unit: &'static str, of: impl Fn(&'a T) -> i64) {
        let values = Values::Integer(self.rows.iter().map(|row| Some(of(row))).collect());
        self.made.push(Column { name, unit: Some(unit), values });
    }

    fn real(&mut self, name: &'static str, unit: Option<&'static str>, of: impl Fn(&'a T) -> Option<f64>) {
        let values = Values::Real(self.rows.iter().map(of).collect());
        self.made.push(Column { name, unit, values });
    }
}

/// The tables of a night.
pub fn tables(past: &Past) -> [Table; 3] {
    [trials(past), runs(past), curves(past)]
}

fn trials(past: &Past) -> Table {
    let keeps: BTreeMap<u64, &Keep> = past.keeps.iter().map(|keep| (keep.trial.number, keep)).collect();
    let rows: Vec<&Trial> = past.trials.iter().collect();
    let credit = |trial: &&Trial, say: fn(&Credit) -> Option<String>| trial.credit.as_ref().and_then(say);
    let mut of = Columns { rows: &rows, made: Vec::new() };
    of.count("trial", None, |trial| Some(trial.number));
    of.integer("unix_ms", "milliseconds since 1970", |trial| trial.unix_ms);
    of.text("proposer", |trial| Some(&trial.proposer));
    of.text("operator", |trial| Some(&trial.operator));
    of.text("description", |trial| Some(&trial.description));
    of.text("hypothesis", |trial| Some(&trial.hypothesis));
    of.text("verdict", |trial| Some(trial.found.verdict.name()));
    of.text("reason", |trial| Some(&trial.found.reason));
    of.real("bpb", Some(BITS), |trial| trial.found.bpb);
    of.real("delta", Some(BITS), |trial| trial.found.delta);
    of.real("p_better", None, |trial| trial.found.p_better);
    of.count("random_seeds", None, |trial| trial.found.pairs.map(u64::from));
    of.count("parent", None, |trial| Some(trial.parent));
    of.count("champion", None, |trial| Some(trial.champion));
    of.text("experiment", |trial| trial.found.experiment.map(|key| key.to_string()));
    of.count("peak_bytes", Some("bytes"), |trial| trial.found.peak_bytes);
    of.text("author", |trial| credit(trial, |credit| Some(credit.author.clone())));
    of.text("licence", |trial| credit(trial, |credit| credit.licence.clone()));
    of.integer("wall_ms", "milliseconds", |trial| trial.wall_ms);
    of.text("sent_as", |trial| credit(trial, |credit| Some(format!("{} {}", credit.sent.name(), credit.sent.hash()))));
    of.text("goes_back_to", |trial| {
        keeps.get(&trial.number).filter(|keep| !keep.before.is_empty()).map(|keep| keep.before.join("; "))
    });
    Table { name: "trials", columns: of.made }
}

fn runs(past: &Past) -> Table {
    let mut of = Columns { rows: &past.runs, made: Vec::new() };
    of.text("experiment", |run| Some(run.record.key.to_string()));
    of.count("trial", None, |run| Some(run.trial));
    of.text("role", |run| Some(&run.role));
    of.count("random_seed", None, |run| Some(run.record.manifest.random_seed));
    of.text("status", |run| Some(run.outcome.status.name()));
    of.real("bpb", Some(BITS), score);
    of.count("steps", None, |run| Some(run.outcome.totals.steps));
    of.count("tokens", None, |run| Some(run.outcome.totals.tokens));
    of.count("flops", None, |run| Some(run.outcome.totals.flops));
    of.count("peak_bytes", Some("bytes"), |run| Some(run.outcome.totals.peak_bytes));
    of.integer("unix_ms", "milliseconds since 1970", |run| run.record.finished_unix_ms);
    of.integer("wall_ms", "milliseconds", |run| run.record.wall_ms);
    Table { name: "runs", columns: of.made }
}

/// The held-out score of a run that completed.
fn score(run: &Run) -> Option<f64> {
    run.outcome.score.as_ref().filter(|_| run.outcome.status == Status::Completed).map(|score| score.bpb)
}

fn curves(past: &Past) -> Table {
    let rows: Vec<_> = past
        .runs
        .iter()
        .flat_map(|run| {
            let key: Rc<str> = run.record.key.to_string().into();
            run.outcome.curve.iter().map(move |point| (key.clone(), point))
        })
        .collect();
    let mut of = Columns { rows: &rows, made: Vec::new() };
    of.text("experiment", |(key, _)| Some(key));
    of.count("step", None, |(_, point)| Some(point.step));
    of.text("key", |(_, point)| Some(&point.key));
    of.real("value", None, |(_, point)| Some(point.value));
    Table { name: "curves", columns: of.made }
}
