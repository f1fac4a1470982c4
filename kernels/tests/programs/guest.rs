//! A made-up guest: a list of calls that mean something whatever came before them.

use super::reference::session::{VOCAB, open};
use kernels::exec::Executor;
use kernels::fault::Fault;
use kernels::op::{AdamW, Attention, Binary, Compare, Loss, Op, TensorId, Unary};
use kernels::session::{Answers, Session, Totals};
use kernels::spec::{DType, Shape, Values};
use smallvec::smallvec;

/// A call of the guest. The numbers choose among what is possible when it is made.
#[derive(Clone, Debug)]
pub struct Call {
    kind: u8,
    a: usize,
    b: usize,
    n: u32,
}

/// Number of kinds of calls.
const KINDS: u8 = 34;
/// Elements above which a tensor is not made larger.
const LARGE: u64 = 512;

impl Call {
    /// The call that these bytes describe. Each call has some.
    pub fn of([kind, a, b, n]: [u8; 4]) -> Self {
        Self { kind: kind % KINDS, a: usize::from(a % 64), b: usize::from(b % 64), n: u32::from(n % 4) }
    }
}

/// A guest's handles: f32 tensors, slots, and those slots that are parameters.
pub struct Guest {
    session: Session,
    held: Vec<TensorId>,
    slots: Vec<TensorId>,
    parameters: Vec<TensorId>,
}

/// What can be seen after a call.
#[derive(Debug, PartialEq)]
pub struct Seen {
    /// Specs of what it made, or why it made nothing.
    pub result: Result<Vec<String>, Fault>,
    /// Counters after it.
    pub totals: Totals,
}

impl Guest {
    /// A guest that holds nothing.
    pub fn new(executor: Box<dyn Executor>, answers: Answers) -> Self {
        let session = open(executor, answers);
        Self { session, held: Vec::new(), slots: Vec::new(), parameters: Vec::new() }
    }

    /// What is seen after each call, and after the end.
    pub fn run(mut self, calls: &[Call]) -> Vec<Seen> {
        let seen = calls.iter().map(|call| {
            let before = self.held.len();
            let made = self.make(call);
            let new = self.held.get(before..).unwrap_or_default();
            let specs = new.iter().map(|&id| self.session.spec(id).unwrap().to_string()).collect();
            Seen { result: made.map(|()| specs), totals: self.session.totals() }
        });
        let mut seen: Vec<Seen> = seen.collect();
        let result = self.session.finish().map(|()| Vec::new());
        seen.push(Seen { result, totals: self.session.totals() });
        seen
    }

    fn submit(&mut self, op: Op, inputs: &[TensorId]) -> Result<(), Fault> {
        let id = self.session.submit(op, inputs)?;
        self.held.push(id);
        Ok(())
    }

    fn shape(&self, id: TensorId) -> Shape {
        self.session.spec(id).unwrap().shape.clone()
    }

    /// A small shape from the call's numbers.
    fn dims(call: &Call) -> Vec<u32> {
        (0..call.n).map(|axis| ((call.a + call.b) as u32 >> axis) % 4 + 1).collect()
    }

    /// One of the tensors that are held; a new one where there is none.
    fn any(&mut self, choice: usize) -> Result<TensorId, Fault> {
        if self.held.is_empty() {
            self.submit(Op::Full { shape: Shape::new(&[2, 3]).unwrap(), value: 0.5 }, &[])?;
        }
        Ok(self.held[choice % self.held.len()])
    }

    fn make(&mut self, call: &Call) -> Result<(), Fault> {
        match call.kind {
            0..=5 => self.source(call),
            6..=16 => self.pure(call),
            17..=20 => self.state(call),
            21..=25 => self.lifetime(call),
            _ => self.typed(call),
        }
    }

    /// Tensors from nothing.
    fn source(&mut self, call: &Call) -> Result<(), Fault> {
        let dims = Self::dims(call);
        let shape = Shape::new(&dims).unwrap();
        let stream = call.n;
        match call.kind {
            0 => self.submit(Op::Full { shape, value: 0.25 * call.n as f32 }, &[]),
            1 => self.submit(Op::Uniform { shape, low: -1.0, high: 1.0, stream, position: 0 }, &[]),
            2 => self.submit(Op::Normal { shape, mean: 0.0, std: 1.0, stream, position: 0 }, &[]),
            3 => {
                let values = vec![call.b as f32; shape.elements() as usize];
                let id = self.session.constant(&dims, Values::F32(values))?;
                self.held.push(id);
                Ok(())
            }
            4 => self.embedding(call),
            _ => self.batch(call),
        }
    }

    /// Rows of a matrix that is held, or a fault.
    fn embedding(&mut self, call: &Call) -> Result<(), Fault> {
        let table = self.any(call.a)?;
        let rows = self.shape(table).dims().first().copied().unwrap_or(1);
        let indices = self.session.submit(Op::Arange { len: rows.min(call.n + 1) }, &[])?;
        let made = self.submit(Op::Embedding, &[table, indices]);
        self.session.release(indices);
        made
    }

    /// Tokens through a new table to a loss.
    fn batch(&mut self, call: &Call) -> Result<(), Fault> {
        let Some((tokens, targets)) = self.session.next_batch(call.n + 1, 2)? else {
            return Ok(());
        };
        let shape = Shape::new(&[VOCAB, VOCAB]).unwrap();
        let table = self.session.submit(Op::Full { shape, value: 0.1 }, &[])?;
        self.submit(Op::Embedding, &[table, tokens])?;
        let logits = self.any(self.held.len() - 1)?;
        let loss = Loss { softcap: call.n as f32, z_loss: 0.01 * call.n as f32 };
        self.submit(Op::CrossEntropy(loss), &[logits, targets])?;
        self.submit(Op::LinearCrossEntropy { loss, gradients: false }, &[logits, table, targets])?;
        for id in [table, tokens, targets] {
            self.session.release(id);
        }
        Ok(())
    }

    /// Tensors from tensors.
    fn pure(&mut self, call: &Call) -> Result<(), Fault> {
        let (x, y) = (self.any(call.a)?, self.any(call.b)?);
        let shape = self.shape(x);
        let rank = shape.rank() as u32;
        let axis = call.n % rank.max(1);
        let small = shape.elements() <= LARGE;
        match call.kind {
            6 => self.submit(Op::Unary(Unary::ALL[call.b % Unary::ALL.len()]), &[x]),
            7 => {
                let all = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Maximum, Binary::Minimum];
                self.submit(Op::Binary(all[(call.a + call.b) % all.len()]), &[x, y])
            }
            8 if call.n.is_multiple_of(2) => self.submit(Op::MatMul { transpose_a: false, transpose_b: true }, &[x, x]),
            8 => self.submit(Op::MatMul { transpose_a: true, transpose_b: false }, &[x, y]),
            9 => self.submit(Op::Permute { axes: (0..rank).rev().collect() }, &[x]),
            10 => self.submit(Op::Narrow { axis, start: call.n / 2, len: 1 }, &[x]),
            11 if small => self.submit(Op::Cat { axis }, &[x, y, x]),
            12 if small => {
                let wide: Vec<u32> = std::iter::once(call.n + 1).chain(shape.dims().iter().copied()).collect();
                let op = "expand";
                let shape = Shape::new(&wide).map_err(|source| Fault::Size { op, source })?;
                self.submit(Op::Expand { shape }, &[x])
            }
            13 => {
                let axes = (0..rank).filter(|axis| call.b >> axis & 1 == 1).collect();
                let keep = call.n.is_multiple_of(2);
                self.submit(if call.n < 2 { Op::Sum { axes, keep } } else { Op::Mean { axes, keep } }, &[x])
            }
            14 => self.submit(if call.n < 2 { Op::Softmax } else { Op::RmsNorm { eps: 1e-5 } }, &[x]),
            15 => self.heads(call, x, &shape),
            16 => {
                self.submit(Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; call.n as usize] }, &[x])
            }
            _ => Ok(()),
        }
    }

    /// Other dtypes, order and indexing. What comes out of other dtypes is cast back, so that other calls can use it.
    fn typed(&mut self, call: &Call) -> Result<(), Fault> {
        let (x, y) = (self.any(call.a)?, self.any(call.b)?);
        let axis = call.n % (self.shape(x).rank() as u32).max(1);
        let all = DType::ALL;
        let made = match call.kind {
            26 => self.session.submit(Op::Cast { to: all[call.b % all.len()] }, &[x])?,
            27 => self.session.submit(Op::Compare(Compare::ALL[call.b % 6]), &[x, y])?,
            28 => {
                let condition = self.session.submit(Op::Compare(Compare::Gt), &[x, y])?;
                let chosen = self.session.submit(Op::Select, &[condition, y, x]);
                self.session.release(condition);
                chosen?
            }
            29 => self.session.submit(Op::ArgSort { descending: call.n > 1 }, &[x])?,
            30 => {
                let places = self.session.submit(Op::ArgSort { descending: false }, &[x])?;
                let last = (self.shape(x).rank() as u32).saturating_sub(1);
                let picked = match call.n {
                    0 => self.session.submit(Op::ScatterAdd { axis: last }, &[x, places, x]),
                    _ => self.session.submit(Op::Gather { axis: last }, &[x, places]),
                };
                self.session.release(places);
                picked?
            }
            31 => match call.n {
                0 => self.session.submit(Op::ArgMax { axis }, &[x])?,
                1 => self.session.submit(Op::Max { axes: smallvec![axis], keep: true }, &[x])?,
                2 => self.session.submit(Op::LogSumExp, &[x])?,
                _ => self.session.submit(Op::LayerNorm { eps: 1e-5 }, &[x])?,
            },
            32 => match call.n {
                0 => self.session.submit(Op::CumSum { axis, reverse: call.b.is_multiple_of(2) }, &[x])?,
                1 => self.session.submit(Op::Binary(Binary::Pow), &[x, y])?,
                2 => self.session.submit(Op::Pad { axis, before: 1, after: 0 }, &[x])?,
                _ => self.integers(call, x, y)?,
            },
            _ => return self.segment(call, x),
        };
        if self.session.spec(made)?.dtype == DType::F32 {
            self.held.push(made);
            return Ok(());
        }
        let back = self.session.submit(Op::Cast { to: DType::F32 }, &[made]);
        self.session.release(made);
        self.held.push(back?);
        Ok(())
    }

    fn integers(&mut self, call: &Call, x: TensorId, y: TensorId) -> Result<TensorId, Fault> {
        let to = [DType::U8, DType::U32, DType::I64][call.a % 3];
        let (a, b) = (self.session.submit(Op::Cast { to }, &[x])?, self.session.submit(Op::Cast { to }, &[y])?);
        let made = self.session.submit(Op::Binary(Binary::ALL[call.b % Binary::ALL.len()]), &[a, b]);
        self.session.release(a);
        self.session.release(b);
        made
    }

    /// A checkpointed segment.
    fn segment(&mut self, call: &Call, x: TensorId) -> Result<(), Fault> {
        self.session.begin_checkpoint()?;
        let inner = self.session.submit(Op::Unary(Unary::ALL[call.b % Unary::ALL.len()]), &[x])?;
        let made = self.session.submit(Op::Binary(Binary::Mul), &[inner, x]);
        self.session.release(inner);
        self.session.end_checkpoint()?;
        self.held.push(made?);
        Ok(())
    }

    /// Attention over the elements of `x`, doubled to make the width even.
    fn heads(&mut self, call: &Call, x: TensorId, shape: &Shape) -> Result<(), Fault> {
        let time = match u32::try_from(shape.elements()) {
            Ok(time) if time <= 64 => time,
            _ => return Ok(()),
        };
        let session = &mut self.session;
        let flat = session.submit(Op::Reshape { shape: Shape::new(&[1, time, 1, 1]).unwrap() }, &[x])?;
        let q = session.submit(Op::Expand { shape: Shape::new(&[1, time, 2, 2]).unwrap() }, &[flat])?;
        let k = session.submit(Op::Cat { axis: 3 }, &[flat, flat])?;
        let turned = session.submit(Op::Rope { base: 100.0, inverse: false }, &[q])?;
        let y = session.submit(
            Op::Attention(Attention { causal: call.a.is_multiple_of(2), window: call.n, scale: 0.5 }),
            &[turned, k, k],
        )?;
        for id in [flat, q, k, turned] {
            session.release(id);
        }
        self.held.push(y);
        Ok(())
    }

    /// Slots, and ops in place on them.
    fn state(&mut self, call: &Call) -> Result<(), Fault> {
        let x = self.any(call.a)?;
        if call.kind == 17 || self.slots.is_empty() {
            let name = format!("n{}", call.b % 24);
            let slot = match call.n {
                0 => self.session.variable(x)?,
                1 => self.session.buffer(&name, x)?,
                _ => self.session.parameter(&name, x)?,
            };
            self.slots.push(slot);
            if call.n > 1 {
                self.parameters.push(slot);
            }
            return Ok(());
        }
        let slot = self.slots[call.b % self.slots.len()];
        match call.kind {
            18 => self.session.blend(slot, 0.5, x, -0.1),
            19 if self.parameters.contains(&slot) => self.optimize(slot, call.n),
            _ => self.submit(Op::Binary(Binary::Add), &[slot, x]),
        }
    }

    /// A loss of the slot alone, its gradient, an AdamW step.
    fn optimize(&mut self, slot: TensorId, n: u32) -> Result<(), Fault> {
        let axes = (0..self.shape(slot).rank() as u32).collect();
        let session = &mut self.session;
        let square = session.submit(Op::Unary(Unary::Square), &[slot])?;
        let loss = session.submit(Op::Mean { axes, keep: false }, &[square])?;
        session.release(square);
        let made = session.backward(loss, &[slot]);
        session.release(loss);
        let gradient = made?[0];
        let (m, v) = (session.variable(gradient)?, session.variable(gradient)?);
        let how = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.9, eps: 1e-8, weight_decay: 0.1, step: n + 1 };
        let done = session.adamw(slot, gradient, m, v, how);
        for id in [gradient, m, v] {
            session.release(id);
        }
        done
    }

    /// Handles, gradients, reads, the log.
    fn lifetime(&mut self, call: &Call) -> Result<(), Fault> {
        let x = self.any(call.a)?;
        match call.kind {
            21 => {
                let at = call.a % self.held.len();
                let id = self.held.remove(at);
                self.session.release(id);
                Ok(())
            }
            22 => {
                let axes = (0..self.shape(x).rank() as u32).collect();
                let loss = self.session.submit(Op::Sum { axes, keep: false }, &[x])?;
                let made = self.session.backward(loss, &self.parameters);
                self.session.release(loss);
                self.held.extend(made?);
                Ok(())
            }
            23 => self.session.read(x).map(|_| ()),
            24 => {
                let axes = (0..self.shape(x).rank() as u32).collect();
                let mean = self.session.submit(Op::Mean { axes, keep: false }, &[x])?;
                let logged = self.session.log("value", mean);
                self.session.release(mean);
                logged
            }
            _ => {
                self.session.set_recording(call.n > 0);
                let axes = smallvec![];
                self.submit(Op::Sum { axes, keep: call.n > 1 }, &[x])?;
                let id = self.session.detach(x)?;
                self.held.push(id);
                Ok(())
            }
        }
    }
}
