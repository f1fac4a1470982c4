//! Comparisons, choices, powers, order, running sums and indexing.

use super::reference::Array;
use super::{cases, check, executors, run, shape};
use kernels::op::{Binary, Compare, Op};
use kernels::spec::{Spec, Values};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn row(data: &[f64]) -> Array {
    Array { dims: vec![data.len()], data: data.to_vec() }
}

#[test]
fn comparisons_and_choices_broadcast() {
    cases(|s| {
        let wide = s.dims(1..=4, 5);
        let narrow: Vec<u32> = wide.iter().map(|&size| if s.coin() { 1 } else { size }).collect();
        let gone = s.size(0..=wide.len() as u32) as usize;
        let (a, b) = (s.indices(&narrow, 3), s.indices(&wide[gone..], 3));
        for f in Compare::ALL {
            check(&Op::Compare(f), &[a.clone(), b.clone()]);
        }
        let condition = s.mask(&narrow);
        check(&Op::Select, &[condition, s.around_zero(&wide, 2), s.around_zero(&wide[gone..], 2)]);
    });
    for f in Compare::ALL {
        let odd = [NAN, 0.0, -0.0, INF, -INF, 1.0];
        let column = Array { dims: vec![6, 1], data: odd.to_vec() };
        check(&Op::Compare(f), &[row(&odd), column]);
    }
}

#[test]
fn powers_and_their_gradients() {
    cases(|s| {
        let dims = s.dims(0..=3, 6);
        let (a, b, dy) = (s.positive(&dims), s.around_zero(&dims, 3), s.around_zero(&dims, 1));
        check(&Op::Binary(Binary::Pow), &[a.clone(), b.clone()]);
        check(&Op::PowGrad { exponent: false }, &[a.clone(), b.clone(), dy.clone()]);
        check(&Op::PowGrad { exponent: true }, &[a, b, dy]);
    });
    let (a, b) = (row(&[-2.0, -2.0, 0.0, 0.0, INF, -1.0, NAN]), row(&[3.0, 0.5, 2.0, 0.0, -1.0, INF, 0.0]));
    check(&Op::Binary(Binary::Pow), &[a, b]);
}

#[test]
fn a_power_s_gradient_at_zero_is_a_number() {
    let operand = |values: &[f32]| (Spec::f32(shape(&[2])), Values::F32(values.to_vec()));
    for mut executor in executors() {
        let operands = [operand(&[0.0, 0.0]), operand(&[0.0, 2.0]), operand(&[1.0, 1.0])];
        for exponent in [false, true] {
            let got = run(executor.as_mut(), &Op::PowGrad { exponent }, &operands, None).unwrap();
            assert_eq!(got, [Values::F32(vec![0.0, 0.0])], "{}", executor.class());
        }
    }
}

#[test]
fn extremes_over_axes() {
    cases(|s| {
        let dims = s.dims(0..=4, 5);
        let x = s.around_zero(&dims, 2);
        for chosen in 0..1u32 << dims.len() {
            let axes = || (0..dims.len() as u32).filter(|axis| chosen >> axis & 1 == 1).collect();
            for keep in [false, true] {
                check(&Op::Max { axes: axes(), keep }, std::slice::from_ref(&x));
                check(&Op::Min { axes: axes(), keep }, std::slice::from_ref(&x));
            }
        }
    });
    for op in [
        Op::Max { axes: [0].into_iter().collect(), keep: false },
        Op::Min { axes: [0].into_iter().collect(), keep: true },
    ] {
        check(&op, &[row(&[1.0, NAN, 3.0])]);
        check(&op, &[row(&[-INF, INF])]);
    }
}

#[test]
fn order_is_stable_and_puts_nan_last() {
    cases(|s| {
        let dims = s.dims(1..=3, 9);
        let x = s.indices(&dims, 5);
        for axis in 0..dims.len() as u32 {
            check(&Op::ArgMax { axis }, std::slice::from_ref(&x));
        }
        check(&Op::ArgSort { descending: false }, std::slice::from_ref(&x));
        check(&Op::ArgSort { descending: true }, &[x]);
    });
    let odd = row(&[1.0, NAN, -0.0, 0.0, -INF, 1.0, NAN, INF]);
    for descending in [false, true] {
        check(&Op::ArgSort { descending }, std::slice::from_ref(&odd));
    }
    check(&Op::ArgMax { axis: 0 }, &[odd]);
}

#[test]
fn running_sums() {
    cases(|s| {
        let dims = s.dims(1..=3, 6);
        let x = s.around_zero(&dims, 2);
        for axis in 0..dims.len() as u32 {
            for reverse in [false, true] {
                check(&Op::CumSum { axis, reverse }, std::slice::from_ref(&x));
            }
        }
        check(&Op::LogSumExp, &[x]);
    });
    let long = super::reference::sample::Sample::new(3).around_zero(&[2, 1000], 2);
    check(&Op::CumSum { axis: 1, reverse: false }, std::slice::from_ref(&long));
    check(&Op::CumSum { axis: 1, reverse: true }, &[long]);
    check(&Op::LogSumExp, &[row(&[1000.0, 1000.0])]);
    check(&Op::LogSumExp, &[row(&[-INF, 2.0])]);
}

#[test]
fn gathering_and_scattering() {
    cases(|s| {
        let dims = s.dims(1..=3, 5);
        let x = s.around_zero(&dims, 2);
        for axis in 0..dims.len() {
            let mut picked = dims.clone();
            picked[axis] = s.size(1..=7);
            let indices = s.indices(&picked, dims[axis]);
            let axis = axis as u32;
            check(&Op::Gather { axis }, &[x.clone(), indices.clone()]);
            check(&Op::ScatterAdd { axis }, &[x.clone(), indices, s.around_zero(&picked, 2)]);
        }
    });
}

#[test]
fn layer_norm_and_its_gradient() {
    cases(|s| {
        let mut dims = s.dims(0..=2, 5);
        dims.push(s.size(2..=9));
        let (x, dy) = (s.around_zero(&dims, 2), s.around_zero(&dims, 2));
        check(&Op::LayerNorm { eps: 0.1 }, std::slice::from_ref(&x));
        check(&Op::LayerNormGrad { eps: 0.1 }, &[x, dy]);
    });
}
