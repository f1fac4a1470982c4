//! The champion as a model for other programs: what it is, its weights as safetensors, its `forward` as a graph of ops,
//! its source, the text that it was scored on, and `score.py`, which runs it in NumPy.

use crate::data::task::PreparedTask;
use crate::night::export::error::ExportError;
use crate::night::export::past::Guest;
use crate::record::safetensors::{self, SafeTensorError};
use crate::record::store::ExperimentRecord;
use crate::system::atomic_file::{self, WriteError};
use kernels::graph::{Graph, Node};
use kernels::op::Attribute;
use kernels::session::NamedState;
use kernels::spec::{Shape, Values};
use serde_json::{Map, Value, json};
use std::io;
use std::path::{Path, PathBuf};

const SCORE: &str = include_str!("score.py");
/// Files that not every champion has.
const OPTIONAL: [&str; 5] = ["config.json", "search.safetensors", "train.rs", "card.txt", "component.wasm"];

/// A model and what it is.
pub struct Champion<'a> {
    /// Its trial; 0 is the seed guest.
    pub trial: u64,
    /// What it changed.
    pub change: &'a str,
    pub guest: &'a Guest,
    /// Whom it is owed to, in words.
    pub credits: &'a [String],
    pub record: &'a ExperimentRecord,
    pub task: &'a PreparedTask,
    pub model: &'a NamedState,
    /// Its `forward` on the rows and the context of an evaluation.
    pub graph: &'a Graph,
}

/// Writes the champion's files. If a secret has chosen the held-out text, it and the score on it are left out.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, champion: &Champion) -> Result<Vec<PathBuf>, ExportError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    // What another champion had and this one has not.
    for name in OPTIONAL {
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path)(error).into()),
            Ok(()) | Err(_) => {}
        }
    }
    let mut written = Vec::new();
    let mut put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        atomic_file::replace(&path, &[bytes])?;
        written.push(path);
        Ok::<_, ExportError>(())
    };
    put("model.safetensors", &safetensors::of_state(champion.model)?)?;
    put("constants.safetensors", &constants(champion.graph)?)?;
    if champion.task.task.commitment.is_none() {
        let (shape, chunks) = chunks(&champion.task.search)?;
        put("search.safetensors", &safetensors::encode([("chunks".into(), &shape, &chunks)])?)?;
    }
    let names: Vec<&str> = champion.model.tensors.iter().map(|(name, ..)| name.as_str()).collect();
    put("graph.json", graph_json(champion.graph, &names).as_bytes())?;
    match champion.guest {
        Guest::Source(text) => put("train.rs", text.as_bytes())?,
        Guest::Component { card, bytes } => {
            put("card.txt", card.as_bytes())?;
            if let Some(bytes) = bytes {
                put("component.wasm", bytes)?;
            }
        }
    }
    put("score.py", SCORE.as_bytes())?;
    // It tells that the folder is complete.
    put("config.json", &[&serde_json::to_vec_pretty(&config(champion))?[..], b"\n"].concat())?;
    Ok(written)
}

/// The values of a graph's constants, by the tensors that they make.
///
/// # Errors
/// Values do not fit their shape.
pub fn constants(graph: &Graph) -> Result<Vec<u8>, SafeTensorError> {
    let shape = |node: &Node| {
        node.attributes.iter().find_map(|(name, attribute)| match attribute {
            Attribute::Sizes(sizes) if name == "shape" => Shape::new(sizes).ok(),
            _ => None,
        })
    };
    let held = graph.nodes.iter().filter_map(|node| {
        let (values, made) = (node.values.as_ref()?, node.outputs.first()?);
        Some((made.0.to_string(), shape(node)?, values))
    });
    let held: Vec<(String, Shape, &Values)> = held.collect();
    safetensors::encode(held.iter().map(|(name, shape, values)| (name.clone(), shape, *values)))
}

/// Chunks of tokens as one tensor [count, context + 1].
fn chunks(chunks: &[Vec<u16>]) -> Result<(Shape, Values), ExportError> {
    let length = chunks.first().map_or(0, Vec::len);
    let sizes = [chunks.len() as u32, length as u32];
    let shape = Shape::new(&sizes).map_err(|_| ExportError::Chunks)?;
    let tokens: Vec<u32> = chunks.iter().flatten().map(|&token| token.into()).collect();
    if chunks.iter().any(|chunk| chunk.len() != length) {
        return Err(ExportError::Chunks);
    }
    Ok((shape, Values::U32(tokens)))
}

fn config(champion: &Champion) -> Value {
    let Champion { trial, change, credits, record, task, model, .. } = champion;
    let manifest = &record.manifest;
    let is_secret = task.task.commitment.is_some();
    let parameters: u64 = model
        .tensors
        .iter()
        .filter(|(_, is_parameter, ..)| *is_parameter)
        .map(|(_, _, spec, _)| spec.shape.elements())
        .sum();
    json!({
        "trial": trial,
        "change": change,
        "credits": credits,
        "experiment": record.key.to_string(),
        "component": manifest.component.to_string(),
        "random_seed": manifest.random_seed,
        "task": manifest.task.to_string(),
        "corpus": task.corpus,
        "tokenizer": "bytes",
        "vocab": task.task.tokenizer.vocab(),
        "context": task.task.context,
        "rows": manifest.eval_rows,
        "parameters": parameters,
        "bpb": record.val_bpb.filter(|_| !is_secret),
    })
}

/// A graph as JSON, an op in a line. `names` are those of its inputs but the last, the tokens.
pub fn graph_json(graph: &Graph, names: &[&str]) -> String {
    let named = graph.inputs.iter().zip(names);
    let state: Map<String, Value> = named.map(|(id, name)| (id.0.to_string(), (*name).into())).collect();
    let nodes: Vec<String> = graph.nodes.iter().map(|node| format!("    {}", node_json(node))).collect();
    let (tokens, output) = (json!(graph.inputs.last()), json!(graph.output));
    format!(
        "{{\n  \"state\": {},\n  \"tokens\": {tokens},\n  \"output\": {output},\n  \"nodes\": [\n{}\n  ]\n}}\n",
        Value::Object(state),
        nodes.join(",\n")
    )
}

fn node_json(node: &Node) -> Value {
    let Node { op, attributes, inputs, outputs, frees, values: _ } = node;
    let attributes: Map<String, Value> = attributes.iter().map(|(name, a)| (name.clone(), attribute_json(a))).collect();
    json!({ "op": op, "inputs": inputs, "attributes": attributes, "outputs": outputs, "frees": frees })
}

/// What JSON has no number for is told in a word, as Python's `float` reads it.
fn attribute_json(attribute: &Attribute) -> Value {
    let real = |x: f32| if x.is_finite() { json!(f64::from(x)) } else { x.to_string().into() };
    match attribute {
        Attribute::Flag(flag) => (*flag).into(),
        Attribute::Count(count) => (*count).into(),
        Attribute::Real(x) => real(*x),
        Attribute::Name(name) => name.as_str().into(),
        Attribute::Sizes(sizes) => sizes.as_slice().into(),
        Attribute::Steps(steps) => steps.iter().map(|step| step.map(real).to_vec()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_has_not_are_words() {
        assert_eq!(attribute_json(&Attribute::Real(f32::NEG_INFINITY)), json!("-inf"));
        assert_eq!(attribute_json(&Attribute::Real(f32::NAN)), json!("NaN"));
        assert_eq!(attribute_json(&Attribute::Real(0.1)), json!(f64::from(0.1f32)));
        assert_eq!(attribute_json(&Attribute::Steps(vec![[1.0, 2.0, 3.5]])), json!([[1.0, 2.0, 3.5]]));
    }

    #[test]
    fn chunks_are_one_tensor() {
        let (shape, values) = chunks(&[vec![1, 2, 3], vec![4, 5, 6]]).unwrap();
        assert_eq!((shape.dims(), values), (&[2, 3][..], Values::U32(vec![1, 2, 3, 4, 5, 6])));
        assert!(matches!(chunks(&[vec![1, 2], vec![3]]), Err(ExportError::Chunks)));
        assert!(matches!(chunks(&[]), Err(ExportError::Chunks)));
    }
}
