//! Weights and tokens that every implementation starts from. In a folder: `init_NAME.bin`, the parameters as f32 in the
//! order of [`Layout::parameters`]; `tok_NAME.bin`, batches of [batch, seq + 1] tokens as u32, used in turn;
//! little-endian.

use kernels::session::{Batches, NamedState};
use kernels::spec::{Shape, Spec, Values};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Batches in a tokens' file that is made here.
const BATCHES: usize = 4;

/// What a model takes.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The model's name.
    pub name: String,
    /// Different tokens.
    pub vocab: u32,
    /// Sequences per step.
    pub batch: u32,
    /// Tokens per sequence.
    pub seq: u32,
    /// Width of an attention head.
    pub head_dim: u32,
    /// Names and shapes of the parameters, in the order of the weights' file.
    pub parameters: Vec<(String, Vec<u32>)>,
}

/// What a run starts from.
pub struct Inputs {
    layout: Layout,
    weights: Vec<f32>,
    tokens: Vec<u32>,
}

/// Batches as the file has them.
pub struct Rows {
    tokens: Vec<u32>,
    batch: usize,
}

impl Layout {
    fn weights(&self) -> usize {
        self.parameters.iter().map(|(_, shape)| elements(shape)).sum()
    }

    fn tokens_of_a_batch(&self) -> usize {
        self.batch as usize * (self.seq as usize + 1)
    }

    /// Negates the second half of each head in the rows of queries and keys. The files' models rotate by the opposite
    /// angle, and this makes their weights, and gradients, ours: the scores stay the same. Its own inverse.
    pub fn turn(&self, name: &str, values: &mut [f32]) {
        if !name.starts_with("q.") && !name.starts_with("k.") {
            return;
        }
        let width = self.parameters.iter().find(|(n, _)| n == name).and_then(|(_, shape)| shape.last().copied());
        let (dim, width) = (self.head_dim as usize, width.unwrap_or(1) as usize);
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            if row % dim >= dim / 2 {
                values.iter_mut().for_each(|x| *x = -*x);
            }
        }
    }
}

impl Inputs {
    /// From a folder.
    pub fn read(folder: &Path, layout: Layout) -> Result<Self> {
        let words = |name: &str| -> Result<Vec<[u8; 4]>> {
            let path = folder.join(format!("{name}_{}.bin", layout.name));
            let bytes = std::fs::read(&path).map_err(|e| Error::new(e.kind(), format!("{}: {e}", path.display())))?;
            Ok(bytes.as_chunks().0.to_vec())
        };
        let weights: Vec<f32> = words("init")?.into_iter().map(f32::from_le_bytes).collect();
        let tokens: Vec<u32> = words("tok")?.into_iter().map(u32::from_le_bytes).collect();
        let whole = !tokens.is_empty() && tokens.len().is_multiple_of(layout.tokens_of_a_batch());
        if weights.len() != layout.weights() || !whole {
            let message = format!("{} weights and {} tokens do not fit {layout:?}", weights.len(), tokens.len());
            return Err(Error::new(ErrorKind::InvalidData, message));
        }
        Ok(Self { layout, weights, tokens })
    }

    /// Made up, the same every time.
    pub fn make(layout: Layout) -> Self {
        let mut state = 1337u64;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 40
        };
        let mut weights = Vec::with_capacity(layout.weights());
        for (name, shape) in &layout.parameters {
            let (middle, spread) = first_values(name, shape);
            let mut value = || middle + spread * (draw() as f64 / f64::from(1 << 23) - 1.0);
            weights.extend((0..elements(shape)).map(|_| value() as f32));
        }
        let tokens = BATCHES * layout.tokens_of_a_batch();
        let tokens = (0..tokens).map(|_| (draw() % u64::from(layout.vocab)) as u32).collect();
        Self { layout, weights, tokens }
    }

    /// Into a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let name = &self.layout.name;
        let put = |kind: &str, bytes: Vec<u8>| std::fs::write(folder.join(format!("{kind}_{name}.bin")), bytes);
        put("init", self.weights.iter().flat_map(|x| x.to_le_bytes()).collect())?;
        put("tok", self.tokens.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// The weights by name, turned.
    pub fn state(&self) -> NamedState {
        let mut rest = self.weights.as_slice();
        let mut state = NamedState::default();
        for (name, shape) in &self.layout.parameters {
            let (values, after) = rest.split_at(elements(shape));
            rest = after;
            let mut values = values.to_vec();
            self.layout.turn(name, &mut values);
            if let Ok(shape) = Shape::new(shape) {
                state.tensors.push((name.clone(), true, Spec::f32(shape), Values::F32(values)));
            }
        }
        state
    }

    /// The tokens.
    pub fn batches(&self) -> Rows {
        Rows { tokens: self.tokens.clone(), batch: self.layout.batch as usize }
    }
}

/// Middle and spread of a parameter's made-up values: matrices with variance 1/width, an output matrix that is nearly
/// zero, small branches.
fn first_values(name: &str, shape: &[u32]) -> (f64, f64) {
    match name.split('.').next() {
        Some("wte") => (0.0, 1.7),
        Some("head") => (0.0, 0.0017),
        Some("o" | "proj" | "gate") => (0.0, 0.035),
        Some("resid") => (1.0, 0.0),
        Some("x0") => (0.1, 0.0),
        _ => (0.0, (3.0 / f64::from(shape.last().copied().unwrap_or(1))).sqrt()),
    }
}

fn elements(shape: &[u32]) -> usize {
    shape.iter().map(|&size| size as usize).product()
}

impl Batches for Rows {
    fn fill(&self, _random_seed: u64, drawn: u64, seq: u32, tokens: &mut [u32], targets: &mut [u32]) {
        let seq = seq as usize;
        let first = drawn as usize / seq.max(1) % (self.tokens.len() / (seq + 1)).max(1);
        let rows = self.tokens.chunks_exact(seq + 1).cycle().skip(first).take(self.batch);
        for ((row, tokens), targets) in rows.zip(tokens.chunks_mut(seq)).zip(targets.chunks_mut(seq)) {
            tokens.copy_from_slice(&row[..seq]);
            targets.copy_from_slice(&row[1..]);
        }
    }
}
