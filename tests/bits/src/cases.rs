//! Every op on made-up operands: sizes of three scales, odd ones above all, and values of three flavours. An op that is
//! missing here is named by `tests/here/coverage.rs`.

mod draw;
mod families;

use crate::RANDOM_SEED;
use crate::digest::Digest;
use crate::sample::{Flavour, Sample};
use draw::{Draw, Operand, Scale};
use kernels::cpu::CpuExecutor;
use kernels::exec::{Executor, Step};
use kernels::fault::Fault;
use kernels::infer::infer;
use kernels::op::{Op, Record, TensorId};
use kernels::spec::{DType, Shape, Spec, Values};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Element types that operands of floats are tried with, where an op takes them.
const OTHER_DTYPES: [DType; 6] = [DType::U32, DType::Bf16, DType::F16, DType::U8, DType::I64, DType::Bool];

/// One op with its operands.
#[derive(Clone, Debug)]
pub struct Case {
    /// Op, sizes of the operands, and what the values are like.
    pub name: String,
    /// Few elements: people can read it.
    pub readable: bool,
    /// The op.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<(Spec, Values)>,
    /// Values that come with the record.
    pub data: Option<Values>,
}

/// An op and the operands that fit it, before they have values.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The op.
    pub op: Op,
    /// Its operands.
    pub operands: Vec<Operand>,
    /// How many u32 values come with the record.
    pub data: Option<(DType, u64)>,
}

/// Sizes and values of each round.
const ROUNDS: [(Scale, Flavour); 5] = [
    (Scale::Least, Flavour::Plain),
    (Scale::Odd, Flavour::Plain),
    (Scale::Odd, Flavour::Edges),
    (Scale::Odd, Flavour::Tiny),
    (Scale::Large, Flavour::Plain),
];

/// The same op on operands of other element types, where it takes them.
fn other_dtypes(draft: &Draft) -> impl Iterator<Item = Draft> {
    OTHER_DTYPES.into_iter().filter_map(|dtype| {
        let operands: Vec<Operand> = draft.operands.iter().map(|operand| operand.with_dtype(dtype)).collect();
        let changed = operands != draft.operands;
        let specs: Vec<Spec> = operands.iter().map(Operand::spec).collect();
        let taken = infer(&draft.op, &specs.iter().collect::<Vec<_>>()).is_ok();
        (changed && taken).then(|| Draft { operands, ..draft.clone() })
    })
}

/// Drafts of small ops of floats, for programs.
pub fn small(seed: u64) -> Vec<Draft> {
    let mut drafts = families::all(&mut Draw::new(seed, Scale::Least));
    drafts.retain(|draft| draft.data.is_none() && draft.operands.iter().all(Operand::is_float));
    drafts
}

/// Every case. The cases of an op are numbered, so that names are unique.
pub fn all() -> Vec<Case> {
    let mut made: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut sample = Sample::new(RANDOM_SEED);
    let mut cases = Vec::new();
    for (seed, (scale, flavour)) in (1..).zip(ROUNDS) {
        let drafts = families::all(&mut Draw::new(seed, scale));
        let others: Vec<Draft> = match scale {
            Scale::Odd => drafts.iter().flat_map(other_dtypes).collect(),
            Scale::Least | Scale::Large => Vec::new(),
        };
        for draft in drafts.into_iter().chain(others) {
            let number = made.entry(draft.op.name()).or_default();
            *number += 1;
            let label = format!("{}/{number}", draft.op.name());
            cases.push(Case::new(draft, label, flavour, scale == Scale::Least, &mut sample));
        }
    }
    cases
}

impl Case {
    fn new(draft: Draft, label: String, flavour: Flavour, readable: bool, sample: &mut Sample) -> Self {
        let inputs: Vec<(Spec, Values)> = draft.operands.iter().map(|operand| operand.fill(sample, flavour)).collect();
        let specs: String = inputs.iter().map(|(spec, _)| format!(" {spec}")).collect();
        let data = draft.data.map(|(dtype, count)| sample.values(dtype, count, flavour));
        Self { name: format!("{label}{specs} {}", flavour.name()), readable, op: draft.op, inputs, data }
    }

    /// The op's results, then the operands that it wrote.
    pub fn run(&self, executor: &mut dyn Executor) -> Result<Vec<(Spec, Values)>, Fault> {
        let specs: Vec<&Spec> = self.inputs.iter().map(|(spec, _)| spec).collect();
        let made = infer(&self.op, &specs)?;
        let inputs: Vec<TensorId> = (0..self.inputs.len() as u64).map(TensorId).collect();
        let outputs: Vec<TensorId> = (inputs.len() as u64..).take(made.len()).map(TensorId).collect();
        for (id, (spec, values)) in inputs.iter().zip(&self.inputs) {
            executor.upload(*id, spec, values)?;
        }
        let record = Record {
            op: self.op.clone(),
            inputs: inputs.iter().copied().collect(),
            outputs: outputs.iter().copied().collect(),
            data: self.data.clone().map(Arc::new),
        };
        executor.execute(&mut vec![Step::Run { record, outputs: made.to_vec(), index: 0 }])?;
        let written = self.op.written().iter().map(|&place| (inputs[place], self.inputs[place].0.clone()));
        let results = outputs.iter().copied().zip(made.iter().cloned()).chain(written);
        let results = results.map(|(id, spec)| Ok((spec, executor.download(id)?))).collect();
        executor.execute(&mut inputs.into_iter().chain(outputs).map(Step::Free).collect())?;
        results
    }

    /// Digest of [`Case::run`] on an executor like this one.
    pub fn digest(&self, like: &CpuExecutor) -> Result<Digest, Fault> {
        Ok(Digest::new(self.name.clone(), &self.run(&mut like.sibling(RANDOM_SEED))?))
    }
}

/// The shape of sizes that are made up here, which are in bounds.
fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims).expect("sizes in bounds")
}
