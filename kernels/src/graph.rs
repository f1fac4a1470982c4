//! A recorded `forward` as a graph: all that another program needs to compute the same logits, but the values of what
//! the host gave. Imports `causal`, `exec`, `op` and `spec`.

use crate::causal::Recording;
use crate::exec::Step;
use crate::op::{Attribute, Record, TensorId};
use crate::spec::Values;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Ops in the order in which they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// Tensors that the host gave, in order: named state, then the tokens.
    pub inputs: Vec<TensorId>,
    /// The ops.
    pub nodes: Vec<Node>,
    /// The logits [rows, time, vocab].
    pub output: TensorId,
}

/// One op.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the contract.
    pub op: String,
    /// Its scalar operands by name.
    pub attributes: Vec<(String, Attribute)>,
    /// What it reads.
    pub inputs: Vec<TensorId>,
    /// What it makes.
    pub outputs: Vec<TensorId>,
    /// The values of a constant, row-major.
    pub values: Option<Values>,
    /// Tensors that no later node reads.
    pub frees: Vec<TensorId>,
}

impl Graph {
    /// The graph of what a session did in `Mode::Evaluate`, where no op writes in place.
    pub fn new(recording: Recording, output: TensorId) -> Self {
        let mut nodes = Vec::<Node>::new();
        for step in recording.steps {
            match (step, nodes.last_mut()) {
                (Step::Run { record, .. }, _) => nodes.push(Node::from(&record)),
                (Step::Free(id), Some(node)) => node.frees.push(id),
                // What is freed before the first op was given and is not read.
                (Step::Free(_), None) => {}
            }
        }
        Self { inputs: recording.given.into_iter().map(|(id, _)| id).collect(), nodes, output }
    }

    /// Whether each tensor is made once, before it is read, and the output is there at the end.
    pub fn is_whole(&self) -> bool {
        let mut there = BTreeSet::new();
        let is_new = |ids: &[TensorId], there: &mut BTreeSet<TensorId>| ids.iter().all(|id| there.insert(*id));
        let mut whole = is_new(&self.inputs, &mut there);
        for node in &self.nodes {
            whole &= node.inputs.iter().all(|id| there.contains(id)) && is_new(&node.outputs, &mut there);
            whole &= node.frees.iter().all(|id| there.remove(id));
        }
        whole && there.contains(&self.output)
    }
}

impl From<&Record> for Node {
    fn from(record: &Record) -> Self {
        let Record { op, inputs, outputs, data } = record;
        Self {
            op: op.name().into(),
            attributes: op.attributes().into_iter().map(|(name, attribute)| (name.into(), attribute)).collect(),
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            values: data.as_deref().cloned(),
            frees: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::Recorder;
    use crate::exec::Executor;
    use crate::op::{Attention, Op, Unary};
    use crate::spec::{Shape, Spec};

    fn run(op: Op, inputs: &[u64], output: u64) -> Step {
        let ids = |ids: &[u64]| ids.iter().copied().map(TensorId).collect();
        let outputs = vec![Spec::f32(Shape::scalar())];
        let (inputs, made) = (ids(inputs), [TensorId(output)].into_iter().collect());
        Step::Run { record: Record { op, inputs, outputs: made, data: None }, outputs, index: 0 }
    }

    fn graph() -> Graph {
        let (mut recorder, take) = Recorder::new();
        recorder.upload(TensorId(0), &Spec::f32(Shape::scalar()), &Values::F32(vec![1.0])).unwrap();
        let mut steps = vec![
            run(Op::Unary(Unary::Relu), &[0], 1),
            Step::Free(TensorId(0)),
            run(Op::Affine { mul: 2.0, add: f32::NEG_INFINITY }, &[1], 2),
        ];
        recorder.execute(&mut steps).unwrap();
        Graph::new(take(), TensorId(2))
    }

    #[test]
    fn records_become_nodes() {
        let graph = graph();
        assert_eq!((graph.inputs.as_slice(), graph.nodes.len()), (&[TensorId(0)][..], 2));
        let [relu, affine] = &graph.nodes[..] else { panic!() };
        assert_eq!((relu.op.as_str(), relu.frees.as_slice()), ("relu", &[TensorId(0)][..]));
        let infinite = Attribute::Real(f32::NEG_INFINITY);
        assert_eq!(affine.attributes, [("mul".into(), Attribute::Real(2.0)), ("add".into(), infinite)]);
    }

    #[test]
    fn fields_of_scalars_have_their_names() {
        let how = Attention { causal: true, window: 7, scale: 0.5 };
        let names: Vec<&str> = Op::Attention(how).attributes().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["causal", "window", "scale"]);
        let function = Op::Unary(Unary::Exp).attributes();
        assert_eq!(function, [("function", Attribute::Name("exp".into()))]);
    }

    #[test]
    fn a_graph_that_reads_what_is_not_there_is_not_whole() {
        let whole = graph();
        assert!(whole.is_whole());
        let broken: [fn(&mut Graph); 5] = [
            |graph| graph.output = TensorId(9),
            |graph| graph.nodes[1].inputs = vec![TensorId(0)],
            |graph| graph.nodes[1].outputs = vec![TensorId(1)],
            |graph| graph.nodes[1].frees = vec![TensorId(2)],
            |graph| graph.inputs.clear(),
        ];
        for (case, change) in broken.into_iter().enumerate() {
            let mut graph = whole.clone();
            change(&mut graph);
            assert!(!graph.is_whole(), "{case}");
        }
    }
}
