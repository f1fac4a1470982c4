//! The CPU engine against PyTorch: losses and gradients of the yardstick's model at its smallest size, from the same
//! weights and tokens. The reference was computed by `measure/peers/torch_step.py eager tiny` on what `step tiny
//! --write` writes, on PyTorch 2.15.

#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../examples/step/gpt.rs"]
mod gpt;
#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../examples/step/inputs.rs"]
mod inputs;
#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../examples/step/lab.rs"]
mod lab;

use gpt::{Gpt, SIZES, Sizes};
use inputs::Inputs;
use lab::Lab;

/// Losses of eight steps from the first.
const LOSSES: [f64; 8] = [2.7715783, 2.7731092, 2.7739847, 2.774868, 2.7542312, 2.761059, 2.7632945, 2.7656887];
/// Gradients of the first step, in the order of the weights: f32, little-endian.
const GRADIENTS: &[u8] = include_bytes!("gradients.bin");

fn tiny() -> (Sizes, Lab) {
    let sizes = SIZES.into_iter().find(|s| s.name == "tiny").unwrap();
    let lab = Lab::open(&Inputs::make(sizes.layout()), 2, false).unwrap();
    (sizes, lab)
}

#[test]
fn losses_are_those_of_pytorch() {
    let (sizes, lab) = tiny();
    let mut gpt = Gpt::new(&lab, sizes).unwrap();
    for _ in LOSSES {
        gpt.step(&mut |_| Ok(())).unwrap();
    }
    lab.flush().unwrap();
    for (step, (ours, theirs)) in lab.losses().into_iter().zip(LOSSES).enumerate() {
        assert!((ours - theirs).abs() < 2e-5, "step {step}: {ours} and {theirs}");
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    let (sizes, lab) = tiny();
    let ours = Gpt::new(&lab, sizes).unwrap().first_gradients().unwrap();
    let theirs: Vec<f32> = GRADIENTS.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(ours.len(), theirs.len());
    let mut at = 0;
    for (name, [rows, columns]) in sizes.parameters() {
        let range = at..at + (rows * columns) as usize;
        at = range.end;
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let apart = norm(&mut ours[range.clone()].iter().zip(&theirs[range.clone()]).map(|(a, b)| a - b));
        let size = norm(&mut theirs[range].iter().copied());
        assert!(apart < 1e-4 * size, "{name}: {apart} apart, of {size}");
    }
}
