//! A plan while it is made.

use crate::plan::{Argument, BLOCK, Buffer, Launch, Place, Plan, Product, Step};
use kernels::fault::Fault;
use kernels::op::Op;
use kernels::spec::{DType, Spec};

/// Lanes of a warp.
const WARP: u32 = 32;

/// An op, its operands and results, and the plan so far.
pub struct Builder<'a> {
    pub op: &'a Op,
    pub inputs: &'a [&'a Spec],
    pub outputs: &'a [Spec],
    pub seed: u64,
    pub plan: Plan,
}

/// Arguments of a launch.
macro_rules! arguments {
    ($($argument:expr),+ $(,)?) => { vec![$($crate::plan::Argument::from($argument)),+] };
}
pub(super) use arguments;

/// A block of threads for each [`BLOCK`] elements.
pub fn elements(count: u32) -> [u32; 3] {
    [count.div_ceil(BLOCK), 1, 1]
}

/// A warp for each row.
pub fn rows(count: u32) -> [u32; 3] {
    [count.div_ceil(BLOCK / WARP), 1, 1]
}

impl Builder<'_> {
    pub fn input(&self, i: usize) -> Result<&Spec, Fault> {
        self.inputs.get(i).copied().ok_or_else(|| self.unfit())
    }

    pub fn output(&self, i: usize) -> Result<&Spec, Fault> {
        self.outputs.get(i).ok_or_else(|| self.unfit())
    }

    /// Elements of an operand, which are at most 2³¹.
    pub fn count(&self, i: usize) -> Result<u32, Fault> {
        Ok(self.input(i)?.shape.elements() as u32)
    }

    /// Rows along the last axis of an operand, and their length.
    pub fn rows(&self, i: usize) -> Result<[u32; 2], Fault> {
        let last = self.input(i)?.shape.last();
        Ok([self.count(i)? / last, last])
    }

    /// Inference lets no such op pass.
    pub fn unfit(&self) -> Fault {
        let specs: Vec<String> = self.inputs.iter().map(ToString::to_string).collect();
        Fault::Executor(format!("no kernel does {} of {}", self.op.name(), specs.join(" and ")))
    }

    pub fn launch(&mut self, kernel: impl Into<String>, grid: [u32; 3], arguments: Vec<Argument>) {
        self.plan.steps.push(Step::Launch(Launch { kernel: kernel.into(), grid, arguments }));
    }

    pub fn product(&mut self, product: Product) {
        self.plan.steps.push(Step::Product(product));
    }

    pub fn copy(&mut self, from: impl Into<Place>, to: impl Into<Place>, bytes: u64) {
        self.plan.steps.push(Step::Copy { from: from.into(), to: to.into(), bytes });
    }

    /// Memory for this many elements of four bytes.
    pub fn scratch(&mut self, elements: u64) -> Buffer {
        self.scratch_bytes(4 * elements)
    }

    pub fn scratch_bytes(&mut self, bytes: u64) -> Buffer {
        self.plan.scratch.push(bytes);
        Buffer::Scratch(self.plan.scratch.len() - 1)
    }

    /// Indices that have to be below the limit.
    pub fn check(&mut self, input: usize, limit: u32) -> Result<(), Fault> {
        let count = self.count(input)?;
        let arguments = arguments![Buffer::Input(input), count, limit, Buffer::Fault];
        self.launch("check_indices", elements(count), arguments);
        self.plan.checked = Some((input, limit));
        Ok(())
    }

    /// The kernel of a family for this element type, among those that there are.
    pub fn of_dtype(&self, family: &str, dtype: DType, among: &[DType]) -> Result<String, Fault> {
        if among.contains(&dtype) { Ok(format!("{family}_{}", dtype.name())) } else { Err(self.unfit()) }
    }
}

/// The kernel of a family that moves elements of this type.
pub fn of_width(family: &str, dtype: DType) -> String {
    format!("{family}_{}", dtype.size())
}
