//! Accounting, lifetimes and limits, on an executor that executes nothing.

use super::*;
use crate::exec::Dry;
use crate::fault::Fault;
use crate::op::{AdamW, Binary, Loss, Op, TensorId, Unary};
use crate::spec::{Shape, Spec, Values};
use proptest::prelude::*;
use std::collections::BTreeMap;

const BUDGET: u64 = 1_000_000_000_000;
const ADAMW: AdamW = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, step: 1 };
const MATMUL: Op = Op::MatMul { transpose_a: false, transpose_b: false };

struct Zeros;

impl Batches for Zeros {
    fn fill(&self, _random_seed: u64, _drawn: u64, _seq: u32, tokens: &mut [u32], targets: &mut [u32]) {
        tokens.fill(0);
        targets.fill(0);
    }
}

fn config() -> Config {
    Config {
        mode: Mode::Train,
        profile: crate::cost::tests::profile(),
        budget_ps: BUDGET,
        tensor_bytes: 1 << 30,
        max_ops: 1_000_000,
        max_tensors: 10_000,
        random_seed: 1,
        intervals: 4,
    }
}

fn session(config: Config, answers: Answers) -> Session {
    Session::new(config, Box::new(Dry::default()), Some(Box::new(Zeros)), answers)
}

fn train() -> Session {
    session(config(), Answers::Execute)
}

fn full(s: &mut Session, dims: &[u32]) -> TensorId {
    s.submit(Op::Full { shape: Shape::new(dims).unwrap(), value: 0.5 }, &[]).unwrap()
}

fn parameter(s: &mut Session, name: &str, dims: &[u32]) -> TensorId {
    let init = full(s, dims);
    let id = s.parameter(name, init).unwrap();
    s.release(init);
    id
}

fn mean(s: &mut Session, x: TensorId) -> TensorId {
    let axes = (0..s.spec(x).unwrap().shape.rank() as u32).collect();
    s.submit(Op::Mean { axes, keep: false }, &[x]).unwrap()
}

/// Submits, then drops the inputs named in `drop`.
fn then(s: &mut Session, op: Op, inputs: &[TensorId], drop: &[TensorId]) -> TensorId {
    let y = s.submit(op, inputs).unwrap();
    for &id in drop {
        s.release(id);
    }
    y
}

/// A small network: embedding, product, activation, loss; every step ends with an update of both parameters.
fn guest(s: &mut Session, steps: u64) -> Result<u64, Fault> {
    let table = parameter(s, "table", &[16, 8]);
    let weight = parameter(s, "weight", &[8, 16]);
    let zero = full(s, &[8, 16]);
    let (m, v) = (s.variable(zero)?, s.variable(zero)?);
    s.release(zero);
    let mut done = 0;
    while done < steps {
        let Some((tokens, targets)) = s.next_batch(2, 4)? else {
            break;
        };
        let x = s.submit(Op::Embedding, &[table, tokens])?;
        s.release(tokens);
        let y = s.submit(MATMUL, &[x, weight])?;
        s.release(x);
        let z = s.submit(Op::Unary(Unary::Tanh), &[y])?;
        s.release(y);
        let loss = s.submit(Op::CrossEntropy(Loss { softcap: 0.0, z_loss: 0.0 }), &[z, targets])?;
        s.release(z);
        s.release(targets);
        let gradients = s.backward(loss, &[table, weight])?;
        s.log("loss", loss)?;
        s.release(loss);
        s.blend(table, 1.0, gradients[0], -0.1)?;
        s.adamw(weight, gradients[1], m, v, ADAMW)?;
        for id in gradients {
            s.release(id);
        }
        done += 1;
    }
    for id in [table, weight, m, v] {
        s.release(id);
    }
    Ok(done)
}

#[test]
fn what_is_left_after_a_run_is_its_named_state() {
    let mut s = train();
    assert_eq!(guest(&mut s, 10), Ok(10));
    s.finish().unwrap();
    assert_eq!(s.memory.bytes(), 4 * (16 * 8 + 8 * 16));
    assert!(s.memory.nodes.is_empty());
    assert_eq!(s.memory.live().len(), 2);
    assert_eq!((s.totals().parameters, s.totals().steps, s.totals().tokens), (256, 10, 80));
}

#[test]
fn a_dry_run_counts_what_a_run_counts() {
    let (mut real, mut dry) = (train(), session(config(), Answers::StandIn));
    guest(&mut real, 20).unwrap();
    guest(&mut dry, 20).unwrap();
    assert_eq!(real.totals(), dry.totals());
    assert_eq!(
        blake3::Hash::from(real.totals().op_hash).to_string(),
        "7ebfbe0c41fb0e829df5f26c8fdd741553f0355041ee2ddf6ce76debda437366"
    );
}

#[test]
fn the_op_hash_sees_scalars_names_and_results() {
    let digest = |value: f32, name: &str, mark: bool| {
        let mut s = train();
        let x = s.submit(Op::Full { shape: Shape::scalar(), value }, &[]).unwrap();
        let p = s.parameter(name, x).unwrap();
        if mark {
            s.mark_output(p).unwrap();
        }
        s.totals().op_hash
    };
    let all = [digest(1.0, "a", false), digest(2.0, "a", false), digest(1.0, "b", false), digest(1.0, "a", true)];
    assert!(all.iter().enumerate().all(|(i, a)| all[..i].iter().all(|b| a != b)));
    assert_eq!(all[0], digest(1.0, "a", false));
}

#[test]
fn a_node_keeps_only_what_its_gradient_reads() {
    let mut s = train();
    let p = parameter(&mut s, "p", &[1000]);
    let before = s.memory.bytes();
    let x = then(&mut s, Op::Affine { mul: 2.0, add: 0.0 }, &[p], &[]);
    let y = then(&mut s, Op::Binary(Binary::Add), &[x, p], &[x]);
    assert_eq!(s.memory.bytes(), before + 4000, "x is not needed by the gradient of an addition");
    let z = then(&mut s, Op::Unary(Unary::Gelu), &[y], &[y]);
    assert_eq!(s.memory.bytes(), before + 8000, "gelu keeps its operand and its result");
    s.release(z);
    assert_eq!(s.memory.bytes(), before);
    assert!(s.memory.nodes.is_empty());
}

#[test]
fn long_graphs_are_freed_without_recursion() {
    let mut s = session(Config { max_tensors: 1_000_000, ..config() }, Answers::StandIn);
    let p = parameter(&mut s, "p", &[1]);
    let mut x = then(&mut s, Op::Unary(Unary::Sin), &[p], &[]);
    for _ in 0..100_000 {
        x = then(&mut s, Op::Unary(Unary::Sin), &[x], &[x]);
    }
    assert_eq!(s.memory.nodes.len(), 100_001);
    s.release(x);
    assert!(s.memory.nodes.is_empty());
    assert_eq!(s.memory.bytes(), 4);
}

#[test]
fn gradients_are_zeros_where_independent_and_shared_where_equal() {
    let mut s = train();
    let (a, b, c) = (parameter(&mut s, "a", &[3]), parameter(&mut s, "b", &[3]), parameter(&mut s, "c", &[2]));
    let sum = then(&mut s, Op::Binary(Binary::Add), &[a, b], &[]);
    let loss = mean(&mut s, sum);
    s.release(sum);
    let ops = s.totals().ops;
    let gradients = s.backward(loss, &[a, b, c, a]).unwrap();
    // One, reshape, scale, expand; and zeros for c.
    assert_eq!(s.totals().ops - ops, 5);
    assert_eq!(gradients[0], gradients[1]);
    assert_eq!(s.spec(gradients[2]).unwrap().shape.dims(), [2]);
    for id in gradients.into_iter().chain([loss]) {
        s.release(id);
    }
    assert_eq!(s.memory.bytes(), 4 * 8);
}

#[test]
fn an_intermediate_tensor_can_be_asked_for() {
    let mut s = train();
    let p = parameter(&mut s, "p", &[3]);
    let h = then(&mut s, Op::Unary(Unary::Exp), &[p], &[]);
    let square = then(&mut s, Op::Binary(Binary::Mul), &[h, h], &[]);
    let loss = mean(&mut s, square);
    let gradients = s.backward(loss, &[h, p]).unwrap();
    assert_ne!(gradients[0], gradients[1]);
    assert!(s.memory.nodes.is_empty());
}

#[test]
fn an_update_between_use_and_backward_is_stale() {
    let mut s = train();
    let p = parameter(&mut s, "wte", &[3]);
    let square = then(&mut s, Op::Unary(Unary::Square), &[p], &[]);
    let loss = mean(&mut s, square);
    s.blend(p, 0.5, square, 0.0).unwrap();
    let fault = s.backward(loss, &[p]).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "backward: square read wte, which was updated in place since; call backward before the update"
    );
    let mut s = train();
    let p = parameter(&mut s, "wte", &[3]);
    let double = then(&mut s, Op::Affine { mul: 2.0, add: 0.0 }, &[p], &[]);
    let loss = mean(&mut s, double);
    s.blend(p, 0.5, double, 0.0).unwrap();
    assert!(s.backward(loss, &[p]).is_ok(), "the gradient of a multiple does not read the value");
}

#[test]
fn a_freed_graph_cannot_be_used_again() {
    let mut s = train();
    let p = parameter(&mut s, "p", &[3]);
    let h = then(&mut s, Op::Unary(Unary::Exp), &[p], &[]);
    let loss = mean(&mut s, h);
    s.backward(loss, &[p]).unwrap();
    assert!(matches!(s.backward(loss, &[p]), Err(Fault::StaleGraph { .. })));
    let again = mean(&mut s, h);
    assert!(matches!(s.backward(again, &[p]), Err(Fault::StaleGraph { .. })));
    let free = s.detach(h).unwrap();
    let outside = mean(&mut s, free);
    assert!(s.backward(outside, &[p]).is_ok(), "zeros: what was detached does not depend on p");
}

#[test]
fn recording_can_be_off_and_some_ops_have_no_gradient() {
    let mut s = train();
    let p = parameter(&mut s, "p", &[2, 2]);
    assert!(s.set_recording(false));
    then(&mut s, Op::Unary(Unary::Exp), &[p], &[]);
    assert!(s.memory.nodes.is_empty());
    assert!(!s.set_recording(true));
    let x = then(&mut s, Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 5] }, &[p], &[]);
    let loss = mean(&mut s, x);
    assert_eq!(s.backward(loss, &[p]), Err(Fault::NoGradient { op: "newton-schulz" }));
    let constant = full(&mut s, &[1]);
    assert!(matches!(s.backward(constant, &[constant]), Err(Fault::Misuse { .. })));
}

#[test]
fn tensor_bytes_pass_at_the_limit_and_fail_above() {
    for (limit, fits) in [(4000, true), (3999, false)] {
        let mut s = session(Config { tensor_bytes: limit, ..config() }, Answers::Execute);
        let made = s.submit(Op::Full { shape: Shape::new(&[1000]).unwrap(), value: 0.0 }, &[]);
        assert_eq!(made.is_ok(), fits);
        assert_eq!(s.totals().peak_bytes, if fits { 4000 } else { 0 });
    }
    for (limit, fits) in [(2, true), (1, false)] {
        let mut s = session(Config { max_tensors: limit, ..config() }, Answers::Execute);
        full(&mut s, &[1]);
        assert_eq!(s.submit(Op::Arange { len: 3 }, &[]).is_ok(), fits);
        let mut s = session(Config { max_ops: limit, ..config() }, Answers::Execute);
        full(&mut s, &[1]);
        assert_eq!(s.submit(Op::Arange { len: 3 }, &[]).is_ok(), fits);
    }
}

#[test]
fn the_overdraft_is_one_percent_and_evaluation_has_none() {
    let price = 1_000_000 + 2_000_u64; // Full of 10 elements: 40 bytes at 20 GB/s, and the overhead.
    let afford = |mode, budget_ps, ops: u64| {
        let mut s = session(Config { mode, budget_ps, ..config() }, Answers::Execute);
        let shape = Shape::new(&[10]).unwrap();
        (0..ops).all(|_| s.submit(Op::Full { shape: shape.clone(), value: 0.0 }, &[]).is_ok())
    };
    assert!(afford(Mode::Train, 100 * price, 101));
    assert!(!afford(Mode::Train, 100 * price, 102));
    assert!(afford(Mode::Evaluate, 100 * price, 100));
    assert!(!afford(Mode::Evaluate, 100 * price, 101));
}

#[test]
fn batches_end_with_the_budget_and_a_run_ends_within_the_overdraft() {
    let mut s = session(Config { budget_ps: 2_000_000_000, ..config() }, Answers::Execute);
    let steps = guest(&mut s, u64::MAX).unwrap();
    assert!(steps > 20);
    assert_eq!(s.next_batch(2, 4), Ok(None));
    let progress = s.progress();
    assert!((0.9..=1.01).contains(&progress), "{progress}");
    s.finish().unwrap();
    assert_eq!(s.interval_hashes().len(), 4);
}

#[test]
fn absurd_batches_fault_before_anything_is_made() {
    let mut s = train();
    assert!(matches!(s.next_batch(u32::MAX, u32::MAX), Err(Fault::CountLimit { .. })));
    assert!(matches!(s.next_batch(0, 8), Err(Fault::Size { .. })));
    assert!(matches!(s.next_batch(1 << 15, 1 << 15), Err(Fault::CountLimit { .. })));
    assert_eq!(s.totals().tokens, 0);
}

#[test]
fn evaluation_reads_named_state_and_changes_nothing() {
    let mut s = session(Config { mode: Mode::Evaluate, ..config() }, Answers::Execute);
    let spec = Spec::f32(Shape::new(&[2]).unwrap());
    let state = NamedState { tensors: vec![("w".to_owned(), true, spec, Values::F32(vec![1.0, 2.0]))] };
    s.install(&state).unwrap();
    let w = s.get("w").unwrap().unwrap();
    assert_eq!(s.get("absent"), Ok(None));
    let y = then(&mut s, Op::Unary(Unary::Exp), &[w], &[]);
    assert!(s.memory.nodes.is_empty());
    let faults = [
        s.assign(w, y).unwrap_err(),
        s.parameter("v", y).unwrap_err(),
        s.variable(y).unwrap_err(),
        s.backward(y, &[]).unwrap_err(),
        s.next_batch(1, 1).unwrap_err(),
        s.submit(Op::Normal { shape: Shape::scalar(), mean: 0.0, std: 1.0, stream: 0, position: 0 }, &[]).unwrap_err(),
    ];
    for fault in faults {
        assert!(matches!(fault, Fault::Evaluation { .. }), "{fault}");
    }
}

#[test]
fn names_and_slots_are_checked() {
    let mut s = train();
    let x = full(&mut s, &[2]);
    assert!(s.parameter(&"a".repeat(64), x).is_ok());
    for name in ["", "a b", &"a".repeat(65), "é", &"a".repeat(64)] {
        assert!(matches!(s.buffer(name, x), Err(Fault::Misuse { .. })), "{name}");
    }
    assert!(matches!(s.assign(x, x), Err(Fault::Misuse { .. })));
    let v = s.variable(x).unwrap();
    assert!(matches!(s.assign(v, v), Err(Fault::Misuse { .. })));
    assert!(s.assign(v, x).is_ok());
    s.release(x);
    assert_eq!(s.assign(v, x), Err(Fault::Dropped { op: "assign" }));
}

#[test]
fn random_streams_have_positions_of_their_own() {
    let mut s = train();
    let shape = Shape::new(&[10]).unwrap();
    for stream in [7, 7, 9] {
        s.submit(Op::Uniform { shape: shape.clone(), low: 0.0, high: 1.0, stream, position: 0 }, &[]).unwrap();
    }
    assert_eq!(s.streams, BTreeMap::from([(7, 20), (9, 10)]));
}

#[test]
fn reads_are_logged_and_curves_capped() {
    let mut s = train();
    let x = full(&mut s, &[3]);
    assert_eq!(s.read(x), Ok(vec![0.0; 3]));
    assert_eq!((s.totals().reads, s.read_log().len()), (3, 3));
    let tokens = s.submit(Op::Arange { len: 3 }, &[]).unwrap();
    assert!(matches!(s.read(tokens), Err(Fault::Misuse { .. })));
    s.log_number(&"é".repeat(40), f64::NAN).unwrap();
    assert_eq!(s.curve()[0].key, "é".repeat(32));
    for _ in 1..=MAX_POINTS {
        s.log_number("n", 1.0).unwrap();
    }
    assert_eq!(s.curve().len(), MAX_POINTS);
}

#[test]
fn an_interval_run_again_has_the_same_hashes() {
    use std::sync::{Arc, Mutex};
    let limited = || Config { budget_ps: 2_000_000_000, ..config() };
    let kept = Arc::new(Mutex::new(Vec::new()));
    let mut s = session(limited(), Answers::Execute);
    let sink = Arc::clone(&kept);
    s.on_checkpoint(Box::new(move |c| sink.lock().unwrap().push(c)));
    guest(&mut s, u64::MAX).unwrap();
    s.finish().unwrap();
    let chain = s.interval_hashes().to_vec();
    assert_eq!(
        blake3::Hash::from(chain[3]).to_string(),
        "18e8a963a0a54cb10193ff778b535e10dbc9a5560e77b678b6fc478b3a3db04e"
    );
    let from = kept.lock().unwrap()[1].clone();
    assert_eq!((from.interval, from.hash), (1, chain[1]));
    let forward = |from: Checkpoint| {
        let answers = Answers::FastForward { log: s.read_log().to_vec(), from: Box::new(from) };
        let mut again = session(limited(), answers);
        guest(&mut again, u64::MAX)?;
        again.finish()?;
        Ok(again.interval_hashes().to_vec())
    };
    assert_eq!(forward(from.clone()), Ok(chain[2..].to_vec()));
    let astray: Result<_, Fault> = forward(Checkpoint { ops: from.ops + 1, ..from });
    assert!(matches!(astray, Err(Fault::Executor(_))));
}

proptest! {
    /// Whatever is done, dropped and differentiated in whatever order: nothing is executed on a tensor that is gone,
    /// and when all handles are dropped, only named state is left and no node is.
    #[test]
    fn nothing_leaks(program in prop::collection::vec((0u8..8, any::<u16>(), any::<u16>()), 0..80)) {
        let mut s = train();
        let p = parameter(&mut s, "p", &[2, 2]);
        let v = s.variable(p).unwrap();
        let mut held = vec![p, v];
        for (action, i, j) in program {
            let (a, b) = (held[usize::from(i) % held.len()], held[usize::from(j) % held.len()]);
            let made = match action {
                0 => s.submit(Op::Unary(Unary::Silu), &[a]).ok(),
                1 => s.submit(Op::Binary(Binary::Div), &[a, b]).ok(),
                2 => s.submit(MATMUL, &[a, b]).ok(),
                3 => s.submit(Op::RmsNorm { eps: 1e-6 }, &[a]).ok(),
                4 => s.detach(a).ok(),
                5 => s.assign(v, a).err().and(None),
                6 if held.len() > 2 => {
                    let at = 2 + usize::from(i) % (held.len() - 2);
                    let id = held.remove(at);
                    s.release(id);
                    None
                }
                _ => {
                    let loss = mean(&mut s, a);
                    let gradients = s.backward(loss, &[p]);
                    s.release(loss);
                    // A fault ends a run, here as there.
                    let Ok(gradients) = gradients else { return Ok(()) };
                    gradients.first().copied()
                }
            };
            held.extend(made);
        }
        for id in held {
            s.release(id);
        }
        s.flush().unwrap();
        prop_assert!(s.memory.nodes.is_empty());
        prop_assert_eq!(s.memory.bytes(), 16);
        prop_assert_eq!(s.memory.live().into_iter().map(|(id, _)| id).collect::<Vec<_>>(), vec![p]);
        prop_assert_eq!(s.peek(s.named["p"].id).map(|x| x.len()), Ok(4));
    }
}

#[test]
fn a_warm_start_replaces_values_and_nothing_else() {
    let spec = Spec::f32(Shape::new(&[2]).unwrap());
    let start = |values: Vec<f32>, spec: &Spec| NamedState {
        tensors: vec![("weight".to_owned(), true, spec.clone(), Values::F32(values))],
    };
    let run = |state: Option<NamedState>| {
        let executor = crate::cpu::CpuExecutor::new(1, 0).unwrap();
        let mut s = Session::new(config(), Box::new(executor), Some(Box::new(Zeros)), Answers::Execute);
        s.start_from(state.unwrap_or_default());
        let weight = parameter(&mut s, "weight", &[2]);
        let other = parameter(&mut s, "other", &[2]);
        (s.peek(weight).unwrap(), s.peek(other).unwrap(), s.totals())
    };
    let (cold, cold_other, cold_totals) = run(None);
    let (warm, warm_other, warm_totals) = run(Some(start(vec![3.0, 4.0], &spec)));
    assert_eq!((cold, warm), (vec![0.5, 0.5], vec![3.0, 4.0]));
    assert_eq!((cold_other, cold_totals), (warm_other, warm_totals));

    let mut s = train();
    s.start_from(start(vec![0.0; 3], &Spec::f32(Shape::new(&[3]).unwrap())));
    let init = full(&mut s, &[2]);
    assert!(matches!(s.parameter("weight", init), Err(Fault::Misuse { op: "parameter", .. })));
}
