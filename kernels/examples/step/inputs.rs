//! Weights and tokens that every implementation starts from. In a folder: `init_NAME.bin`, the parameters as f32 in the
//! order of [`Sizes::parameters`]; `tok_NAME.bin`, batches of [batch, seq + 1] tokens as u32, used in turn; little-endian.

use crate::gpt::Sizes;
use kernels::session::{Batches, NamedState};
use kernels::spec::{Shape, Spec, Values};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Batches in a tokens' file that is made here.
const BATCHES: usize = 4;

/// What a run starts from.
pub struct Inputs {
    weights: Vec<f32>,
    tokens: Vec<u32>,
}

/// Batches as the file has them.
pub struct Rows {
    tokens: Vec<u32>,
    batch: usize,
}

impl Inputs {
    /// From a folder.
    pub fn read(folder: &Path, sizes: &Sizes) -> Result<Self> {
        let words = |name: &str| -> Result<Vec<[u8; 4]>> {
            let path = folder.join(format!("{name}_{}.bin", sizes.name));
            let bytes = std::fs::read(&path).map_err(|e| Error::new(e.kind(), format!("{}: {e}", path.display())))?;
            Ok(bytes.as_chunks().0.to_vec())
        };
        let weights: Vec<f32> = words("init")?.into_iter().map(f32::from_le_bytes).collect();
        let tokens: Vec<u32> = words("tok")?.into_iter().map(u32::from_le_bytes).collect();
        let row = sizes.batch as usize * (sizes.seq as usize + 1);
        if weights.len() != count(sizes) || tokens.is_empty() || !tokens.len().is_multiple_of(row) {
            let message = format!("{} weights and {} tokens do not fit {sizes:?}", weights.len(), tokens.len());
            return Err(Error::new(ErrorKind::InvalidData, message));
        }
        Ok(Self { weights, tokens })
    }

    /// Made up, the same every time: matrices uniform with variance 1/width, the output matrix nearly zero.
    pub fn make(sizes: &Sizes) -> Self {
        let mut state = 1337u64;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 40
        };
        let bound = (3.0 / f64::from(sizes.width)).sqrt();
        let mut weights = Vec::with_capacity(count(sizes));
        for (name, [rows, columns]) in sizes.parameters() {
            let scale = match name.split('.').next() {
                Some("wte") => 1.7,
                Some("head") => 0.0017,
                Some("o" | "proj") => 0.035,
                _ => bound,
            };
            weights.extend((0..rows * columns).map(|_| (scale * (draw() as f64 / (1u64 << 23) as f64 - 1.0)) as f32));
        }
        let tokens = BATCHES * sizes.batch as usize * (sizes.seq as usize + 1);
        let tokens = (0..tokens).map(|_| (draw() % u64::from(sizes.vocab)) as u32).collect();
        Self { weights, tokens }
    }

    /// Into a folder.
    pub fn write(&self, folder: &Path, sizes: &Sizes) -> Result<()> {
        let put = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(format!("{name}_{}.bin", sizes.name)), bytes);
        put("init", self.weights.iter().flat_map(|x| x.to_le_bytes()).collect())?;
        put("tok", self.tokens.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// The weights by name. The files' model rotates queries and keys by the opposite angle; negating the second half
    /// of each head in both makes it ours, for the same scores.
    pub fn state(&self, sizes: &Sizes) -> NamedState {
        let mut rest = self.weights.as_slice();
        let mut state = NamedState::default();
        for (name, shape) in sizes.parameters() {
            let (values, after) = rest.split_at((shape[0] * shape[1]) as usize);
            rest = after;
            let mut values = values.to_vec();
            turn(sizes, &name, &mut values);
            if let Ok(shape) = Shape::new(&shape) {
                state.tensors.push((name, true, Spec::f32(shape), Values::F32(values)));
            }
        }
        state
    }

    /// The tokens.
    pub fn batches(&self, sizes: &Sizes) -> Rows {
        Rows { tokens: self.tokens.clone(), batch: sizes.batch as usize }
    }
}

/// Negates the second half of each head in the rows of `q` and `k`; its own inverse, and good for gradients too.
pub fn turn(sizes: &Sizes, name: &str, values: &mut [f32]) {
    if !name.starts_with("q.") && !name.starts_with("k.") {
        return;
    }
    let dim = (sizes.width / sizes.heads) as usize;
    for (row, values) in values.chunks_exact_mut(sizes.width as usize).enumerate() {
        if row % dim >= dim / 2 {
            values.iter_mut().for_each(|x| *x = -*x);
        }
    }
}

fn count(sizes: &Sizes) -> usize {
    sizes.parameters().iter().map(|(_, [rows, columns])| (rows * columns) as usize).sum()
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
