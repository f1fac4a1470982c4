//! One mistake for each context length, and behind it what is said of it. `tests/sdk.rs` makes them all.
use guest_sdk::prelude::*;

fn t(shape: impl AsRef<[usize]>) -> Tensor {
    Tensor::ones(shape)
}

fn ids(shape: impl AsRef<[usize]>) -> Tensor {
    t(shape).cast(DType::U32)
}

fn make(mistake: usize, grads: &Grads) {
    match mistake {
        1 => drop(t([3]).size(1)), // size of [3]: axis 1 does not exist; axes are counted from 0, there are 1
        2 => drop(t([3]).flip(1)), // flip of [3]: axis 1 does not exist
        3 => drop(t([3]).roll(1, 1)), // roll of [3]: axis 1 does not exist
        4 => drop(t([3]).split(1, [3])), // split of [3]: axis 1 does not exist
        5 => drop(t([3, 4]).split(1, [1, 2])), // split of [3, 4]: the lengths make 3, axis 1 has 4
        6 => drop(t([3]).transpose(0, 1)), // transpose of [3]: axis 1 does not exist
        7 => drop(t([3]).unsqueeze(2)), // unsqueeze of [3]: axis 2 must be at most 1
        8 => drop(Tensor::stack(&[&t([3])], 2)), // unsqueeze of [3]: axis 2 must be at most 1
        9 => drop(t([3]).tril(0)), // tril of [3]: at least 2 axes are needed
        10 => drop(t([2, 3, 6]).heads(0)), // heads of [2, 3, 6]: the width 6 does not divide into heads of 0
        11 => drop(t([6]).heads(2)), // heads of [6]: [batch, time, width] is needed
        12 => drop(t([6]).merge_heads()), // merge_heads of [6]: [batch, time, heads, dim] is needed
        13 => drop(t([2, 3, 4]).attention(&t([2, 3, 4]), &t([2, 3, 4]), 0)), // attention of [2, 3, 4]: [batch, time, h
        14 => drop(t([2, 3]).index_select(1, &ids([2, 2]))), // index_select of [2, 3] by indices [2, 2]: they must
        15 => drop(t([2, 3]).index_select(1, &ids([]))), // index_select of [2, 3] by indices []: they must be [k]
        16 => drop(t([]).index_select(0, &ids([1]))), // index_select of []: axis 0 does not exist
        17 => drop(t([2]).one_hot(3)), // one_hot of [2]: u32 and at least one class are needed
        18 => drop(ids([2]).argmin(0)), // argmin of [2]: it must be f32; cast it first
        19 => drop(t([3]).topk(4)), // topk of [3]: k is 4; it must be 1 to 3, the last axis
        20 => drop(t([3, 3]).newton_schulz(1_000_000_000)), // newton_schulz: 1000000000 steps; at most 64 are allowed
        21 => drop(Muon::new(vec![t([3])], 0.9, 5, 0.0)), // Muon::new of [3]: matrices [rows, cols] are needed
        22 => drop(Muon::new(vec![], 0.9, 65, 0.0)), // Muon::new: 65 steps; at most 64 are allowed
        23 => drop(grads.of(&t([3]))), // backward: no gradient by a tensor
        24 => AdamW::new(0.9, 0.9, 0.0).group(vec![t([3])], 0.1).step(grads, 1.0), // backward: no gradient by a tensor
        25 => drop(!t([3])), // ! of [3]: it must be bool
        26 => drop(ids([3]).sum_over([])), // a reduction of [3] over no axes: it must be f32
        27 => drop(Tensor::uniform([3], -3e38, 3e38)), // uniform: no range from -3e38 to 3e38
        28 => drop(Tensor::zeros([3, 0])), // full: [3,0] has size 0 at axis 1; every size must be at least 1
        29 => drop(Tensor::zeros([65_536, 65_536])), // full: [65536,65536] has more than 2^31 elements
        30 => drop(Tensor::ones([1; 7])), // full: [1,1,1,1,1,1,1] has 7 axes; at most 6 are allowed
        31 => drop(t([3, 3]).sum_over([0, 0])), // sum: axes [0,0] must rise; each is given once
        32 => drop(t([3]) + t([4])), // add of [3] and [4]: the shapes do not broadcast
        33 => drop(t([2]).item()), // item() of a tensor of shape [2]: it takes exactly one element
        34 => drop(std::time::Instant::now()), // time not implemented on this platform
        _ => panic!("no such mistake"),
    }
}

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let Task { vocab, context, .. } = lab.task();
    let mut net = Net::new();
    net.parameter("tables", "table", Tensor::zeros([vocab, vocab]));
    make(context, &net.weight("table").sum().backward());
}

guest!(train, model);
