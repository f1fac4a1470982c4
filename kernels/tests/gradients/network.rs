//! Networks whose gradients are checked: a list of ops over leaves. The loss is Σ weights·y with fixed weights, so that
//! every element of the last result counts.

use super::reference::sample::{Sample, assert_close};
use super::reference::session::{RANDOM_SEED, open};
use super::reference::{Array, apply, pullback};
use kernels::cpu::CpuExecutor;
use kernels::op::{Binary, Op, TensorId};
use kernels::session::{Answers, Session};
use kernels::spec::Values;

enum Node {
    Parameter(Array),
    Indices(Array),
    Made(Op, Vec<usize>),
}

/// Ops in order; a node is known by its place.
pub struct Network {
    nodes: Vec<Node>,
    /// Where its sizes and values come from.
    pub sample: Sample,
}

impl Network {
    /// No ops yet.
    pub fn new(seed: u64) -> Self {
        Self { nodes: Vec::new(), sample: Sample::new(seed) }
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Values in ±2.
    pub fn parameter(&mut self, dims: &[u32]) -> usize {
        let values = self.sample.around_zero(dims, 2);
        self.add(Node::Parameter(values))
    }

    /// Values in ¼ ..= 4.
    pub fn positive(&mut self, dims: &[u32]) -> usize {
        let values = self.sample.positive(dims);
        self.add(Node::Parameter(values))
    }

    /// Indices below `limit`, which get no gradient.
    pub fn indices(&mut self, dims: &[u32], limit: u32) -> usize {
        let values = self.sample.indices(dims, limit);
        self.add(Node::Indices(values))
    }

    /// An op on earlier nodes.
    pub fn op(&mut self, op: Op, inputs: &[usize]) -> usize {
        self.add(Node::Made(op, inputs.to_vec()))
    }

    fn parameters(&self) -> Vec<Array> {
        let values = self.nodes.iter().filter_map(|node| match node {
            Node::Parameter(values) => Some(values.clone()),
            _ => None,
        });
        values.collect()
    }

    /// The last result, with these values for the parameters.
    fn forward(&self, parameters: &[Array]) -> Array {
        let mut parameters = parameters.iter();
        let mut made: Vec<Array> = Vec::new();
        for node in &self.nodes {
            let value = match node {
                Node::Parameter(_) => parameters.next().expect("a value").clone(),
                Node::Indices(values) => values.clone(),
                Node::Made(op, inputs) => {
                    let inputs: Vec<Array> = inputs.iter().map(|&i| made[i].clone()).collect();
                    apply(op, &inputs).swap_remove(0)
                }
            };
            made.push(value);
        }
        made.pop().expect("a result")
    }

    /// The weights' inner product with the last result, and the parameters.
    fn submit(&self, session: &mut Session, weights: &Array) -> (TensorId, Vec<TensorId>) {
        let mut ids = Vec::new();
        let mut parameters = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let id = match node {
                Node::Parameter(values) => {
                    let first = constant(session, values, values.f32());
                    let id = session.parameter(&format!("p{place}"), first).unwrap();
                    parameters.push(id);
                    id
                }
                Node::Indices(values) => constant(session, values, values.u32()),
                Node::Made(op, inputs) => {
                    let inputs: Vec<TensorId> = inputs.iter().map(|&i| ids[i]).collect();
                    session.submit(op.clone(), &inputs).unwrap()
                }
            };
            ids.push(id);
        }
        let last = *ids.last().expect("a result");
        let weights_id = constant(session, weights, weights.f32());
        let product = session.submit(Op::Binary(Binary::Mul), &[last, weights_id]).unwrap();
        let axes = (0..weights.dims.len() as u32).collect();
        let loss = session.submit(Op::Sum { axes, keep: false }, &[product]).unwrap();
        (loss, parameters)
    }

    /// Compares the gradients of all parameters.
    #[track_caller]
    pub fn check(mut self, what: &str, tolerance: f64) {
        let parameters = self.parameters();
        let shape = self.forward(&parameters).shape();
        let weights = self.sample.around_zero(shape.dims(), 1);
        let mut session = open(Box::new(CpuExecutor::new(2, RANDOM_SEED).unwrap()), Answers::Execute);
        let (loss, ids) = self.submit(&mut session, &weights);
        let gradients = session.backward(loss, &ids).unwrap();
        for (wrt, id) in gradients.into_iter().enumerate() {
            let got = Values::F32(session.peek(id).unwrap());
            let want = pullback(&|moved: &[Array]| self.forward(moved), &parameters, wrt, &weights);
            assert_close(&got, &want, tolerance, &format!("{what}, parameter {wrt}"));
        }
    }
}

fn constant(session: &mut Session, array: &Array, values: Values) -> TensorId {
    session.constant(array.shape().dims(), values).unwrap()
}
