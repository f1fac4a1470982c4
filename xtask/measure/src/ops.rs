//! Records the ops of a guest's training step without executing them, and times each one alone.

use crate::budget::start;
use crate::guests::{Kind, MAKES, profile, run, threads};
use crate::machine;
use anyhow::{Result, anyhow, bail};
use kernels::calibrate;
use kernels::cost::{Cost, Prices, Profile, Rules};
use kernels::cpu::CpuExecutor;
use kernels::exec::{Dry, Executor, Step};
use kernels::fault::Fault;
use kernels::op::{Op, TensorId};
use kernels::spec::{Spec, Values};
use nightlab::sandbox::measure;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// An op and its operands.
#[derive(Clone, Debug)]
pub struct Asked {
    pub op: Op,
    /// Specs of its operands.
    pub inputs: Vec<Spec>,
    /// Its cost.
    pub cost: Cost,
}

/// An executor that executes nothing and records each op.
struct Recorder {
    dry: Dry,
    rules: Rules,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Executor for Recorder {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for step in steps.drain(..) {
            if let Step::Run { record, outputs, .. } = &step {
                let inputs: Vec<Spec> = record.inputs.iter().filter_map(|id| self.dry.spec(*id).cloned()).collect();
                let cost = self.rules.cost(&record.op, &inputs.iter().collect::<Vec<_>>(), outputs)?;
                asked.push(Asked { op: record.op.clone(), inputs, cost });
            }
            self.dry.execute(&mut vec![step])?;
        }
        Ok(())
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        self.dry.upload(id, spec, values)
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        self.dry.download(id)
    }

    fn class(&self) -> &'static str {
        self.dry.class()
    }
}

/// The ops of the guest's third step.
pub fn of_step(kind: &Kind, component: &[u8], profile: &Profile) -> Result<Vec<Asked>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let recorder = Recorder { dry: Dry::default(), rules: profile.rules, asked: asked.clone() };
    let marks = Arc::new(Mutex::new(Vec::new()));
    let (watched, seen) = (asked.clone(), marks.clone());
    let at_step = move || {
        if let (Ok(asked), Ok(mut marks)) = (watched.lock(), seen.lock()) {
            marks.push(asked.len());
        }
    };
    let run = run(kind.vocab, profile);
    measure::train(component, &run, Box::new(recorder), start(kind)?, 3, at_step)
        .map_err(|status| anyhow!("{}: {status:?}", kind.name))?;
    let marks = marks.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    match marks[..] {
        [_, _, from, to] => Ok(asked[from..to].to_vec()),
        _ => bail!("{}: no third step", kind.name),
    }
}

/// Prints the different ops of the guests' steps.
pub fn table(profile_name: &str, only: &str) -> Result<()> {
    let profile = profile(profile_name)?;
    let prices = Prices::new(&profile);
    println!("profile {}; {}\n", profile.name, machine::describe());
    for kind in MAKES.iter().filter(|kind| kind.name.contains(only)) {
        let mut lines: BTreeMap<String, (u64, Asked)> = BTreeMap::new();
        for asked in of_step(kind, &kind.compile()?, &profile)? {
            let shapes: Vec<String> = asked.inputs.iter().map(|spec| spec.shape.to_string()).collect();
            lines.entry(format!("{} {}", asked.op.name(), shapes.join(" "))).or_insert((0, asked)).0 += 1;
        }
        let mut executor = CpuExecutor::new(threads() as usize, 0)?;
        let (mut predicted, mut alone, mut rows) = (0.0, 0.0, Vec::new());
        for (name, (count, asked)) in lines {
            let price = prices.price(&asked.cost) as f64 / 1e9 * count as f64;
            // These need values that do not exist when they are run again.
            let taken = match asked.op {
                Op::NextBatch { .. } | Op::Constant { .. } => 0.0,
                op => calibrate::time(&mut executor, profile.rules, op, &asked.inputs)?.seconds * 1e3 * count as f64,
            };
            predicted += price;
            alone += taken;
            rows.push((price, taken, count, asked.cost.class, name));
        }
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        println!("{}: predicted {predicted:.2} ms, one by one {alone:.2} ms", kind.name);
        for (price, taken, count, class, name) in rows {
            println!("{price:9.3} {taken:9.3} {:6.2} {count:4} {:12} {name}", price / taken, class.name());
        }
        println!();
    }
    Ok(())
}
