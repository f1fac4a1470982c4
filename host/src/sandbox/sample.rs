//! Samples text from a model, one token per `forward` call. Runs in a child, but does not handle processes.

use crate::record::outcome::{GuestFault, Status};
use crate::sandbox::guest::{Forward, Guest};
use crate::sandbox::run_spec::{RunSpec, Sampling};
use crate::sandbox::score;
use kernels::exec::Executor;
use kernels::session::NamedState;

/// Context string of the hash behind the draws.
const DOMAIN: &str = "lab 2026 sampling v1";

/// Draws `how.count` tokens and passes each one on as it comes. The model sees the last `context` tokens, padded on the
/// right so that shapes never change. A causal model does not see beyond the position that is read.
///
/// # Errors
/// The guest's fault.
pub fn sample(
    guest: &Guest,
    state: &NamedState,
    run: &RunSpec,
    how: &Sampling,
    executor: &dyn Fn() -> Box<dyn Executor>,
    on: &mut dyn FnMut(u16) -> bool,
) -> Result<(), Status> {
    let (context, vocab) = (run.context as usize, run.vocab as usize);
    let mut text: Vec<u32> = how.prompt.iter().map(|&token| u32::from(token)).collect();
    if text.is_empty() {
        text.push(0);
    }
    for index in 0..how.count {
        let mut window = text.get(text.len().saturating_sub(context)..).unwrap_or_default().to_vec();
        let last = window.len().saturating_sub(1);
        window.resize(context, 0);
        let Forward { logits, .. } = guest.forward(state, 1, run.context, window, 0, executor())?;
        let logits = logits
            .get(last * vocab..(last + 1) * vocab)
            .ok_or_else(|| Status::guest(GuestFault::BadLogitShape, "fewer logits than the window has places"))?;
        let token = draw(logits, how.temperature, unit(how.random_seed, index))
            .ok_or_else(|| Status::guest(GuestFault::NotFinite, "logits of the last position are not finite"))?;
        text.push(u32::from(token));
        if !on(token) {
            break;
        }
    }
    Ok(())
}

/// The token at `unit` in [0, 1) of the cumulative distribution softmax(logits / temperature).
fn draw(logits: &[f32], temperature: f32, unit: f64) -> Option<u16> {
    let max = score::largest(logits)?;
    if temperature <= 0.0 {
        let best = logits.iter().position(|&logit| f64::from(logit) == max)?;
        return u16::try_from(best).ok();
    }
    let weight = |logit: &f32| score::exp((f64::from(*logit) - max) / f64::from(temperature));
    let mut left = unit * logits.iter().map(weight).sum::<f64>();
    let chosen = logits.iter().position(|logit| {
        left -= weight(logit);
        left < 0.0
    });
    u16::try_from(chosen.unwrap_or(logits.len() - 1)).ok()
}

fn unit(random_seed: u64, index: u32) -> f64 {
    let mut hash = blake3::Hasher::new_derive_key(DOMAIN);
    hash.update(&random_seed.to_le_bytes());
    hash.update(&index.to_le_bytes());
    let mut first = [0; 8];
    hash.finalize_xof().fill(&mut first);
    (u64::from_le_bytes(first) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_distribution() {
        let logits = [0.0, 3.0f32.ln()];
        assert_eq!(draw(&logits, 1.0, 0.24), Some(0));
        assert_eq!(draw(&logits, 1.0, 0.26), Some(1));
        assert_eq!(draw(&logits, 0.0, 0.0), Some(1), "temperature 0 takes the likeliest");
        assert_eq!(draw(&[f32::NAN], 1.0, 0.5), None);
    }
}
