//! Programs of records on tokens [rows, time], and what becomes of them: traced, and executed on texts.

use kernels::causal::{Cell, Finding, Needs, Recorder, Source, Watching, elements, prove};
use kernels::cpu::CpuExecutor;
use kernels::exec::{Executor, Step};
use kernels::infer::infer;
use kernels::op::{Binary, Compare, Op, Record, TensorId, Unary};
use kernels::spec::{DType, Shape, Spec, Values};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Different tokens.
pub const VOCAB: u32 = 11;

pub fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims).unwrap()
}

/// Records, and the values that the host gives; the tokens come last.
pub struct Program {
    pub rows: u32,
    pub time: u32,
    /// Spec, values, whether it is a buffer.
    given: Vec<(Spec, Values, bool)>,
    steps: Vec<Step>,
    specs: Vec<Spec>,
}

impl Program {
    /// A program with this named state.
    pub fn new(rows: u32, time: u32, given: Vec<(Spec, Values, bool)>) -> Self {
        let mut specs: Vec<Spec> = given.iter().map(|(spec, ..)| spec.clone()).collect();
        specs.push(Spec::u32(shape(&[rows, time])));
        Self { rows, time, given, steps: Vec::new(), specs }
    }

    pub fn tokens(&self) -> TensorId {
        TensorId(self.given.len() as u64)
    }

    /// Every tensor.
    pub fn all(&self) -> Vec<TensorId> {
        (0..self.specs.len() as u64).map(TensorId).collect()
    }

    pub fn spec(&self, id: TensorId) -> &Spec {
        &self.specs[id.0 as usize]
    }

    pub fn dims(&self, id: TensorId) -> Vec<u32> {
        self.spec(id).shape.dims().to_vec()
    }

    /// Adds a record; `None` if the op does not take these operands.
    pub fn attempt(&mut self, op: Op, inputs: &[TensorId], data: Option<Values>) -> Option<TensorId> {
        let specs: Vec<&Spec> = inputs.iter().map(|&id| self.spec(id)).collect();
        let outputs = infer(&op, &specs).ok()?.to_vec();
        let made: SmallVec<[TensorId; 2]> =
            (0..outputs.len()).map(|i| TensorId((self.specs.len() + i) as u64)).collect();
        self.specs.extend(outputs.iter().cloned());
        let first = made[0];
        let record = Record { op, inputs: inputs.iter().copied().collect(), outputs: made, data: data.map(Arc::new) };
        self.steps.push(Step::Run { record, outputs, index: self.steps.len() as u64 });
        Some(first)
    }

    #[track_caller]
    pub fn op(&mut self, op: Op, inputs: &[TensorId]) -> TensorId {
        let name = op.name();
        self.attempt(op, inputs, None).unwrap_or_else(|| panic!("{name} does not take its operands"))
    }

    pub fn constant(&mut self, dims: &[u32], values: Values) -> TensorId {
        let op = Op::Constant { shape: shape(dims), dtype: values.dtype() };
        self.attempt(op, &[], Some(values)).unwrap()
    }

    pub fn full(&mut self, dims: &[u32], value: f32) -> TensorId {
        self.op(Op::Full { shape: shape(dims), value }, &[])
    }

    /// Says that a tensor is not used any more.
    pub fn free(&mut self, id: TensorId) {
        self.steps.push(Step::Free(id));
    }

    pub fn unary(&mut self, f: Unary, x: TensorId) -> TensorId {
        self.op(Op::Unary(f), &[x])
    }

    pub fn binary(&mut self, f: Binary, a: TensorId, b: TensorId) -> TensorId {
        self.op(Op::Binary(f), &[a, b])
    }

    pub fn matmul(&mut self, a: TensorId, b: TensorId, transpose_b: bool) -> TensorId {
        self.op(Op::MatMul { transpose_a: false, transpose_b }, &[a, b])
    }

    pub fn reshape(&mut self, x: TensorId, dims: &[u32]) -> TensorId {
        self.op(Op::Reshape { shape: shape(dims) }, &[x])
    }

    pub fn narrow(&mut self, x: TensorId, axis: u32, start: u32, len: u32) -> TensorId {
        self.op(Op::Narrow { axis, start, len }, &[x])
    }

    pub fn cast(&mut self, x: TensorId, to: DType) -> TensorId {
        self.op(Op::Cast { to }, &[x])
    }

    /// Where column ≤ row, of [n, n]: bool, from aranges.
    pub fn lower(&mut self, n: u32) -> TensorId {
        let places = self.op(Op::Arange { len: n }, &[]);
        let rows = self.reshape(places, &[n, 1]);
        self.op(Op::Compare(Compare::Le), &[places, rows])
    }

    /// The source of a proof that `output` are the logits.
    pub fn source(&self, output: TensorId) -> Source {
        let (mut recorder, taken) = Recorder::new();
        let (place, tokens) = (self.tokens(), Spec::u32(shape(&[self.rows, self.time])));
        for (id, (spec, ..)) in self.given.iter().enumerate() {
            recorder.upload(TensorId(id as u64), spec, &Values::none(spec.dtype)).unwrap();
        }
        recorder.upload(place, &tokens, &Values::none(DType::U32)).unwrap();
        recorder.execute(&mut self.steps.clone()).unwrap();
        let buffers = self.given.iter().map(|(.., buffer)| *buffer).collect();
        Source { recording: taken(), buffers, output }
    }

    pub fn prove(&self, output: TensorId) -> Finding {
        prove(&self.source(output), &executor).unwrap()
    }

    pub fn elements(&self, output: TensorId) -> (Vec<Cell>, Needs) {
        elements(&self.source(output), &executor).unwrap().expect("small programs are no work")
    }

    /// Values of these tensors on a text, and whether the needs held. `None` if the execution failed.
    pub fn values(&self, tokens: &[u32], wanted: &[TensorId], needs: &Needs) -> Option<(Vec<Values>, bool)> {
        let holds = Arc::new(AtomicBool::new(true));
        let mut executor = Watching::new(executor(), needs, holds.clone());
        for (id, (spec, values, _)) in self.given.iter().enumerate() {
            executor.upload(TensorId(id as u64), spec, values).unwrap();
        }
        let spec = Spec::u32(shape(&[self.rows, self.time]));
        executor.upload(self.tokens(), &spec, &Values::U32(tokens.to_vec())).unwrap();
        executor.execute(&mut self.steps.clone()).ok()?;
        let values = wanted.iter().map(|&id| executor.download(id).unwrap()).collect();
        Some((values, holds.load(Ordering::Relaxed)))
    }
}

pub fn executor() -> Box<dyn Executor> {
    Box::new(CpuExecutor::new(1, 7).unwrap())
}

/// Each value's bits, of zeros without their sign.
pub fn bits(values: &Values) -> Vec<u64> {
    let float = |bits: u64, sign: u64| if bits == sign { 0 } else { bits };
    match values {
        Values::F32(v) => v.iter().map(|x| float(u64::from(x.to_bits()), 1 << 31)).collect(),
        Values::Bf16(v) | Values::F16(v) => v.iter().map(|x| float(u64::from(*x), 1 << 15)).collect(),
        Values::U32(v) => v.iter().map(|x| u64::from(*x)).collect(),
        Values::U8(v) => v.iter().map(|x| u64::from(*x)).collect(),
        Values::I64(v) => v.iter().map(|x| *x as u64).collect(),
        Values::Bool(v) => v.iter().map(|x| u64::from(*x)).collect(),
    }
}
