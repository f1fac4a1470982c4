//! Random op programs through a session: ops of every kind on whatever tensors fit them, with gradients, updates in
//! place, reads and releases in between. What an executor may plan, fuse or share shows here.

use crate::cases::{Draft, small};
use crate::sample::{Flavour, Sample};
use kernels::cost::{Class, Profile, Rate};
use kernels::exec::Executor;
use kernels::fault::Fault;
use kernels::infer::infer;
use kernels::op::{AdamW, Op, TensorId, Unary};
use kernels::session::{Answers, Batches, Config, Mode, Session};
use kernels::spec::{DType, Spec, Values};

/// Calls of one program.
const CALLS: u32 = 60;
/// Attempts to find operands before an op is given up.
const TRIES: u32 = 48;
/// Elements above which a tensor is not made.
const LARGE: u64 = 8192;
/// Number of different tokens.
pub const VOCAB: u32 = 61;

/// When records are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// When something needs their values.
    WhenNeeded,
    /// After each call.
    Always,
}

/// Tokens that follow a rule a model can learn.
struct Text;

impl Batches for Text {
    fn fill(&self, random_seed: u64, drawn: u64, seq: u32, tokens: &mut [u32], targets: &mut [u32]) {
        let token = |place: u64| ((place * place / 3 + random_seed) % u64::from(VOCAB)) as u32;
        let seq = u64::from(seq.max(1));
        for (i, (now, next)) in (0u64..).zip(tokens.iter_mut().zip(targets)) {
            let place = drawn + i % seq + 17 * (i / seq);
            (*now, *next) = (token(place), token(place + 1));
        }
    }
}

/// A training session with ample limits; everything costs the same.
pub fn open(executor: Box<dyn Executor>) -> Session {
    resume(executor, Answers::Execute)
}

/// As [`open`], answering as told.
pub fn resume(executor: Box<dyn Executor>, answers: Answers) -> Session {
    let rate = |class: Class| Rate {
        class: class.name().to_owned(),
        mflops: 1_000_000,
        bytes_per_us: 1_000_000,
        overhead_ps: 1_000_000,
    };
    let config = Config {
        mode: Mode::Train,
        profile: Profile::of_rates("even", Class::ALL.map(rate).to_vec()),
        budget_ps: 4_000_000_000,
        tensor_bytes: 1 << 28,
        max_ops: 1 << 20,
        max_tensors: 1 << 16,
        random_seed: crate::RANDOM_SEED,
        intervals: 16,
    };
    Session::new(config, executor, Some(Box::new(Text)), answers)
}

/// Runs the program of a number: all that is held at its end, its parameters and what it read.
pub fn run(number: u64, session: Session, flush: Flush) -> Result<Vec<(Spec, Values)>, Fault> {
    let mut program = Program { sample: Sample::new(number), session, flush, held: Vec::new(), parameters: Vec::new() };
    program.start()?;
    for _ in 0..CALLS {
        program.call()?;
        if flush == Flush::Always {
            program.session.flush()?;
        }
    }
    program.results()
}

struct Program {
    sample: Sample,
    session: Session,
    flush: Flush,
    held: Vec<TensorId>,
    /// Each with first and second moment.
    parameters: Vec<[TensorId; 3]>,
}

impl Program {
    /// Tensors of a few shapes that fit each other, and parameters.
    fn start(&mut self) -> Result<(), Fault> {
        let [a, b] = [self.sample.choose(&[3, 5, 17]), self.sample.choose(&[4, 6, 18])];
        for dims in [vec![], vec![b], vec![a, b], vec![b, b], vec![2, a, b], vec![2, a, 2, b], vec![2, a, 1, b]] {
            for _ in 0..2 {
                let count = dims.iter().map(|&size| u64::from(size)).product();
                let values = self.sample.values(DType::F32, count, Flavour::Plain);
                let id = self.session.constant(&dims, values)?;
                self.held.push(id);
            }
        }
        for (i, place) in [2, 4, 6].into_iter().enumerate() {
            let first = self.held[place];
            let x = self.session.parameter(&format!("w{i}"), first)?;
            let zero = self.session.submit(Op::Affine { mul: 0.0, add: 0.0 }, &[first])?;
            let moments = [self.session.variable(zero)?, self.session.variable(zero)?];
            self.session.release(zero);
            self.parameters.push([x, moments[0], moments[1]]);
        }
        Ok(())
    }

    fn call(&mut self) -> Result<(), Fault> {
        match self.sample.below(24) {
            0 => self.update(),
            1 | 2 => self.train(),
            3 => {
                let at = self.sample.below(self.held.len() as u32) as usize;
                if self.held.len() > 14 {
                    let id = self.held.remove(at);
                    self.session.release(id);
                }
                Ok(())
            }
            4 => {
                let id = self.any();
                let made = self.session.detach(id)?;
                self.held.push(made);
                Ok(())
            }
            5 if self.sample.once_in(3) => {
                let on = self.sample.once_in(2);
                self.session.set_recording(on);
                Ok(())
            }
            6 => self.read(),
            _ => self.op(),
        }
    }

    /// A tensor that is held, or a parameter; mostly a late one, so that chains grow.
    fn any(&mut self) -> TensorId {
        let count = self.held.len() as u32;
        match self.sample.below(8) {
            0 => self.parameter()[0],
            1..=4 => self.held[(count - 1 - self.sample.below(count.min(5))) as usize],
            _ => self.held[self.sample.below(count) as usize],
        }
    }

    fn parameter(&mut self) -> [TensorId; 3] {
        self.sample.choose(&self.parameters)
    }

    /// Any op on any operands that fit.
    fn op(&mut self) -> Result<(), Fault> {
        let drafts: Vec<Draft> =
            small(u64::from(self.sample.below(4))).into_iter().filter(|d| d.op.written().is_empty()).collect();
        for _ in 0..TRIES {
            let draft = &drafts[self.sample.below(drafts.len() as u32) as usize];
            let inputs: Vec<TensorId> = draft.operands.iter().map(|_| self.any()).collect();
            let specs = inputs.iter().map(|&id| self.session.spec(id)).collect::<Result<Vec<_>, _>>()?;
            let fits = infer(&draft.op, &specs)
                .is_ok_and(|made| made.iter().all(|spec| spec.shape.elements() <= LARGE && spec.dtype == DType::F32));
            if fits {
                let made = self.session.submit(draft.op.clone(), &inputs)?;
                self.held.push(made);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Blends or assigns a tensor of its shape into a parameter.
    fn update(&mut self) -> Result<(), Fault> {
        let [x, ..] = self.parameter();
        let value = self.any();
        if value == x || self.session.spec(value)? != self.session.spec(x)? {
            return Ok(());
        }
        if self.sample.once_in(2) { self.session.assign(x, value) } else { self.session.blend(x, 0.75, value, -0.5) }
    }

    /// The mean square of a tensor as a loss: gradients of all parameters, a step on one of them.
    fn train(&mut self) -> Result<(), Fault> {
        let x = self.any();
        let axes = (0..self.session.spec(x)?.shape.rank() as u32).collect();
        let square = self.session.submit(Op::Unary(Unary::Square), &[x])?;
        let loss = self.session.submit(Op::Mean { axes, keep: false }, &[square])?;
        self.session.release(square);
        self.session.log("value", loss)?;
        let wanted: Vec<TensorId> = self.parameters.iter().map(|p| p[0]).collect();
        // Where nothing was recorded, or a parameter has changed since, there is no gradient: the same for everyone.
        let made = self.session.backward(loss, &wanted);
        self.session.release(loss);
        let Ok(gradients) = made else { return Ok(()) };
        let chosen = self.sample.below(wanted.len() as u32) as usize;
        let [x, m, v] = self.parameters[chosen];
        let how = AdamW { lr: 0.05, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.01, step: 2 };
        self.session.adamw(x, gradients[chosen], m, v, how)?;
        self.held.extend(gradients);
        Ok(())
    }

    fn read(&mut self) -> Result<(), Fault> {
        let id = self.any();
        if self.session.spec(id)?.dtype == DType::F32 && self.flush == Flush::Always {
            self.session.flush()?;
        }
        self.session.read(id).map(drop)
    }

    fn results(mut self) -> Result<Vec<(Spec, Values)>, Fault> {
        let mut results = Vec::new();
        for id in std::mem::take(&mut self.held) {
            let spec = self.session.spec(id)?.clone();
            results.push((spec, Values::F32(self.session.peek(id)?)));
        }
        let named = self.session.named_state()?;
        results.extend(named.tensors.into_iter().map(|(_, _, spec, values)| (spec, values)));
        let read = Values::U32(self.session.read_log().to_vec());
        let curve = Values::F32(self.session.curve().iter().map(|point| point.value as f32).collect());
        results.extend([read, curve].map(|values| (Spec::f32(Default::default()), values)));
        Ok(results)
    }
}
