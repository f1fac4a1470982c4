//! Checks the SDK's functions against plain loops, in every dtype keeps a buffer, then trains a bigram table.
use guest_sdk::prelude::*;

/// Panics with the name of what differs.
#[track_caller]
fn same(name: &str, got: &Tensor, shape: &[usize], want: &[f32]) {
    assert_eq!(got.shape(), shape, "shape of {name}");
    let got = got.cast(DType::F32).read();
    let near = |(g, w): (&f32, &f32)| (g - w).abs() <= 2e-5 * (1.0 + w.abs());
    assert!(got.iter().zip(want).all(near) && got.len() == want.len(), "{name}: {got:?} instead of {want:?}");
}

/// 2×3: some values without pattern.
const X: [f32; 6] = [0.5, -1.25, 2.0, 3.0, 0.25, -0.75];

fn x() -> Tensor {
    Tensor::from_f32([2, 3], &X)
}

fn creation() {
    same("zeros", &Tensor::zeros([2, 1]), &[2, 1], &[0.0, 0.0]);
    same("ones", &Tensor::ones([2]), &[2], &[1.0, 1.0]);
    same("arange", &Tensor::arange(3), &[3], &[0.0, 1.0, 2.0]);
    same("from_i64", &Tensor::from_i64([2], &[-7, 9]), &[2], &[-7.0, 9.0]);
    for (rows, cols) in [(7, 7), (5, 12), (12, 5)] {
        let q = Tensor::orthogonal(rows, cols);
        let product = if rows <= cols { q.linear(&q) } else { q.matmul_transposed(&q, true, false) };
        let n = rows.min(cols);
        let identity: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect();
        same("orthogonal", &product, &[n, n], &identity);
    }
}

/// A stream goes on where it was left, whatever is drawn from others in between.
fn randomness() {
    const POSITIONS: usize = 8;
    let (quiet, busy) = (RandomStream::new(7), RandomStream::new(8));
    let first = quiet.normal([POSITIONS], 0.0, 1.0).read();
    busy.uniform([5], -1.0, 1.0);
    Tensor::normal([3], 0.0, 1.0);
    let second = quiet.normal([POSITIONS], 0.0, 1.0).read();
    assert_ne!(first, second);
    let other = RandomStream::new(9).normal([2 * POSITIONS], 0.0, 1.0).read();
    assert_ne!(other, [first, second].concat(), "streams 7 and 9 are alike");
    let values = busy.uniform([100], 2.0, 3.0).read();
    assert!(values.iter().all(|x| (2.0..3.0).contains(x)), "{values:?}");
    let q = busy.orthogonal(3, 3);
    same("orthogonal of a stream", &q.linear(&q), &[3, 3], &identity(3));
}

fn shapes() {
    let x = x();
    same("unsqueeze", &x.unsqueeze(1), &[2, 1, 3], &X);
    same("pad", &x.pad(1, 1, 0).narrow(0, 0, 1), &[1, 4], &[0.0, 0.5, -1.25, 2.0]);
    let stacked = Tensor::stack(&[&x, &x], 1);
    same("stack", &stacked.narrow(0, 0, 1), &[1, 2, 3], &[0.5, -1.25, 2.0, 0.5, -1.25, 2.0]);
    let parts = x.split(1, [1, 2]);
    same("split", &parts[0], &[2, 1], &[0.5, 3.0]);
    same("split", &parts[1], &[2, 2], &[-1.25, 2.0, 0.25, -0.75]);
    same("flip", &x.flip(1), &[2, 3], &[2.0, -1.25, 0.5, -0.75, 0.25, 3.0]);
    same("flip", &x.flip(0), &[2, 3], &[3.0, 0.25, -0.75, 0.5, -1.25, 2.0]);
    same("roll", &x.roll(1, 1), &[2, 3], &[2.0, 0.5, -1.25, -0.75, 3.0, 0.25]);
    same("roll", &x.roll(1, -1), &[2, 3], &[-1.25, 2.0, 0.5, 0.25, -0.75, 3.0]);
    same("roll", &x.roll(0, 2), &[2, 3], &X);
    same("tril", &x.tril(0), &[2, 3], &[0.5, 0.0, 0.0, 3.0, 0.25, 0.0]);
    same("tril", &x.tril(-1), &[2, 3], &[0.0, 0.0, 0.0, 3.0, 0.0, 0.0]);
    same("triu", &x.triu(1), &[2, 3], &[0.0, -1.25, 2.0, 0.0, 0.0, -0.75]);
}

fn elementwise() {
    let x = x();
    let each = |f: fn(f32) -> f32| X.map(f);
    same("sign", &x.sign(), &[2, 3], &each(f32::signum));
    same("floor", &x.floor(), &[2, 3], &each(f32::floor));
    same("ceil", &x.ceil(), &[2, 3], &each(f32::ceil));
    same("round", &x.round(), &[2, 3], &each(f32::round_ties_even));
    same("clamp", &x.clamp(-1.0, 1.0), &[2, 3], &each(|x| x.clamp(-1.0, 1.0)));
    same("pow", &x.pow(3.0), &[2, 3], &each(|x| x * x * x));
    same("maximum", &x.maximum(0.1), &[2, 3], &each(|x| x.max(0.1)));
    same("lerp", &x.lerp(&Tensor::ones([2, 3]), 0.25), &[2, 3], &each(|x| x + (1.0 - x) * 0.25));
    same("gt", &x.gt(0.25), &[2, 3], &each(|x| f32::from(u8::from(x > 0.25))));
    same("not", &!x.gt(0.25), &[2, 3], &each(|x| f32::from(u8::from(x <= 0.25))));
    let chosen = x.lt(0.0).select(&-&x, &(&x * 2.0));
    same("select", &chosen, &[2, 3], &each(|x| if x < 0.0 { -x } else { x * 2.0 }));
    let n = Tensor::arange(6);
    same("hash", &((&n * Tensor::from_u32([], &[7])) ^ 5u32).rem(4u32), &[6], &[1.0, 2.0, 3.0, 0.0, 1.0, 2.0]);
    same("shift", &((&n << 3u32) >> 1u32), &[6], &[0.0, 4.0, 8.0, 12.0, 16.0, 20.0]);
    same("bits", &((&n & 3u32) | 8u32), &[6], &[8.0, 9.0, 10.0, 11.0, 8.0, 9.0]);
    same("integer numbers", &((&n * 7 + 3) / 2 - 1), &[6], &[0.0, 4.0, 7.0, 11.0, 14.0, 18.0]);
    same("number first", &(5 - &n), &[6], &[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
    same("integer number of f32", &(&x * 2), &[2, 3], &each(|x| 2.0 * x));
    same("by zero", &(60u32 / n.cast(DType::U8)), &[6], &[0.0, 60.0, 30.0, 20.0, 15.0, 12.0]);
    same("i64", &(n.cast(DType::I64) % 4u32), &[6], &[0.0, 1.0, 2.0, 3.0, 0.0, 1.0]);
    same("bf16", &Tensor::from_f32([2], &[1.003, 3.0]).cast(DType::Bf16), &[2], &[1.0, 3.0]);
}

fn reductions() {
    let x = x();
    let row = |i: usize| &X[3 * i..3 * i + 3];
    let mean = |i: usize| row(i).iter().sum::<f32>() / 3.0;
    let variance = |i: usize| row(i).iter().map(|x| (x - mean(i)).powi(2)).sum::<f32>() / 3.0;
    let all = |i: usize| row(i).iter().map(|x| x.exp()).sum::<f32>().ln();
    let norm = |i: usize| row(i).iter().map(|x| x * x).sum::<f32>().sqrt();
    same("max", &x.max(), &[], &[3.0]);
    same("min", &x.min(), &[], &[-1.25]);
    same("max_over", &x.max_over([0]), &[1, 3], &[3.0, 0.25, 2.0]);
    same("min_over", &x.min_over([1]), &[2, 1], &[-1.25, -0.75]);
    same("var_over", &x.var_over([1]), &[2, 1], &[variance(0), variance(1)]);
    same("norm_over", &x.norm_over([1]), &[2, 1], &[norm(0), norm(1)]);
    same("norm", &x.norm(), &[], &[(norm(0).powi(2) + norm(1).powi(2)).sqrt()]);
    same("cumsum", &x.cumsum(1), &[2, 3], &[0.5, -0.75, 1.25, 3.0, 3.25, 2.5]);
    same("logsumexp", &x.logsumexp(), &[2], &[all(0), all(1)]);
    let rest: Vec<f32> = (0..6).map(|i| X[i] - all(i / 3)).collect();
    same("log_softmax", &x.log_softmax(), &[2, 3], &rest);
    for large in [1e4, 1e8, -1e8] {
        let equal = Tensor::full([2, 2], large);
        same("log_softmax of large equals", &equal.log_softmax(), &[2, 2], &[-std::f32::consts::LN_2; 4]);
    }
    let normed: Vec<f32> = (0..6).map(|i| (X[i] - mean(i / 3)) / (variance(i / 3) + 1e-5).sqrt()).collect();
    same("layer_norm", &x.layer_norm(1e-5), &[2, 3], &normed);
}

fn indexing() {
    let x = x();
    let places = Tensor::from_u32([2], &[2, 0]);
    same("index_select", &x.index_select(1, &places), &[2, 2], &[2.0, 0.5, -0.75, 3.0]);
    same("gather", &x.gather(1, &places.reshape([2, 1])), &[2, 1], &[2.0, 3.0]);
    let sum = x.scatter_add(1, &Tensor::from_u32([2, 2], &[0, 0, 1, 2]), &Tensor::ones([2, 2]));
    same("scatter_add", &sum, &[2, 3], &[2.5, -1.25, 2.0, 3.0, 1.25, 0.25]);
    same("one_hot", &places.one_hot(3), &[2, 3], &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    same("argmax", &x.argmax(1), &[2], &[2.0, 0.0]);
    same("argmin", &x.argmin(0), &[3], &[0.0, 0.0, 1.0]);
    let (values, order) = x.sort(false);
    same("sort", &values, &[2, 3], &[-1.25, 0.5, 2.0, -0.75, 0.25, 3.0]);
    same("sort", &order, &[2, 3], &[1.0, 0.0, 2.0, 2.0, 1.0, 0.0]);
    let (values, order) = x.topk(2);
    same("topk", &values, &[2, 2], &[2.0, 0.5, 3.0, 0.25]);
    same("topk", &order, &[2, 2], &[2.0, 0.0, 0.0, 1.0]);
}

fn networks() {
    let x = x();
    let w = Tensor::from_f32([4, 3], &[0.1, 0.2, -0.3, 0.4, 0.5, 0.6, -0.7, 0.8, 0.9, -1.0, 1.1, 1.2]);
    let targets = Tensor::from_u32([2], &[1, 3]);
    let parts = x.linear(&w).cross_entropy_with(&targets, 2.0, 0.01).item();
    same("linear_cross_entropy", &x.linear_cross_entropy(&w, &targets, 2.0, 0.01), &[], &[parts]);
    let polar = Tensor::normal([6, 10], 0.0, 1.0).orthogonalize(&POLAR_EXPRESS);
    let product = polar.linear(&polar);
    let off = (&product - Tensor::from_f32([6, 6], &identity(6))).abs().max().item();
    assert!(off < 0.4, "polar express: {off}");
    let q = Tensor::normal([1, 4, 2, 4], 0.0, 1.0);
    let all = q.attention_with(&q, &q, false, 0, 0.0);
    let mean = q.mean_over([1]).expand([1, 4, 2, 4]).read();
    same("attention to all alike", &all, &[1, 4, 2, 4], &mean);
}

fn identity(n: usize) -> Vec<f32> {
    (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect()
}

/// Gradients through checkpoints, accumulation and clipping; snapshots and averages.
fn learning(net: &mut Net) {
    net.parameter("check", "w", x());
    let w = net.weight("w");
    let loss = |w: &Tensor| (w.linear(w).tanh() * 2.0).sum();
    let plain = loss(&w).backward().of(&w).read();
    let again = checkpoint(|| loss(&w)).backward();
    same("checkpoint", again.of(&w), &[2, 3], &plain);
    let mut sum = loss(&w).backward();
    sum.accumulate(loss(&w).backward());
    sum.scale(0.5);
    same("accumulate", sum.of(&w), &[2, 3], &plain);
    sum.clip(0.1);
    let others = sum.norm().item();
    assert!((others - 0.1).abs() < 1e-4, "clipped to {others}");
    let before = Snapshot::of(&[w.clone()]);
    let mut average = Average::of(&[w.clone()]);
    w.assign(&Tensor::zeros([2, 3]));
    average.update(0.75);
    average.store();
    same("average", &w, &[2, 3], &X.map(|x| 0.75 * x));
    before.restore();
    same("snapshot", &w, &[2, 3], &X);
}

/// One step of Muon, with and without what is published about it, by its formulas.
fn muon(net: &mut Net) {
    const W: [f32; 6] = [1.0, -0.5, 0.25, -2.0, 0.75, 1.5];
    let (lr, decay, memory) = (0.1, 0.5, 0.8);
    let root = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
    let cases = [(false, false, false), (true, false, false), (false, true, false), (false, false, true), (true, true, true)];
    for (index, (equal, normal, cautious)) in cases.into_iter().enumerate() {
        net.parameter("muon", ("muon", index), Tensor::from_f32([2, 3], &W));
        let weight = net.weight(("muon", index));
        let mut muon = Muon::new(vec![weight.clone()], 0.5, 5, decay);
        if equal {
            muon = muon.equal_rows();
        }
        if normal {
            muon = muon.normalize_rows(memory);
        }
        if cautious {
            muon = muon.cautious();
        }
        muon.set_momentum(0.9);
        muon.step(&(&weight * x()).sum().backward(), lr);

        // The gradient is X; the velocity was 0.
        let mut ahead = X.map(|g| 0.1 * g + 0.9 * 0.1 * g);
        if equal {
            ahead.chunks_mut(3).for_each(|row| {
                let norm = root(row);
                row.iter_mut().for_each(|x| *x /= norm);
            });
        }
        let mut update = Tensor::from_f32([2, 3], &ahead).orthogonalize(&[JORDAN; 5]).read();
        if normal {
            let before = root(&update);
            update.chunks_mut(3).for_each(|row| {
                let norm = root(row) * ((1.0 - memory) / 3.0).sqrt();
                row.iter_mut().for_each(|x| *x /= norm);
            });
            let factor = before / root(&update);
            update.iter_mut().for_each(|x| *x *= factor);
        }
        let decayed = |w: f32, u: f32| if !cautious || u * w > 0.0 { decay * w } else { 0.0 };
        let want: Vec<f32> = W.iter().zip(&update).map(|(w, u)| w - lr * decayed(*w, *u) - lr * u).collect();
        same("muon", &weight, &[2, 3], &want);
    }

    net.parameter("muon", "blocks", Tensor::zeros([4, 3]));
    let weight = net.weight("blocks");
    let two = Tensor::cat(&[&x(), &(x() * 5.0)], 0);
    let grads = (&weight * &two).sum().backward();
    Muon::new(vec![weight.clone()], 0.0, 5, 0.0).in_blocks(2).step(&grads, 1.0);
    let rate = (4.0f32 / 3.0).sqrt();
    let block = x().orthogonalize(&[JORDAN; 5]).read().into_iter().map(|u| -rate * u).collect::<Vec<_>>();
    same("blocks", &weight, &[4, 3], &[&block[..], &block[..]].concat());
}

/// Two steps of AdamW, whose second group has betas and decay of its own.
fn adam(net: &mut Net) {
    let (lr, groups) = (0.1f32, [("first", 0.9f32, 0.95f32, 0.0f32), ("second", 0.5, 0.8, 0.3)]);
    for (name, ..) in groups {
        net.parameter("adam", name, x());
    }
    let [first, second] = groups.map(|(name, ..)| net.weight(name));
    let mut adam = AdamW::new(0.9, 0.95, 0.0)
        .group(vec![first.clone()], lr)
        .group(vec![second.clone()], lr)
        .with_betas(0.5, 0.8)
        .with_weight_decay(0.3);
    for times in [1.0, 2.0] {
        adam.step(&((&first + &second) * x() * times).sum().backward(), 1.0);
    }
    for ((name, beta1, beta2, decay), weight) in groups.into_iter().zip([first, second]) {
        let step = |w: f32, m: f32, v: f32| w - lr * decay * w - lr * m / v.sqrt();
        let want = X.map(|g| {
            let w = step(g, g, g * g);
            let m = (beta1 * (1.0 - beta1) * g + (1.0 - beta1) * 2.0 * g) / (1.0 - beta1 * beta1);
            let v = (beta2 * (1.0 - beta2) * g * g + (1.0 - beta2) * 4.0 * g * g) / (1.0 - beta2 * beta2);
            step(w, m, v)
        });
        same(name, &weight, &[2, 3], &want);
    }
}

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens) + net.weight("shift.bf16").cast(DType::F32).sum() * 0.0
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    for (key, dtype) in [
        ("shift.bf16", DType::Bf16),
        ("shift.f16", DType::F16),
        ("count.u8", DType::U8),
        ("count.u32", DType::U32),
        ("count.i64", DType::I64),
        ("flag.bool", DType::Bool),
    ] {
        net.buffer(key, Tensor::from_f32([3], &[0.0, 1.0, 2.5]).cast(dtype));
    }
    creation();
    randomness();
    shapes();
    elementwise();
    reductions();
    indexing();
    networks();
    learning(&mut net);
    muon(&mut net);
    adam(&mut net);
    net.parameter("tables", "table", Tensor::zeros([vocab, vocab]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("tables"), 0.1);
    while let Some(batch) = lab.next_batch(8, 32) {
        let loss = net.embed("table", &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
