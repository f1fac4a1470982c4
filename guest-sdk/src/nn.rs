//! Products and the fused operations of language models. All are pure.

use crate::bindings::lab::train::tensors;
use crate::tensor::{Tensor, size};

/// Added to the mean square in [`Tensor::rms_norm`].
const NORM_EPS: f32 = 1e-6;

/// Most steps of one orthogonalisation.
const MAX_STEPS: usize = 64;

/// One step of the quintic Newton–Schulz iteration (a, b, c): x ← a·x + (b·A + c·A²)·x with A = x·xᵀ.
pub type QuinticStep = (f32, f32, f32);

/// The usual step of Muon (Jordan, 2024): singular values come to about 1 in five.
pub const JORDAN: QuinticStep = (3.4445, -4.7750, 2.0315);

/// Five steps that are best for their number (Amsel et al., *The Polar Express*, 2025), for x/(1.02·|x|): the factor is
/// within the first.
pub const POLAR_EXPRESS: [QuinticStep; 5] = [
    (8.156_554 / 1.02, -22.483_293 / (1.02 * 1.02 * 1.02), 15.878_77 / (1.02 * 1.02 * 1.02 * 1.02 * 1.02)),
    (4.042_93, -2.808_917_5, 0.500_017_8),
    (3.891_667_8, -2.772_484_2, 0.506_064_8),
    (3.285_753_7, -2.368_129_5, 0.464_490_24),
    (2.346_541_3, -1.709_782_8, 0.423_235_5),
];

/// Products. Operands are f32, bf16 or f16, in any mix; sums and results are f32. Cost: product.
impl Tensor {
    /// [.., m, k] × [.., k, n] → [.., m, n]. Leading axes are equal, or `other` has rank 2 and serves them all.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        self.matmul_transposed(other, false, false)
    }

    /// [`Tensor::matmul`] with the last two axes of either operand swapped first where its flag is set, without a copy.
    #[track_caller]
    pub fn matmul_transposed(&self, other: &Tensor, transpose_self: bool, transpose_other: bool) -> Tensor {
        tensors::matmul(self.handle(), other.handle(), transpose_self, transpose_other).into()
    }

    /// x·wᵀ: [.., k] with w [n, k] → [.., n]. Needs at least two axes.
    #[track_caller]
    pub fn linear(&self, weight: &Tensor) -> Tensor {
        self.matmul_transposed(weight, false, true)
    }

    /// The nearest matrix with singular values about 1, for the last two axes, by `steps` of [`JORDAN`]'s Newton–Schulz
    /// iteration. 5 steps are usual, at most 64 are allowed. f32. Has no gradient. Cost: as orthogonalize.
    #[track_caller]
    pub fn newton_schulz(&self, steps: usize) -> Tensor {
        self.orthogonalize(&jordan("newton_schulz", steps))
    }

    /// x/|x|, then one quintic step for each (a, b, c), for the last two axes: `update.orthogonalize(&POLAR_EXPRESS)`.
    /// At most 64 steps. f32. Has no gradient. Cost: product, 4r²c + 2r³ a step for r rows and c ≥ r columns.
    #[track_caller]
    pub fn orthogonalize(&self, steps: &[QuinticStep]) -> Tensor {
        tensors::newton_schulz(self.handle(), steps).into()
    }
}

/// `steps` times [`JORDAN`]'s step.
#[track_caller]
pub(crate) fn jordan(operation: &str, steps: usize) -> Vec<QuinticStep> {
    assert!(steps <= MAX_STEPS, "{operation}: {steps} steps; at most {MAX_STEPS} are allowed (5 is usual)");
    vec![JORDAN; steps]
}

/// Norms, attention and loss, of f32.
impl Tensor {
    /// x / √(mean(x²) + 10⁻⁶) along the last axis (Zhang and Sennrich, 2019), without a gain. Cost: norm.
    #[track_caller]
    pub fn rms_norm(&self) -> Tensor {
        tensors::rms_norm(self.handle(), NORM_EPS).into()
    }

    /// (x − mean) / √(variance + eps) along the last axis (Ba et al., 2016), without gain and bias. Cost: norm.
    #[track_caller]
    pub fn layer_norm(&self, eps: f32) -> Tensor {
        tensors::layer_norm(self.handle(), eps).into()
    }

    /// Rotary position embedding (Su et al., 2021) of [b, t, h, d], d even: position t turns the pair of channels j and
    /// j + d/2 by the angle t·base^(−2j/d), for j below d/2. Cost: norm.
    #[track_caller]
    pub fn rope(&self, base: f32) -> Tensor {
        tensors::rope(self.handle(), base).into()
    }

    /// Causal attention of queries (self) [b, t, h, d] over `k`, `v` [b, t, g, d], h a multiple of g → [b, t, h, d]:
    /// softmax(q·kᵀ/√d)·v, at most 65,536 positions. One sees itself and the `window` − 1 before it; window 0: all
    /// before. Cost: attention, by the pairs that see each other.
    #[track_caller]
    pub fn attention(&self, k: &Tensor, v: &Tensor, window: usize) -> Tensor {
        let shape = self.shape();
        let [_, _, _, dim] = shape[..] else {
            panic!("attention of {shape:?}: [batch, time, heads, dim] is needed");
        };
        self.attention_with(k, v, true, window, 1.0 / (dim as f32).sqrt())
    }

    /// [`Tensor::attention`] with scores multiplied by `scale` instead; where not `causal`, a position sees the
    /// `window` − 1 after it too (window 0: all). Cost: attention.
    #[track_caller]
    pub fn attention_with(&self, k: &Tensor, v: &Tensor, causal: bool, window: usize, scale: f32) -> Tensor {
        tensors::attention(self.handle(), k.handle(), v.handle(), causal, size(window), scale).into()
    }

    /// Mean of `−ln softmax(logits)[target]`, in nats, a scalar: logits (self) `[.., v]`, `targets` `[..]` (u32).
    /// Cost: loss.
    #[track_caller]
    pub fn cross_entropy(&self, targets: &Tensor) -> Tensor {
        self.cross_entropy_with(targets, 0.0, 0.0)
    }

    /// [`Tensor::cross_entropy`] of softcap·tanh(logits/softcap) where `softcap` is above 0, plus
    /// z_loss·logsumexp² per row. Cost: loss.
    #[track_caller]
    pub fn cross_entropy_with(&self, targets: &Tensor, softcap: f32, z_loss: f32) -> Tensor {
        tensors::cross_entropy(self.handle(), targets.handle(), softcap, z_loss).into()
    }

    /// `self.linear(weight).cross_entropy_with(targets, softcap, z_loss)` without ever holding the logits:
    /// self [.., d], `weight` [v, d], `targets` [..] (u32) → a scalar. Cost: product and loss; gradients are computed
    /// at once. Takes memory for 512 rows of logits and two copies of the weight meanwhile.
    #[track_caller]
    pub fn linear_cross_entropy(&self, weight: &Tensor, targets: &Tensor, softcap: f32, z_loss: f32) -> Tensor {
        tensors::linear_cross_entropy(self.handle(), weight.handle(), targets.handle(), softcap, z_loss).into()
    }
}
