//! Memory as the accounting has it and as the executor uses it; the limit, to the byte.

#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../examples/step/gpt.rs"]
mod gpt;
#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../examples/step/inputs.rs"]
mod inputs;
#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../examples/step/lab.rs"]
mod lab;

use gpt::{Gpt, SIZES};
use inputs::Inputs;
use kernels::fault::Fault;
use lab::Lab;

/// Two steps of the model of that name, with at most `tensor_bytes` of live tensors.
fn train(name: &str, dry: bool, tensor_bytes: u64) -> Result<Lab, Fault> {
    let sizes = SIZES.into_iter().find(|s| s.name == name).unwrap();
    let lab = Lab::limited(&Inputs::make(sizes.layout()), 2, dry, tensor_bytes)?;
    let mut gpt = Gpt::new(&lab, sizes)?;
    for _ in 0..2 {
        gpt.step(&mut |_| Ok(()))?;
    }
    lab.flush()?;
    drop(gpt);
    Ok(lab)
}

/// The executor's blocks are whole cache lines, and ops of several steps take a little for themselves. In L the peak is
/// the loss over a large vocabulary.
#[test]
fn the_executor_takes_what_the_dry_run_predicts() {
    for name in ["S", "M", "L"] {
        let predicted = train(name, true, 1 << 30).unwrap().totals().peak_bytes;
        let real = train(name, false, 1 << 30).unwrap().executor_peak_bytes();
        let ratio = predicted as f64 / real as f64;
        assert!((0.98..=1.02).contains(&ratio), "{name}: predicted {predicted}, real {real}");
    }
}

#[test]
fn the_limit_is_enforced_to_the_byte() {
    let peak = train("tiny", true, 1 << 30).unwrap().totals().peak_bytes;
    for dry in [true, false] {
        assert!(train("tiny", dry, peak).is_ok());
        assert!(matches!(train("tiny", dry, peak - 1), Err(Fault::TensorLimit { .. })));
    }
}
