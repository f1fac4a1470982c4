//! `host export --champion`: a model that NumPy loads, and whose score it reproduces.

use crate::common::home::{Home, lines, python, said};
use kernels::cpu::CpuExecutor;
use kernels::exec::{Executor, Step};
use kernels::graph::{Graph, Node};
use kernels::infer::infer;
use kernels::op::{Attention, Binary, Compare, Loss, Op, Record, TensorId, Unary};
use kernels::spec::{DType, Shape, Spec, Values};
use nightlab::night::export::{constants, graph_json};
use nightlab::record::safetensors;
use std::collections::BTreeSet;
use std::sync::Arc;

#[test]
fn numpy_reproduces_the_champion_s_score() {
    let (night, _) = Home::after_a_night();
    let home = Home::new();
    let store = night.path(".host");
    let exported = home.host(&["--json", "--store", store.to_str().unwrap(), "export", "--champion", "model"]);
    assert_eq!((exported.status.code(), lines(&exported).len()), (Some(0), 1), "{}", said(&exported));
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.path("model/config.json")).unwrap()).unwrap();
    let shown = night.host(&["--json", "show", config["experiment"].as_str().unwrap()]);
    let recorded = lines(&shown).remove(0);
    assert_eq!(config["bpb"], recorded["val_bpb"], "{recorded}");
    assert!(home.path("model/train.rs").is_file());
    python(&home, "numpy", include_str!("python/champion.py"));
}

/// A spec with values.
type Tensor = (Spec, Values);

/// SplitMix64.
fn number(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

struct Draw(u64);

impl Draw {
    fn make<T>(&mut self, dims: &[u32], mut of: impl FnMut(u64) -> T) -> (Shape, Vec<T>) {
        let shape = Shape::new(dims).unwrap();
        let values = (0..shape.elements()).map(|_| of(number(&mut self.0))).collect();
        (shape, values)
    }

    /// Between −2 and 2.
    fn f(&mut self, dims: &[u32]) -> Tensor {
        let (shape, values) = self.make(dims, |x| (x % 4096) as f32 / 1024.0 - 2.0);
        (Spec::f32(shape), Values::F32(values))
    }

    /// Between ½ and 2½.
    fn positive(&mut self, dims: &[u32]) -> Tensor {
        let (shape, values) = self.make(dims, |x| (x % 2048) as f32 / 1024.0 + 0.5);
        (Spec::f32(shape), Values::F32(values))
    }

    /// Below a limit.
    fn u(&mut self, dims: &[u32], limit: u64) -> Tensor {
        let (shape, values) = self.make(dims, |x| (x % limit) as u32);
        (Spec::u32(shape), Values::U32(values))
    }

    /// From −20 to 20.
    fn i(&mut self, dims: &[u32]) -> Tensor {
        let (shape, values) = self.make(dims, |x| (x % 41) as i64 - 20);
        (Spec { shape, dtype: DType::I64 }, Values::I64(values))
    }

    fn u8(&mut self, dims: &[u32]) -> Tensor {
        let (shape, values) = self.make(dims, |x| x as u8);
        (Spec { shape, dtype: DType::U8 }, Values::U8(values))
    }

    fn bools(&mut self, dims: &[u32]) -> Tensor {
        let (shape, values) = self.make(dims, |x| x & 1 == 1);
        (Spec { shape, dtype: DType::Bool }, Values::Bool(values))
    }
}

/// What is odd: halves, ends of ranges, NaN, equals.
fn odd() -> Tensor {
    let values =
        vec![0.5, 1.5, -0.5, 2.5, 3e9, -3e9, 1e20, -1e20, f32::NAN, f32::INFINITY, -0.0, 1.0, 1.0, 254.6, 1e-3];
    (Spec::f32(Shape::new(&[3, 5]).unwrap()), Values::F32(values))
}

/// Ops with the operands that they are tried on: each that a `forward` may hold.
fn cases() -> Vec<(Op, Vec<Tensor>)> {
    let d = &mut Draw(1);
    let shape = |dims: &[u32]| Shape::new(dims).unwrap();
    let axes = |axes: &[u32]| axes.iter().copied().collect();
    let mut all = vec![
        (Op::Full { shape: shape(&[2, 3]), value: f32::NEG_INFINITY }, vec![]),
        (Op::Arange { len: 7 }, vec![]),
        (Op::Reshape { shape: shape(&[4, 3]) }, vec![d.f(&[2, 6])]),
        (Op::Permute { axes: axes(&[2, 0, 1]) }, vec![d.f(&[2, 3, 4])]),
        (Op::Narrow { axis: 1, start: 1, len: 2 }, vec![d.f(&[2, 4, 3])]),
        (Op::Pad { axis: 1, before: 1, after: 2 }, vec![d.u(&[2, 3], 9)]),
        (Op::Cat { axis: 1 }, vec![d.f(&[2, 1]), d.f(&[2, 3]), d.f(&[2, 2])]),
        (Op::Expand { shape: shape(&[4, 2, 3]) }, vec![d.f(&[2, 1])]),
        (Op::Affine { mul: 0.3, add: -1.7 }, vec![d.f(&[5])]),
        (Op::Softcap { cap: 1.5 }, vec![d.f(&[9])]),
        (Op::Sum { axes: axes(&[0, 2]), keep: false }, vec![d.f(&[3, 4, 5])]),
        (Op::Mean { axes: axes(&[1]), keep: true }, vec![d.f(&[3, 4, 5])]),
        (Op::Max { axes: axes(&[1]), keep: false }, vec![odd()]),
        (Op::Min { axes: axes(&[0]), keep: true }, vec![odd()]),
        (Op::ArgMax { axis: 1 }, vec![odd()]),
        (Op::ArgMax { axis: 0 }, vec![d.i(&[4, 3])]),
        (Op::ArgSort { descending: false }, vec![odd()]),
        (Op::ArgSort { descending: true }, vec![odd()]),
        (Op::ArgSort { descending: true }, vec![d.u(&[2, 9], 3)]),
        (Op::CumSum { axis: 1, reverse: false }, vec![d.f(&[2, 5, 3])]),
        (Op::CumSum { axis: 0, reverse: true }, vec![d.f(&[4, 3])]),
        (Op::LogSumExp, vec![d.f(&[2, 3, 5])]),
        (Op::Softmax, vec![d.f(&[2, 3, 5])]),
        (Op::Embedding, vec![d.f(&[7, 3]), d.u(&[2, 4], 7)]),
        (Op::Gather { axis: 1 }, vec![d.f(&[2, 5, 3]), d.u(&[2, 4, 3], 5)]),
        (Op::ScatterAdd { axis: 1 }, vec![d.f(&[2, 3, 2]), d.u(&[2, 5, 2], 3), d.f(&[2, 5, 2])]),
        (Op::RmsNorm { eps: 1e-5 }, vec![d.f(&[3, 8])]),
        (Op::LayerNorm { eps: 1e-5 }, vec![d.f(&[3, 8])]),
        (Op::Rope { base: 100.0, inverse: false }, vec![d.f(&[2, 5, 3, 4])]),
        (Op::NewtonSchulz { coefficients: vec![[3.4445, -4.775, 2.0315], [2.0, -1.5, 0.5]] }, vec![d.f(&[2, 3, 4])]),
        (Op::Copy, vec![d.f(&[3])]),
        (Op::Select, vec![d.bools(&[3, 1]), d.f(&[4]), d.f(&[3, 4])]),
        (Op::CrossEntropy(Loss { softcap: 15.0, z_loss: 1e-3 }), vec![d.f(&[2, 3, 5]), d.u(&[2, 3], 5)]),
        (Op::CrossEntropy(Loss::default()), vec![d.f(&[4, 5]), d.u(&[4], 5)]),
        (
            Op::LinearCrossEntropy { loss: Loss { softcap: 2.0, z_loss: 0.0 }, gradients: false },
            vec![d.f(&[4, 3]), d.f(&[6, 3]), d.u(&[4], 6)],
        ),
    ];
    for (a, b) in [(false, false), (false, true), (true, false)] {
        let left = if a { [2, 5, 3] } else { [2, 3, 5] };
        let right = if b { [4, 5] } else { [5, 4] };
        all.push((Op::MatMul { transpose_a: a, transpose_b: b }, vec![d.f(&left), d.f(&right)]));
    }
    for (causal, window, groups) in [(true, 0, 4), (true, 3, 2), (false, 2, 1)] {
        let how = Attention { causal, window, scale: 0.4 };
        all.push((Op::Attention(how), vec![d.f(&[2, 6, 4, 3]), d.f(&[2, 6, groups, 3]), d.f(&[2, 6, groups, 3])]));
    }
    for f in Unary::ALL {
        let x = if matches!(f, Unary::Log | Unary::Sqrt | Unary::Rsqrt) { d.positive(&[9]) } else { d.f(&[9]) };
        all.push((Op::Unary(f), vec![x]));
    }
    all.push((Op::Unary(Unary::Round), vec![odd()]));
    for f in Binary::ALL {
        if f.takes_floats() {
            all.push((Op::Binary(f), vec![d.positive(&[3, 1]), d.f(&[4])]));
        }
        if f != Binary::Pow {
            all.push((Op::Binary(f), vec![d.i(&[40]), d.i(&[2, 40])]));
            all.push((Op::Binary(f), vec![d.u8(&[40]), d.u8(&[40])]));
        }
    }
    for f in [Binary::And, Binary::Or, Binary::Xor] {
        all.push((Op::Binary(f), vec![d.bools(&[9]), d.bools(&[9])]));
    }
    for f in Compare::ALL {
        all.push((Op::Compare(f), vec![odd(), odd()]));
        all.push((Op::Compare(f), vec![d.u(&[9], 3), d.u(&[9], 3)]));
    }
    for to in DType::ALL {
        all.extend([odd(), d.i(&[9]), d.u8(&[9]), d.bools(&[9])].map(|x| (Op::Cast { to }, vec![x])));
    }
    all
}

/// What guests can't do in `forward`: draw, train, write in place; and gradients, which only the host submits.
const NEVER: [&str; 18] = [
    "Uniform",
    "Normal",
    "NextBatch",
    "UnaryGrad",
    "ChosenGrad",
    "SoftcapGrad",
    "SumTo",
    "SoftmaxGrad",
    "EmbeddingGrad",
    "RmsNormGrad",
    "AttentionGrad",
    "CrossEntropyGrad",
    "Assign",
    "Blend",
    "AdamW",
    "LayerNormGrad",
    "PowGrad",
    "Constant",
];

/// Executes each case on the engine's kernels, and has NumPy do the same.
#[test]
fn each_op_of_a_graph_is_in_numpy_what_it_is_here() {
    let cases = cases();
    let name = |op: &Op| format!("{op:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
    let tried: BTreeSet<String> = cases.iter().map(|(op, _)| name(op)).chain(NEVER.map(String::from)).collect();
    assert_eq!(tried, Op::VARIANTS.iter().map(ToString::to_string).collect(), "a new op needs a case");

    let home = Home::new();
    let executor = &mut CpuExecutor::new(1, 0).unwrap();
    let mut graph = Graph { inputs: Vec::new(), nodes: Vec::new(), output: TensorId(0) };
    let (mut given, mut expected) = (Vec::new(), Vec::new());
    let mut ids = (0..).map(TensorId);
    let constant = (Spec::f32(Shape::new(&[3]).unwrap()), Values::F32(vec![1.0, f32::NEG_INFINITY, 0.25]));
    let shape = constant.0.shape.clone();
    let constant = (Op::Constant { shape, dtype: DType::F32 }, vec![], Some(Arc::new(constant.1)));
    let all = cases.into_iter().map(|(op, operands)| (op, operands, None)).chain([constant]);
    for (op, operands, data) in all {
        let inputs: Vec<TensorId> = ids.by_ref().take(operands.len()).collect();
        for (&id, (spec, values)) in inputs.iter().zip(&operands) {
            executor.upload(id, spec, values).unwrap();
            given.push((id, spec.clone(), values.clone()));
        }
        let specs: Vec<&Spec> = operands.iter().map(|(spec, _)| spec).collect();
        let made = infer(&op, &specs).unwrap();
        let outputs: Vec<TensorId> = ids.by_ref().take(made.len()).collect();
        let record =
            Record { op, inputs: inputs.iter().copied().collect(), outputs: outputs.iter().copied().collect(), data };
        graph.inputs.extend(inputs);
        graph.nodes.push(Node::from(&record));
        executor.execute(&mut vec![Step::Run { record, outputs: made.to_vec(), index: 0 }]).unwrap();
        for (id, spec) in outputs.into_iter().zip(made) {
            expected.push((id, spec, executor.download(id).unwrap()));
        }
    }
    let names: Vec<String> = given.iter().map(|(id, ..)| id.0.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let file = |name: &str, bytes: &[u8]| std::fs::write(home.path(name), bytes).unwrap();
    let encoded = |tensors: &[(TensorId, Spec, Values)]| {
        safetensors::encode(tensors.iter().map(|(id, spec, values)| (id.0.to_string(), &spec.shape, values))).unwrap()
    };
    file("graph.json", graph_json(&graph, &names).as_bytes());
    file("constants.safetensors", &constants(&graph).unwrap());
    file("given.safetensors", &encoded(&given));
    file("expected.safetensors", &encoded(&expected));
    file("score.py", include_bytes!("../host/src/night/export/score.py"));
    python(&home, "numpy", include_str!("python/ops.py"));
}
