//! Whether results agree with those of the CPU's kernels.

use crate::cases::Case;
use half::bf16;
use kernels::op::Op;
use kernels::spec::Values;

/// How closely results have to agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Agreement {
    /// In every bit, but for those of NaN.
    Bits,
    /// |got − want| ≤ tolerance · the largest |want|. Of infinities and NaN, which are which. 0 lets the sign of 0
    /// differ.
    Near(f64),
    /// Not at all: sums of edge values depend on their order. They still have to be the same in any order of threads.
    Apart,
}

impl Agreement {
    /// What an op has to keep: sums are made in another order here, all else is the same arithmetic.
    pub fn of(op: &Op) -> Self {
        match op {
            Op::Max { .. } | Op::Min { .. } => Self::Near(0.0),
            Op::Sum { .. } | Op::Mean { .. } | Op::SumTo { .. } | Op::MatMul { .. } => Self::Near(2e-6),
            Op::Softmax | Op::SoftmaxGrad | Op::LogSumExp => Self::Near(2e-6),
            Op::RmsNorm { .. } | Op::RmsNormGrad { .. } | Op::LayerNorm { .. } | Op::LayerNormGrad { .. } => {
                Self::Near(4e-6)
            }
            Op::Attention(_) | Op::AttentionGrad(_) => Self::Near(4e-6),
            Op::CrossEntropy(_) | Op::CrossEntropyGrad(_) | Op::LinearCrossEntropy { .. } => Self::Near(4e-6),
            Op::NewtonSchulz { .. } => Self::Near(2e-5),
            _ => Self::Bits,
        }
    }
}

/// Checks every result of a case, and what follows them: the first index out of range.
pub fn all(case: &Case, got: &[Values]) -> Result<(), String> {
    if got.last() != Some(&Values::U32(vec![case.fault])) {
        return Err(format!("the index out of range is at {:?}, not at {}", got.last(), case.fault));
    }
    for (i, (got, want)) in got.iter().zip(&case.want).enumerate() {
        one(case.agreement, got, want).map_err(|why| format!("result {i}: {why}"))?;
    }
    Ok(())
}

/// Whether two runs left the same bits.
pub fn is_same(a: &[Values], b: &[Values]) -> bool {
    a.iter().zip(b).all(|(a, b)| bits(a, b).is_ok())
}

/// Checks one result.
pub fn one(agreement: Agreement, got: &Values, want: &Values) -> Result<(), String> {
    if (got.dtype(), got.len()) != (want.dtype(), want.len()) {
        return Err(format!(
            "{} {} in the place of {} {}",
            got.len(),
            got.dtype().name(),
            want.len(),
            want.dtype().name()
        ));
    }
    match (agreement, floats(got).zip(floats(want))) {
        (Agreement::Apart, _) => Ok(()),
        (Agreement::Near(tolerance), Some((got, want))) => near(&got, &want, tolerance),
        (Agreement::Bits | Agreement::Near(_), _) => bits(got, want),
    }
}

fn bits(got: &Values, want: &Values) -> Result<(), String> {
    let bytes = |values: &Values| {
        let mut bytes = Vec::new();
        values.extend_le_bytes(&mut bytes);
        bytes
    };
    let (got_bytes, want_bytes, size) = (bytes(got), bytes(want), want.dtype().size() as usize);
    let elements = got_bytes.chunks(size).zip(want_bytes.chunks(size));
    let Some((at, _)) = elements.enumerate().find(|(_, (got, want))| got != want) else { return Ok(()) };
    match (floats(got), floats(want)) {
        (Some(got), Some(want)) => Err(format!("element {at} is {:?}, not {:?}", got[at], want[at])),
        _ => Err(format!(
            "element {at} is {:x?}, not {:x?}",
            &got_bytes[at * size..][..size],
            &want_bytes[at * size..][..size]
        )),
    }
}

fn near(got: &[f64], want: &[f64], tolerance: f64) -> Result<(), String> {
    let largest = want.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
        let same = got == want || (got.is_nan() && want.is_nan());
        let is_near = (got - want).abs() <= tolerance * largest;
        if !same && !is_near {
            return Err(format!("element {at} is {got:?}, not {want:?}, beside a largest of {largest:e}"));
        }
    }
    Ok(())
}

/// Values of a floating type.
fn floats(values: &Values) -> Option<Vec<f64>> {
    match values {
        Values::F32(values) => Some(values.iter().map(|x| f64::from(*x)).collect()),
        Values::Bf16(values) => Some(values.iter().map(|x| bf16::from_bits(*x).to_f64()).collect()),
        Values::U32(_) | Values::F16(_) | Values::U8(_) | Values::I64(_) | Values::Bool(_) => None,
    }
}
