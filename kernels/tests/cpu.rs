//! The CPU executor against plain f64 references, and gradients against finite differences.

mod common;

use common::{indices, run, values};
use kernels::cpu::CpuExecutor;
use kernels::fault::Fault;
use kernels::op::{AdamW, Attention, Loss, Op, Unary};
use kernels::spec::{Shape, Spec, Values};
use smallvec::smallvec;

type Operand = (Spec, Values);

/// The values as f64.
fn f64s(values: &Values) -> Vec<f64> {
    match values {
        Values::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        Values::U32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        other => panic!("{:?}", other.dtype()),
    }
}

fn one(op: &Op, inputs: &[Operand]) -> Vec<f64> {
    let mut executor = CpuExecutor::new(2, 42).unwrap();
    f64s(&run(&mut executor, op, inputs).unwrap()[0])
}

#[track_caller]
fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "element {i}: {g}, wanted {w}");
    }
}

/// a·b with sizes m, n, k.
fn product(a: &[f64], b: &[f64], (m, n, k): (usize, usize, usize), ta: bool, tb: bool) -> Vec<f64> {
    let a = |i: usize, p: usize| if ta { a[p * m + i] } else { a[i * k + p] };
    let b = |p: usize, j: usize| if tb { b[j * k + p] } else { b[p * n + j] };
    (0..m * n).map(|e| (0..k).map(|p| a(e / n, p) * b(p, e % n)).sum()).collect()
}

#[test]
fn matmul() {
    for (m, n, k) in [(1, 1, 1), (5, 33, 7), (131, 65, 300), (97, 16, 513), (6, 200, 256)] {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let dims = |t: bool, r: usize, c: usize| if t { [c as u32, r as u32] } else { [r as u32, c as u32] };
            let (a, b) = (values(&dims(ta, m, k), 1), values(&dims(tb, k, n), 2));
            let want = product(&f64s(&a.1), &f64s(&b.1), (m, n, k), ta, tb);
            close(&one(&Op::MatMul { transpose_a: ta, transpose_b: tb }, &[a, b]), &want, 1e-4);
        }
    }
}

#[test]
fn batched_matmul() {
    let (m, n, k) = (7usize, 19usize, 11usize);
    for (ta, shared) in [(false, true), (true, true), (false, false), (true, false)] {
        let a = values(&if ta { [3, 11, 7] } else { [3, 7, 11] }, 1);
        let b = if shared { values(&[11, 19], 2) } else { values(&[3, 11, 19], 2) };
        let (av, bv) = (f64s(&a.1), f64s(&b.1));
        let each = |i: usize| {
            let b = if shared { &bv[..] } else { &bv[i * k * n..(i + 1) * k * n] };
            product(&av[i * m * k..(i + 1) * m * k], b, (m, n, k), ta, false)
        };
        let want: Vec<f64> = (0..3).flat_map(each).collect();
        close(&one(&Op::MatMul { transpose_a: ta, transpose_b: false }, &[a, b]), &want, 1e-4);
    }
}

#[test]
fn moves() {
    let x = values(&[2, 3, 5], 1);
    let v = f64s(&x.1);
    let at = |a: usize, b: usize, c: usize| v[(a * 3 + b) * 5 + c];
    let want: Vec<f64> = (0..30).map(|i| at(i / 3 % 2, i % 3, i / 6)).collect();
    close(&one(&Op::Permute { axes: smallvec![2, 0, 1] }, std::slice::from_ref(&x)), &want, 0.0);
    let want: Vec<f64> = (0..12).map(|i| at(i / 6, i / 2 % 3, 3 + i % 2)).collect();
    close(&one(&Op::Narrow { axis: 2, start: 3, len: 2 }, std::slice::from_ref(&x)), &want, 0.0);
    let y = values(&[2, 1, 5], 2);
    let w = f64s(&y.1);
    let want: Vec<f64> =
        (0..40).map(|i| if i / 5 % 4 < 3 { at(i / 20, i / 5 % 4, i % 5) } else { w[i / 20 * 5 + i % 5] }).collect();
    close(&one(&Op::Cat { axis: 1 }, &[x.clone(), y.clone()]), &want, 0.0);
    let want: Vec<f64> = (0..60).map(|i| w[i / 5 / 3 % 2 * 5 + i % 5]).collect();
    close(&one(&Op::Expand { shape: Shape::new(&[2, 2, 3, 5]).unwrap() }, &[y]), &want, 0.0);
    let want: Vec<f64> = (0..3).map(|b| (0..10).map(|i| at(i / 5, b, i % 5)).sum()).collect();
    close(&one(&Op::Sum { axes: smallvec![0, 2], keep: false }, std::slice::from_ref(&x)), &want, 1e-5);
    let want: Vec<f64> = want.iter().map(|s| s / 10.0).collect();
    close(&one(&Op::Mean { axes: smallvec![0, 2], keep: true }, &[x]), &want, 1e-5);
}

/// Attention by its formula, for q [t, h, d] and k, v [t, g, d].
fn attention(q: &[f64], k: &[f64], v: &[f64], (t, h, g, d): (usize, usize, usize, usize), window: usize) -> Vec<f64> {
    let mut y = vec![0.0; q.len()];
    for (i, head) in (0..t).flat_map(|i| (0..h).map(move |head| (i, head))) {
        let group = head / (h / g);
        let first = if window == 0 { 0 } else { (i + 1).saturating_sub(window) };
        let score =
            |j: usize| (0..d).map(|e| q[(i * h + head) * d + e] * k[(j * g + group) * d + e]).sum::<f64>() * 0.5;
        let weights: Vec<f64> = (first..=i).map(|j| score(j).exp()).collect();
        let total: f64 = weights.iter().sum();
        for e in 0..d {
            let sum: f64 = weights.iter().enumerate().map(|(j, w)| w * v[((first + j) * g + group) * d + e]).sum();
            y[(i * h + head) * d + e] = sum / total;
        }
    }
    y
}

#[test]
fn attention_and_its_gradient() {
    let (t, h, g, d) = (71, 4, 2, 6);
    for window in [0, 3, 66] {
        let (q, k, v) = (values(&[1, 71, 4, 6], 1), values(&[1, 71, 2, 6], 2), values(&[1, 71, 2, 6], 3));
        let dy = values(&[1, 71, 4, 6], 4);
        let mut executor = CpuExecutor::new(2, 42).unwrap();
        let op = Op::Attention(Attention { causal: true, window, scale: 0.5 });
        let made = run(&mut executor, &op, &[q.clone(), k.clone(), v.clone()]).unwrap();
        let mut x = [f64s(&q.1), f64s(&k.1), f64s(&v.1)];
        let f = |x: &[Vec<f64>; 3]| attention(&x[0], &x[1], &x[2], (t, h, g, d), window as usize);
        close(&f64s(&made[0]), &f(&x), 1e-5);

        let lse = (Spec::f32(Shape::new(&[1, 4, 71]).unwrap()), made[1].clone());
        let inputs = [q.clone(), k, v, (q.0, made[0].clone()), lse, dy.clone()];
        let grads =
            run(&mut executor, &Op::AttentionGrad(Attention { causal: true, window, scale: 0.5 }), &inputs).unwrap();
        let dy = f64s(&dy.1);
        for which in 0..3 {
            let grad = f64s(&grads[which]);
            for i in (0..grad.len()).step_by(37) {
                let mut loss = |step: f64| {
                    x[which][i] += step;
                    let loss: f64 = f(&x).iter().zip(&dy).map(|(y, dy)| y * dy).sum();
                    x[which][i] -= step;
                    loss
                };
                let want = (loss(1e-5) - loss(-1e-5)) / 2e-5;
                assert!((grad[i] - want).abs() < 1e-4 * (1.0 + want.abs()), "{which} {i}: {} {want}", grad[i]);
            }
        }
    }
}

/// The gradient op against central differences of its f32 forward op, in the direction of every fifth element.
#[track_caller]
fn differences(forward: &Op, grad: impl Fn(&Operand, &[f64]) -> Vec<f64>, x: Operand) {
    let Values::F32(at) = &x.1 else { panic!("f32 operands only") };
    let y = one(forward, std::slice::from_ref(&x));
    let got = grad(&x, &y);
    for i in (0..at.len()).step_by(5) {
        let moved = |step: f32| {
            let mut at = at.clone();
            at[i] += step;
            let y = one(forward, &[(x.0.clone(), Values::F32(at))]);
            y.iter().enumerate().map(|(j, y)| y * weight(j)).sum::<f64>()
        };
        let want = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((got[i] - want).abs() < 5e-3 * (1.0 + want.abs()), "{forward:?} {i}: {} {want}", got[i]);
    }
}

fn weight(i: usize) -> f64 {
    f64::from(i as u32 % 5) * 0.25 - 0.4
}

fn as_f32(spec: &Spec, values: impl Iterator<Item = f64>) -> Operand {
    (spec.clone(), Values::F32(values.map(|x| x as f32).collect()))
}

#[test]
fn gradients_agree_with_differences() {
    let positive = |x: Operand| {
        let Values::F32(v) = x.1 else { return x };
        (x.0, Values::F32(v.iter().map(|x| x.abs() + 0.5).collect()))
    };
    let steps = [Unary::Sign, Unary::Floor, Unary::Ceil, Unary::Round];
    for f in Unary::ALL.into_iter().filter(|f| !steps.contains(f)) {
        let x = positive(values(&[3, 13], 1));
        let grad = |x: &Operand, y: &[f64]| {
            let y = as_f32(&x.0, y.iter().copied());
            one(&Op::UnaryGrad(f), &[x.clone(), y, as_f32(&x.0, (0..39).map(weight))])
        };
        differences(&Op::Unary(f), grad, x);
    }
    let dy = |spec: &Spec| as_f32(spec, (0..39).map(weight));
    let x = || values(&[3, 13], 2);
    let of_y = |op: Op| move |x: &Operand, y: &[f64]| one(&op, &[as_f32(&x.0, y.iter().copied()), dy(&x.0)]);
    differences(&Op::Softmax, of_y(Op::SoftmaxGrad), x());
    differences(&Op::Softcap { cap: 1.5 }, of_y(Op::SoftcapGrad { cap: 1.5 }), x());
    let norm = |x: &Operand, _: &[f64]| one(&Op::RmsNormGrad { eps: 0.1 }, &[x.clone(), dy(&x.0)]);
    differences(&Op::RmsNorm { eps: 0.1 }, norm, x());
}

#[test]
fn cross_entropy() {
    let (x, targets) = (values(&[7, 13], 1), indices(&[7], 13));
    for softcap in [0.0, 1.5] {
        let logits = f64s(&x.1);
        let cap = |x: f64| if softcap > 0.0 { f64::from(softcap) * (x / f64::from(softcap)).tanh() } else { x };
        let chosen = f64s(&targets.1);
        let loss = |logits: &[f64]| {
            let rows = logits.chunks(13).zip(&chosen);
            rows.map(|(r, t)| r.iter().map(|x| cap(*x).exp()).sum::<f64>().ln() - cap(r[*t as usize])).sum::<f64>()
                / 7.0
        };
        let mut executor = CpuExecutor::new(2, 42).unwrap();
        let made = run(&mut executor, &Op::CrossEntropy(Loss { softcap, z_loss: 0.0 }), &[x.clone(), targets.clone()])
            .unwrap();
        close(&f64s(&made[0]), &[loss(&logits)], 1e-5);
        let lse = (Spec::f32(Shape::new(&[7]).unwrap()), made[1].clone());
        let dy = (Spec::f32(Shape::scalar()), Values::F32(vec![2.0]));
        let got = one(&Op::CrossEntropyGrad(Loss { softcap, z_loss: 0.0 }), &[x.clone(), targets.clone(), lse, dy]);
        let want: Vec<f64> = (0..logits.len())
            .map(|i| {
                let (mut up, mut down) = (logits.clone(), logits.clone());
                up[i] += 1e-5;
                down[i] -= 1e-5;
                (loss(&up) - loss(&down)) / 1e-5
            })
            .collect();
        close(&got, &want, 1e-5);
    }
}

#[test]
fn rope_turns_and_turns_back() {
    let x = values(&[2, 9, 3, 8], 1);
    let y = one(&Op::Rope { base: 100.0, inverse: false }, std::slice::from_ref(&x));
    let v = f64s(&x.1);
    let want: Vec<f64> = (0..v.len())
        .map(|i| {
            let (t, e) = (i / 24 % 9, i % 8);
            let angle = t as f64 * 100f64.powf(-2.0 * (e % 4) as f64 / 8.0);
            if e < 4 {
                v[i] * angle.cos() - v[i + 4] * angle.sin()
            } else {
                v[i - 4] * angle.sin() + v[i] * angle.cos()
            }
        })
        .collect();
    close(&y, &want, 1e-6);
    close(&one(&Op::Rope { base: 100.0, inverse: true }, &[as_f32(&x.0, y.into_iter())]), &v, 1e-5);
}

#[test]
fn newton_schulz_levels_singular_values() {
    for dims in [[8, 20], [20, 8]] {
        let y = one(&Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 8] }, &[values(&dims, 1)]);
        let energy: f64 = y.iter().map(|x| x * x).sum();
        assert!((8.0 * 0.45..8.0 * 1.5).contains(&energy), "{energy}");
    }
}

#[test]
fn adamw() {
    let step = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-3, weight_decay: 0.2, step: 2 };
    let [x, g, m] = [1, 2, 3].map(|salt| values(&[9], salt));
    let v = (x.0.clone(), Values::F32(vec![0.5; 9]));
    let [xs, gs, ms] = [&x, &g, &m].map(|t| f64s(&t.1));
    let want: Vec<f64> = (0..9)
        .map(|i| {
            let m = (0.9 * ms[i] + 0.1 * gs[i]) / (1.0 - 0.81);
            let v = (0.99 * 0.5 + 0.01 * gs[i] * gs[i]) / (1.0 - 0.9801);
            xs[i] - 0.1 * 0.2 * xs[i] - 0.1 * m / (v.sqrt() + 1e-3)
        })
        .collect();
    close(&one(&Op::AdamW(step), &[x, g, m, v]), &want, 1e-5);
}

#[test]
fn embedding_and_its_faults() {
    let table = values(&[5, 3], 1);
    let v = f64s(&table.1);
    let at = (Spec::u32(Shape::new(&[4]).unwrap()), Values::U32(vec![4, 0, 4, 2]));
    let want: Vec<f64> = [4, 0, 4, 2].iter().flat_map(|i| v[i * 3..i * 3 + 3].to_vec()).collect();
    close(&one(&Op::Embedding, &[table.clone(), at.clone()]), &want, 0.0);
    let ones = (Spec::f32(Shape::new(&[4, 3]).unwrap()), Values::F32(vec![1.0; 12]));
    let want: Vec<f64> = [1.0, 0.0, 1.0, 0.0, 2.0].iter().flat_map(|x| [*x; 3]).collect();
    close(&one(&Op::EmbeddingGrad { rows: 5 }, &[at, ones]), &want, 0.0);

    let beyond = (Spec::u32(Shape::new(&[2]).unwrap()), Values::U32(vec![1, 5]));
    let fault = run(&mut CpuExecutor::new(1, 0).unwrap(), &Op::Embedding, &[table, beyond]).unwrap_err();
    assert!(matches!(&fault, Fault::Execution { reason, .. } if reason == "index 5 at position 1 is not below 5"));
}
