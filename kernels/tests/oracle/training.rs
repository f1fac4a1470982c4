//! A short training run: CPU and candle follow the same curve.

use super::executors;
use super::reference::session::{VOCAB, open};
use kernels::fault::Fault;
use kernels::op::{AdamW, Attention, Loss, Op, TensorId, Unary};
use kernels::session::{Answers, LogPoint, Session};
use kernels::spec::Shape;

const STEPS: u32 = 20;
const WIDTH: u32 = 16;

/// A parameter of normal values with its moments.
struct Weight {
    x: TensorId,
    m: TensorId,
    v: TensorId,
}

impl Weight {
    fn new(session: &mut Session, name: &str, dims: [u32; 2]) -> Result<Self, Fault> {
        let shape = Shape::new(&dims).unwrap();
        let first = Op::Normal { shape: shape.clone(), mean: 0.0, std: 0.25, stream: 0, position: 0 };
        let first = session.submit(first, &[])?;
        let zero = session.submit(Op::Full { shape, value: 0.0 }, &[])?;
        let made = Self { x: session.parameter(name, first)?, m: session.variable(zero)?, v: session.variable(zero)? };
        session.release(first);
        session.release(zero);
        Ok(made)
    }
}

/// Trains embedding, attention and head on counting; logs every loss.
fn train(session: &mut Session) -> Result<Vec<LogPoint>, Fault> {
    let product = Op::MatMul { transpose_a: false, transpose_b: true };
    let table = Weight::new(session, "table", [VOCAB, WIDTH])?;
    let head = Weight::new(session, "head", [VOCAB, WIDTH])?;
    for step in 1..=STEPS {
        let (tokens, targets) = session.next_batch(2, 8)?.expect("the budget is ample");
        let x = session.submit(Op::Embedding, &[table.x, tokens])?;
        let heads = Op::Reshape { shape: Shape::new(&[2, 8, 2, WIDTH / 2]).unwrap() };
        let heads = session.submit(heads, &[x])?;
        let turned = session.submit(Op::Rope { base: 100.0, inverse: false }, &[heads])?;
        let seen = session
            .submit(Op::Attention(Attention { causal: true, window: 4, scale: 0.35 }), &[turned, turned, heads])?;
        let active = session.submit(Op::Unary(Unary::Gelu), &[seen])?;
        let flat = Op::Reshape { shape: Shape::new(&[2, 8, WIDTH]).unwrap() };
        let flat = session.submit(flat, &[active])?;
        let normed = session.submit(Op::RmsNorm { eps: 1e-5 }, &[flat])?;
        let logits = session.submit(product.clone(), &[normed, head.x])?;
        let loss = session.submit(Op::CrossEntropy(Loss { softcap: 15.0, z_loss: 0.0 }), &[logits, targets])?;
        session.log("loss", loss)?;
        let gradients = session.backward(loss, &[table.x, head.x])?;
        for (weight, &gradient) in [&table, &head].into_iter().zip(&gradients) {
            let how = AdamW { lr: 0.02, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.01, step };
            session.adamw(weight.x, gradient, weight.m, weight.v, how)?;
        }
        let made = [tokens, targets, x, heads, turned, seen, active, flat, normed, logits, loss];
        for id in made.into_iter().chain(gradients) {
            session.release(id);
        }
    }
    session.finish()?;
    Ok(session.curve().to_vec())
}

#[test]
fn executors_follow_one_curve() {
    let [cpu, candle] = executors().map(|executor| {
        let mut session = open(executor, Answers::Execute);
        train(&mut session).unwrap()
    });
    assert_eq!(cpu.len(), STEPS as usize);
    for (a, b) in cpu.iter().zip(&candle) {
        assert!((a.value - b.value).abs() < 1e-3, "step {}: {} and {}", a.step, a.value, b.value);
    }
    let (first, last) = (&cpu[0], &cpu[STEPS as usize - 1]);
    assert!(last.value < 0.5 * first.value, "{} did not fall below half of {}", last.value, first.value);
}
