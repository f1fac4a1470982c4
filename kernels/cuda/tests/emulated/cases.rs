//! Plans with operands, and what the CPU's kernels make of these: the cases of `bits`, which has every op on odd sizes
//! and edge values, and sizes that matter here: around tiles, chunks and runs; bf16; indices out of range.

use crate::common::{indices, run, values};
use crate::compare::Agreement;
use cuda_kernels::{Argument, Buffer, Launch, NormRope, Plan, Step, lower};
use half::bf16;
use kernels::cpu::CpuExecutor;
use kernels::infer::infer;
use kernels::op::{AdamW, Attention, Binary, Loss, Op, Unary};
use kernels::spec::{DType, Shape, Spec, Values};
use smallvec::smallvec;

/// Keys everything random.
const RANDOM_SEED: u64 = 42;
/// Most threads that a case of `bits` may start, each a fiber, and most multiplications of its products.
const MAX_THREADS: u64 = 24 << 10;
const MAX_MULTIPLICATIONS: u64 = 1 << 20;

type Operand = (Spec, Values);

/// A plan with its operands, and what should come of them.
pub struct Case {
    pub name: String,
    /// None for a fused pair of ops, and for kernels that are made to fail.
    pub op: Option<Op>,
    pub plan: Plan,
    pub inputs: Vec<Operand>,
    /// Specs of the results.
    pub outputs: Vec<Spec>,
    /// Operands that are written.
    pub written: Vec<usize>,
    /// The results, then the operands that are written; none where an index is out of range.
    pub want: Vec<Values>,
    /// The least position of such an index.
    pub fault: u32,
    pub agreement: Agreement,
}

/// Every case, the long ones first.
pub fn all() -> Vec<Case> {
    let mut all = Vec::new();
    attention(&mut all);
    losses(&mut all);
    lengths(&mut all);
    bf16_cases(&mut all);
    norm_rope(&mut all);
    out_of_range(&mut all);
    all.extend(bits::cases::all().into_iter().filter_map(of_bits));
    all
}

fn cpu() -> CpuExecutor {
    CpuExecutor::new(1, RANDOM_SEED).expect("an executor")
}

fn of_bits(case: bits::cases::Case) -> Option<Case> {
    let specs: Vec<&Spec> = case.inputs.iter().map(|(spec, _)| spec).collect();
    let outputs = infer(&case.op, &specs).expect("it fits").to_vec();
    let plan = lower(&case.op, &specs, &outputs, RANDOM_SEED).expect("it has a plan");
    if case.data.is_some() {
        assert!(plan.steps.is_empty(), "its values are uploaded");
        return None;
    }
    if !is_short(&plan) {
        return None;
    }
    let want = case.run(&mut cpu()).expect("it runs").into_iter().map(|(_, values)| values).collect();
    let sums = Agreement::of(&case.op);
    // Halves are made of any bits, infinities and NaN too.
    let has_halves = case.inputs.iter().any(|(spec, _)| matches!(spec.dtype, DType::Bf16 | DType::F16));
    let has_edges = case.name.ends_with(" edges") || has_halves;
    let by_order = has_edges && sums != Agreement::Bits && sums != Agreement::Near(0.0);
    Some(Case {
        agreement: if by_order { Agreement::Apart } else { sums },
        written: case.op.written().to_vec(),
        name: case.name,
        op: Some(case.op),
        plan,
        inputs: case.inputs,
        outputs,
        want,
        fault: u32::MAX,
    })
}

fn is_short(plan: &Plan) -> bool {
    let product = |sizes: &[u32]| sizes.iter().map(|size| u64::from(*size)).product::<u64>();
    let (threads, multiplications) = plan.steps.iter().fold((0, 0), |(threads, all), step| match step {
        Step::Launch(launch) => (threads + product(&launch.grid) * u64::from(cuda_kernels::BLOCK), all),
        Step::Product(p) => (threads, all + product(&[p.batch, p.m, p.n, p.k])),
        Step::Copy { .. } => (threads, all),
    });
    threads <= MAX_THREADS && multiplications <= MAX_MULTIPLICATIONS
}

/// A case of an op on f32 and u32 operands.
fn of_op(op: Op, inputs: Vec<Operand>) -> Case {
    let specs: Vec<&Spec> = inputs.iter().map(|(spec, _)| spec).collect();
    let outputs = infer(&op, &specs).expect("it fits").to_vec();
    let plan = lower(&op, &specs, &outputs, RANDOM_SEED).expect("it has a plan");
    // The written operands come first there.
    let mut want = run(&mut cpu(), &op, &inputs).expect("it runs");
    want.rotate_left(op.written().len());
    let name = format!("{op:?} of {}", specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "));
    let (written, agreement) = (op.written().to_vec(), Agreement::of(&op));
    Case { name, op: Some(op), plan, inputs, outputs, written, want, fault: u32::MAX, agreement }
}

/// An attention and its gradient, on what the forward op makes.
fn attention_pair(q: &[u32; 4], groups: u32, how: Attention, make: impl Fn(Op, Vec<Operand>) -> Case) -> [Case; 2] {
    let [batch, time, _, dim] = *q;
    let kv = [batch, time, groups, dim];
    let [q, k, v, dy] = [(&q[..], 1), (&kv, 2), (&kv, 3), (&q[..], 4)].map(|(dims, salt)| values(dims, salt));
    let forward = make(Op::Attention(how), vec![q.clone(), k.clone(), v.clone()]);
    let made: Vec<Operand> = forward.outputs.iter().cloned().zip(forward.want.iter().cloned()).collect();
    let [y, logsumexp] = made.try_into().expect("two results");
    let backward = make(Op::AttentionGrad(how), vec![q, k, v, y, logsumexp, dy]);
    [forward, backward]
}

/// Times around a tile, widths of a head around a slice and the columns of a block.
fn attention(all: &mut Vec<Case>) {
    for (q, groups, causal, window) in [
        ([1, 130, 2, 32], 1, true, 0),
        ([1, 129, 1, 33], 1, true, 64),
        ([2, 64, 2, 66], 2, true, 17),
        ([1, 65, 1, 130], 1, true, 0),
        ([1, 70, 3, 64], 3, false, 9),
        ([1, 200, 1, 10], 1, true, 70),
        ([1, 150, 1, 8], 1, false, 80),
        ([3, 1, 2, 4], 1, true, 1),
    ] {
        all.extend(attention_pair(&q, groups, Attention { causal, window, scale: 0.2 }, of_op));
    }
    // Weights that a single key has, so that the maximum moves far from tile to tile.
    all.extend(attention_pair(&[1, 140, 1, 16], 1, Attention { causal: true, window: 0, scale: 8.0 }, of_op));
}

/// More rows than a chunk, more logits than a block has threads.
fn losses(all: &mut Vec<Case>) {
    for (softcap, z_loss) in [(0.0, 0.0), (3.0, 1e-2)] {
        let loss = Loss { softcap, z_loss };
        let (logits, targets) = (values(&[5, 700], 1), indices(&[5], 700));
        all.push(of_op(Op::CrossEntropy(loss), vec![logits.clone(), targets.clone()]));
        let saved = vec![logits, targets, values(&[5], 2), values(&[], 3)];
        all.push(of_op(Op::CrossEntropyGrad(loss), saved));
        let operands = vec![values(&[270, 12], 4), values(&[40, 12], 5), indices(&[270], 40)];
        all.push(of_op(Op::LinearCrossEntropy { loss, gradients: true }, operands));
    }
}

/// Lengths beyond a chunk, a column, a run, a warp's share.
fn lengths(all: &mut Vec<Case>) {
    for dims in [&[2500][..], &[2, 1025], &[130, 3], &[4200, 2], &[2, 70, 1030]] {
        for axes in [smallvec![0], smallvec![dims.len() as u32 - 1]] {
            all.push(of_op(Op::Mean { axes, keep: false }, vec![values(dims, 1)]));
        }
    }
    all.push(of_op(Op::Sum { axes: smallvec![0, 2], keep: false }, vec![values(&[3, 2, 1500], 1)]));
    for reverse in [false, true] {
        all.push(of_op(Op::CumSum { axis: 0, reverse }, vec![values(&[1030, 2], 1)]));
    }
    for descending in [false, true] {
        all.push(of_op(Op::ArgSort { descending }, vec![values(&[2, 300], 1)]));
    }
    all.push(of_op(Op::EmbeddingGrad { rows: 37 }, vec![indices(&[200], 37), values(&[200, 35], 1)]));
    all.push(of_op(
        Op::NewtonSchulz { coefficients: vec![[3.4445, -4.775, 2.0315]; 3] },
        vec![values(&[2, 40, 30], 1)],
    ));
    let how = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, step: 7 };
    let second = (values(&[300], 4).0, Values::F32((0..300).map(|i| i as f32 * 1e-3).collect()));
    all.push(of_op(Op::AdamW(how), vec![values(&[300], 1), values(&[300], 2), values(&[300], 3), second]));
}

/// Values at the nearest bf16, in f32.
fn rounded((spec, values): Operand) -> Operand {
    let values = match values {
        Values::F32(values) => Values::F32(values.into_iter().map(|x| bf16::from_f32(x).to_f32()).collect()),
        other => other,
    };
    (spec, values)
}

/// The same in bf16.
fn as_bf16((spec, values): &Operand) -> Operand {
    let Values::F32(values) = values else { panic!("{spec} holds no f32") };
    let bits = values.iter().map(|x| bf16::from_f32(*x).to_bits()).collect();
    (Spec { dtype: DType::Bf16, ..spec.clone() }, Values::Bf16(bits))
}

/// A case with operands in bf16: results are those of f32, rounded. `kept` operands and results stay what they are.
fn of_halves(op: Op, inputs: Vec<Operand>, kept: [&[usize]; 2]) -> Case {
    let inputs: Vec<Operand> = inputs.into_iter().map(rounded).collect();
    let wide = of_op(op, inputs);
    let halve = |(i, operand): (usize, &Operand), kept: &[usize]| {
        if kept.contains(&i) { operand.clone() } else { as_bf16(operand) }
    };
    let inputs: Vec<Operand> = wide.inputs.iter().enumerate().map(|each| halve(each, kept[0])).collect();
    let made: Vec<Operand> = wide.outputs.into_iter().zip(wide.want).collect();
    let made = made.iter().enumerate().map(|each| halve(each, kept[1]));
    let (outputs, want): (Vec<Spec>, Vec<Values>) = made.unzip();
    let op = wide.op.expect("it is of an op");
    let specs: Vec<&Spec> = inputs.iter().map(|(spec, _)| spec).collect();
    let plan = lower(&op, &specs, &outputs, RANDOM_SEED).expect("it has a plan");
    // Sums that differ in their last bits may round to neighbours.
    let agreement = if wide.agreement == Agreement::Bits { Agreement::Bits } else { Agreement::Near(8e-3) };
    Case { name: format!("{} in bf16", wide.name), op: Some(op), plan, inputs, outputs, want, agreement, ..wide }
}

fn bf16_cases(all: &mut Vec<Case>) {
    let x = values(&[3, 97], 1);
    for f in Unary::ALL {
        all.push(of_halves(Op::Unary(f), vec![x.clone()], [&[], &[]]));
        let operands = vec![x.clone(), values(&[3, 97], 2), values(&[3, 97], 3)];
        all.push(of_halves(Op::UnaryGrad(f), operands, [&[], &[]]));
    }
    for f in Binary::ALL.into_iter().filter(|f| f.takes_floats()) {
        all.push(of_halves(Op::Binary(f), vec![x.clone(), values(&[97], 2)], [&[], &[]]));
    }
    all.push(of_halves(Op::RmsNorm { eps: 1e-5 }, vec![x.clone()], [&[], &[]]));
    all.push(of_halves(Op::RmsNormGrad { eps: 1e-5 }, vec![x.clone(), values(&[3, 97], 2)], [&[], &[]]));
    for inverse in [false, true] {
        all.push(of_halves(Op::Rope { base: 1e4, inverse }, vec![values(&[2, 5, 3, 14], 1)], [&[], &[]]));
    }
    let loss = Loss { softcap: 15.0, z_loss: 1e-3 };
    let targets = indices(&[3], 97);
    all.push(of_halves(Op::CrossEntropy(loss), vec![x.clone(), targets.clone()], [&[1], &[0, 1]]));
    let saved = vec![x, targets, values(&[3], 2), values(&[], 3)];
    all.push(of_halves(Op::CrossEntropyGrad(loss), saved, [&[1, 2, 3], &[]]));
    for dim in [24, 80] {
        let how = Attention { causal: true, window: 0, scale: 0.2 };
        let halves = |op: Op, inputs: Vec<Operand>| match op {
            Op::Attention(_) => of_halves(op, inputs, [&[], &[1]]),
            _ => of_halves(op, inputs.into_iter().map(widened).collect(), [&[4], &[]]),
        };
        all.extend(attention_pair(&[1, 70, 2, dim], 1, how, halves));
    }
}

/// Values of bf16 in f32.
fn widened((spec, values): Operand) -> Operand {
    match values {
        Values::Bf16(bits) => {
            let wide = bits.into_iter().map(|x| bf16::from_bits(x).to_f32()).collect();
            (Spec::f32(spec.shape), Values::F32(wide))
        }
        other => (spec, other),
    }
}

/// Against the two ops that it stands for.
fn norm_rope(all: &mut Vec<Case>) {
    let pair = NormRope { eps: 1e-6, base: 1e4 };
    let (norm, turn) = (Op::RmsNorm { eps: pair.eps }, |inverse| Op::Rope { base: pair.base, inverse });
    for dims in [[2, 9, 3, 64], [1, 5, 2, 6], [1, 3, 1, 130]] {
        let [x, dy] = [1, 2].map(|salt| rounded(values(&dims, salt)));
        let one = |op: Op, inputs: &[Operand]| {
            let made = run(&mut cpu(), &op, inputs).expect("it runs").swap_remove(0);
            (x.0.clone(), made)
        };
        let y = one(turn(false), &[one(norm.clone(), std::slice::from_ref(&x))]);
        let dx = one(Op::RmsNormGrad { eps: pair.eps }, &[x.clone(), one(turn(true), std::slice::from_ref(&dy))]);
        for (name, inputs, want) in [("norm-rope", vec![x.clone()], y), ("its gradient", vec![x.clone(), dy], dx)] {
            for halves in [false, true] {
                let as_wanted = |operand: &Operand| if halves { as_bf16(operand) } else { operand.clone() };
                let inputs: Vec<Operand> = inputs.iter().map(as_wanted).collect();
                let (spec, want) = as_wanted(&want);
                let plan = if inputs.len() == 1 { pair.lower(&spec) } else { pair.lower_grad(&spec) };
                all.push(Case {
                    name: format!("{name} of {spec}"),
                    op: None,
                    plan: plan.expect("it has a plan"),
                    inputs,
                    outputs: vec![spec],
                    written: Vec::new(),
                    want: vec![want],
                    fault: u32::MAX,
                    agreement: Agreement::Near(if halves { 8e-3 } else { 4e-6 }),
                });
            }
        }
    }
}

/// The least position of an index that is too large is told, and nothing outside is touched.
fn out_of_range(all: &mut Vec<Case>) {
    let bad = |dims: &[u32], limit: u32| {
        let (spec, mut values) = indices(dims, limit);
        let Values::U32(list) = &mut values else { unreachable!("indices are u32") };
        let last = list.len() - 1;
        (list[3], list[last]) = (limit, u32::MAX);
        (spec, values)
    };
    let loss = Loss::default();
    let scatter = vec![values(&[4, 5], 1), bad(&[4, 2], 5), values(&[4, 2], 2)];
    for (op, inputs) in [
        (Op::Embedding, vec![values(&[7, 3], 1), bad(&[2, 4], 7)]),
        (Op::EmbeddingGrad { rows: 7 }, vec![bad(&[8], 7), values(&[8, 3], 1)]),
        (Op::Gather { axis: 1 }, vec![values(&[4, 5], 1), bad(&[4, 3], 5)]),
        (Op::ScatterAdd { axis: 1 }, scatter),
        (Op::CrossEntropy(loss), vec![values(&[6, 9], 1), bad(&[6], 9)]),
        (Op::CrossEntropyGrad(loss), vec![values(&[6, 9], 1), bad(&[6], 9), values(&[6], 2), values(&[], 3)]),
        (Op::LinearCrossEntropy { loss, gradients: true }, vec![values(&[6, 4], 1), values(&[9, 4], 2), bad(&[6], 9)]),
    ] {
        let specs: Vec<&Spec> = inputs.iter().map(|(spec, _)| spec).collect();
        let outputs = infer(&op, &specs).expect("it fits").to_vec();
        let plan = lower(&op, &specs, &outputs, RANDOM_SEED).expect("it has a plan");
        let fault = run(&mut cpu(), &op, &inputs).expect_err("an index is out of range");
        assert!(fault.to_string().contains("at position 3 "), "{fault}");
        all.push(Case {
            name: format!("{} out of range", op.name()),
            op: Some(op),
            plan,
            inputs,
            outputs,
            written: Vec::new(),
            want: Vec::new(),
            fault: 3,
            agreement: Agreement::Apart,
        });
    }
}

/// One block of a kernel that takes 256 elements and should give them back.
pub fn broken(kernel: &str) -> Case {
    let spec = Spec::f32(Shape::new(&[256]).expect("a shape"));
    let x = values(&[256], 1);
    let arguments = [Buffer::Input(0), Buffer::Output(0)].map(Argument::from).to_vec();
    let launch = Launch { kernel: kernel.to_owned(), grid: [1, 1, 1], arguments };
    Case {
        name: kernel.to_owned(),
        op: None,
        plan: Plan { steps: vec![Step::Launch(launch)], ..Plan::default() },
        want: vec![x.1.clone()],
        inputs: vec![x],
        outputs: vec![spec],
        written: Vec::new(),
        fault: u32::MAX,
        agreement: Agreement::Bits,
    }
}
