//! Moving elements without arithmetic, and the walk over broadcast operands.

use super::memory::Element;

/// A strided reading of a tensor: one step for each axis of the output.
#[derive(Clone, Debug)]
pub struct Strided {
    /// Where the first element is.
    pub offset: usize,
    /// Step along each axis of the output; 0 where it repeats.
    pub steps: Vec<usize>,
}

impl Strided {
    /// Reads a row-major tensor of sizes `from`, broadcast to `rank` axes. One element repeats everywhere, however many
    /// axes it has: a part of an op can have fewer.
    pub fn broadcast(from: &[u32], rank: usize) -> Self {
        let mut steps = vec![0; rank];
        if from.iter().all(|&size| size == 1) {
            return Self { offset: 0, steps };
        }
        let dense = row_major(from);
        for (i, &size) in from.iter().enumerate() {
            steps[rank - from.len() + i] = if size == 1 { 0 } else { dense[i] };
        }
        Self { offset: 0, steps }
    }
}

/// Steps of a row-major tensor.
pub fn row_major(dims: &[u32]) -> Vec<usize> {
    let mut steps = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        steps[i - 1] = steps[i] * dims[i] as usize;
    }
    steps
}

/// Walks an output in row-major order together with N strided operands. Adjacent axes that all operands step through
/// evenly are one, so the last axis is as long as can be.
#[derive(Clone, Debug)]
pub struct Walk<const N: usize> {
    sizes: Vec<usize>,
    steps: Vec<[usize; N]>,
    offsets: [usize; N],
}

/// A run along the last axis: output positions and where each operand starts.
#[derive(Clone, Copy, Debug)]
pub struct Run<const N: usize> {
    /// First element within the piece.
    pub at: usize,
    /// Elements.
    pub len: usize,
    /// First element of each operand.
    pub from: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// A walk over an output of sizes `dims`.
    pub fn new(dims: &[u32], operands: [Strided; N]) -> Self {
        let (mut sizes, mut steps): (Vec<usize>, Vec<[usize; N]>) = (vec![1], vec![[0; N]]);
        for (axis, &size) in dims.iter().enumerate().filter(|(_, size)| **size > 1) {
            let size = size as usize;
            let step = std::array::from_fn(|i| operands[i].steps[axis]);
            let last = sizes.len() - 1;
            if sizes[last] == 1 || (0..N).all(|i| steps[last][i] == step[i] * size) {
                sizes[last] *= size;
                steps[last] = step;
            } else {
                sizes.push(size);
                steps.push(step);
            }
        }
        Self { sizes, steps, offsets: operands.map(|o| o.offset) }
    }

    /// Steps of the operands along a run.
    pub fn inner(&self) -> [usize; N] {
        self.steps[self.steps.len() - 1]
    }

    /// The runs that make up elements `start..start + len` of the output.
    pub fn runs(&self, start: usize, len: usize, mut visit: impl FnMut(Run<N>)) {
        let last = self.sizes.len() - 1;
        let mut at = 0;
        while at < len {
            let column = (start + at) % self.sizes[last];
            let mut rest = (start + at) / self.sizes[last];
            let inner = self.inner();
            let mut from: [usize; N] = std::array::from_fn(|i| self.offsets[i] + column * inner[i]);
            for axis in (0..last).rev() {
                let index = rest % self.sizes[axis];
                rest /= self.sizes[axis];
                for (from, step) in from.iter_mut().zip(self.steps[axis]) {
                    *from += index * step;
                }
            }
            let run = (self.sizes[last] - column).min(len - at);
            visit(Run { at, len: run, from });
            at += run;
        }
    }
}

/// Copies a strided reading of `x` to `out` of sizes `dims`.
pub fn gather<T: Element>(x: &[T], from: Strided, dims: &[u32], out: &mut [T]) {
    let walk = Walk::new(dims, [from]);
    let [step] = walk.inner();
    walk.runs(0, out.len(), |Run { at, len, from: [from] }| {
        let out = &mut out[at..at + len];
        match step {
            0 => out.fill(x[from]),
            1 => out.copy_from_slice(&x[from..from + len]),
            _ => out.iter_mut().zip(x[from..].iter().step_by(step)).for_each(|(o, x)| *o = *x),
        }
    });
}

/// Writes x, `len` elements per row, into rows of `width` of `out` from element `start` on.
pub fn scatter_rows<T: Element>(x: &[T], len: usize, out: &mut [T], width: usize, start: usize) {
    for (row, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(len)) {
        row[start..start + len].copy_from_slice(x);
    }
}
