//! What typical operations cost, for authors of guests: prices of the profile at the sizes of the seed guest, in
//! microseconds. Pure.

use kernels::cost::{Prices, Profile};
use kernels::infer::infer;
use kernels::op::{AdamW, Attention, Binary, Loss, Op, Unary};
use kernels::spec::{DType, Shape, Spec};
use std::fmt::Write;

/// A call as the SDK spells it, the op, and the sizes of its operands; of indices, u32.
struct Line {
    call: &'static str,
    op: Op,
    operands: &'static [(&'static [u32], DType)],
}

const F: DType = DType::F32;
const U: DType = DType::U32;
/// Tokens of a step, channels, heads.
const X: &[u32] = &[18, 192, 96];
const HEADS: &[u32] = &[18, 192, 3, 32];
const TOKENS: &[u32] = &[18, 192];

fn lines() -> Vec<Line> {
    let line = |call, op, operands| Line { call, op, operands };
    let attention = |window| Op::Attention(Attention { causal: true, window, scale: 0.2 });
    let gradient = |window| Op::AttentionGrad(Attention { causal: true, window, scale: 0.2 });
    const QKV: &[(&[u32], DType)] = &[(HEADS, F), (HEADS, F), (HEADS, F)];
    const SMALL: &[(&[u32], DType)] = &[(&[256, 96], F), (&[256, 96], F), (&[256, 96], F), (&[256, 96], F)];
    const TABLE: (&[u32], DType) = (&[131_072, 96], F);
    const SAVED: &[(&[u32], DType)] = &[(HEADS, F), (HEADS, F), (HEADS, F), (HEADS, F), (&[18, 3, 192], F), (HEADS, F)];
    let product = Op::MatMul { transpose_a: false, transpose_b: true };
    let adamw = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, step: 1 };
    let loss = Loss { softcap: 8.0, z_loss: 0.0 };
    let quintic = || Op::NewtonSchulz { coefficients: vec![[3.4445, -4.775, 2.0315]; 5] };
    vec![
        line("linear, 96 → 96", product.clone(), &[(X, F), (&[96, 96], F)]),
        line("linear, 96 → 192", product.clone(), &[(X, F), (&[192, 96], F)]),
        line("linear, 96 → 256", product, &[(X, F), (&[256, 96], F)]),
        line("attention", attention(0), QKV),
        line("attention, window 64", attention(64), QKV),
        line("attention, window 16", attention(16), QKV),
        line("… its gradient", gradient(0), SAVED),
        line("… its gradient, window 16", gradient(16), SAVED),
        line("cross_entropy", Op::CrossEntropy(Loss::default()), &[(&[18, 192, 256], F), (TOKENS, U)]),
        line(
            "linear_cross_entropy",
            Op::LinearCrossEntropy { loss, gradients: true },
            &[(X, F), (&[256, 96], F), (TOKENS, U)],
        ),
        line("rms_norm", Op::RmsNorm { eps: 1e-6 }, &[(X, F)]),
        line("rope", Op::Rope { base: 1e4, inverse: false }, &[(HEADS, F)]),
        line("+, −, · of equal shapes", Op::Binary(Binary::Add), &[(X, F), (X, F)]),
        line("· with [18, 192, 1]", Op::Binary(Binary::Mul), &[(X, F), (&[18, 192, 1], F)]),
        line("^ (pow)", Op::Binary(Binary::Pow), &[(X, F), (&[1], F)]),
        line("integer ·, +, ^, &", Op::Binary(Binary::Xor), &[(TOKENS, U), (TOKENS, U)]),
        line("relu_squared", Op::Unary(Unary::ReluSquared), &[(X, F)]),
        line("gelu", Op::Unary(Unary::Gelu), &[(X, F)]),
        line("sum over the last axis", Op::Sum { axes: [2].into_iter().collect(), keep: true }, &[(X, F)]),
        line("embedding, 256 rows", Op::Embedding, &[(&[256, 96], F), (TOKENS, U)]),
        line("embedding, 131072 rows", Op::Embedding, &[(&[131_072, 96], F), (TOKENS, U)]),
        line("… its gradient, 131072 rows", Op::EmbeddingGrad { rows: 131_072 }, &[(TOKENS, U), (X, F)]),
        line("gather from 16 MB", Op::Gather { axis: 0 }, &[(&[4 << 20], F), (&[3456], U)]),
        line("scatter_add into 16 MB", Op::ScatterAdd { axis: 0 }, &[(&[4 << 20], F), (&[3456], U), (&[3456], F)]),
        line("pad, narrow along time", Op::Narrow { axis: 1, start: 0, len: 191 }, &[(X, F)]),
        line("newton_schulz, 5 steps, [96, 96]", quintic(), &[(&[96, 96], F)]),
        line("AdamW, [256, 96]", Op::AdamW(adamw), SMALL),
        line("AdamW, [131072, 96]", Op::AdamW(adamw), &[TABLE, TABLE, TABLE, TABLE]),
    ]
}

/// A table in Markdown.
pub fn table(profile: &Profile) -> String {
    let prices = Prices::new(profile);
    let mut out = format!(
        "Microseconds on the profile {}, for 18 sequences of 192 tokens, 96 channels, 3 heads:\n\n| call | µs |\n|---|---|\n",
        profile.name
    );
    for Line { call, op, operands } in lines() {
        let spec = |(dims, dtype): &(&[u32], DType)| Some(Spec { shape: Shape::new(dims).ok()?, dtype: *dtype });
        let Some(specs) = operands.iter().map(spec).collect::<Option<Vec<Spec>>>() else { continue };
        let inputs: Vec<&Spec> = specs.iter().collect();
        let cost = infer(&op, &inputs).and_then(|made| prices.rules.cost(&op, &inputs, &made));
        if let Ok(cost) = cost {
            let _ = writeln!(out, "| {call} | {:.1} |", prices.price(&cost) as f64 / 1e6);
        }
    }
    let guest = &profile.guest;
    let _ = write!(
        out,
        "\nInstructions of the guest itself: {} come free with each operation, then {} ps each, and up to {} ps where its \
         memory is much larger than {} MB.",
        guest.free_per_op,
        guest.instruction_ps,
        guest.far_instruction_ps,
        profile.memory.cache_bytes >> 20
    );
    out
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The profile of the shipped policies.
    pub fn profile() -> Profile {
        toml::from_str(include_str!("../../../policies/profiles/xeon-2c.toml")).unwrap()
    }

    #[test]
    fn every_line_has_a_price() {
        let table = table(&profile());
        assert_eq!(table.lines().filter(|line| line.ends_with(" |")).count(), lines().len() + 1, "{table}");
    }
}
