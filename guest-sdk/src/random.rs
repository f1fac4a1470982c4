//! Random numbers. The experiment's random seed, the stream and how many numbers were drawn from it before decide each.

use crate::bindings::lab::train::tensors;
use crate::nn::JORDAN;
use crate::tensor::{Tensor, sizes};

/// Random tensors, f32, from stream 0.
impl Tensor {
    /// Uniform in [low, high); high − low must be finite in f32. Cost: random, 10 operations per element.
    #[track_caller]
    pub fn uniform(shape: impl AsRef<[usize]>, low: f32, high: f32) -> Tensor {
        RandomStream(0).uniform(shape, low, high)
    }

    /// Normal. Cost: random, 30 operations per element.
    #[track_caller]
    pub fn normal(shape: impl AsRef<[usize]>, mean: f32, std: f32) -> Tensor {
        RandomStream(0).normal(shape, mean, std)
    }

    /// A random matrix [rows, cols] with orthonormal rows or columns, whichever are fewer: the polar factor of a normal
    /// one. Cost: random, and 24 steps of Newton–Schulz.
    #[track_caller]
    pub fn orthogonal(rows: usize, cols: usize) -> Tensor {
        RandomStream(0).orthogonal(rows, cols)
    }
}

/// A stream of random numbers of its own: what is drawn elsewhere doesn't shift it, so a change in one part of a guest
/// leaves the numbers of the others alone. It goes on where it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomStream(u32);

impl RandomStream {
    /// The stream of that number, any: `RandomStream::new(7).normal([n, d], 0.0, 0.02)`.
    pub const fn new(number: u32) -> RandomStream {
        RandomStream(number)
    }

    /// [`Tensor::uniform`] from this stream. Cost: random, 10 operations per element.
    #[track_caller]
    pub fn uniform(self, shape: impl AsRef<[usize]>, low: f32, high: f32) -> Tensor {
        tensors::uniform(self.0, &sizes(shape), low, high).into()
    }

    /// [`Tensor::normal`] from this stream. Cost: random, 30 operations per element.
    #[track_caller]
    pub fn normal(self, shape: impl AsRef<[usize]>, mean: f32, std: f32) -> Tensor {
        tensors::normal(self.0, &sizes(shape), mean, std).into()
    }

    /// [`Tensor::orthogonal`] from this stream, at its cost.
    #[track_caller]
    pub fn orthogonal(self, rows: usize, cols: usize) -> Tensor {
        // Twelve steps bring every singular value near 1, the cubic ones then exactly there.
        let mut coefficients = [JORDAN; 24];
        coefficients[12..].fill((1.5, -0.5, 0.0));
        tensors::newton_schulz(self.normal([rows, cols], 0.0, 1.0).handle(), &coefficients).into()
    }
}
