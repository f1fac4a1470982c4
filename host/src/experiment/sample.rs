//! Samples text from a stored model, with the same sandboxed `forward` that scored it.

use crate::data::UnknownToken;
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::runtime::settings;
use crate::guest::component::Component;
use crate::record::outcome::Status;
use crate::record::store::ExperimentRecord;
use crate::sandbox::{Progress, Sampling};
use std::ops::ControlFlow;

/// The settings of sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Number of tokens to write.
    pub length: u32,
    /// At 0, the most likely token is always taken.
    pub temperature: f64,
    /// Random seed of the choices.
    pub random_seed: u64,
}

impl Default for Style {
    fn default() -> Self {
        Self { length: 240, temperature: 0.8, random_seed: 1 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The experiment left no model.
    #[error("experiment {0} left no model: it ended as {1}; `host log` shows which were completed")]
    NoModel(String, String),
    #[error("the prompt is empty: a model needs at least one byte to go on from")]
    EmptyPrompt,
    /// The temperature is out of range.
    #[error("temperature {0} is not between 0 and 100")]
    Temperature(f64),
    /// The model wrote a token that is not text.
    #[error(transparent)]
    Token(#[from] UnknownToken),
    #[error("{0}")]
    Forward(String),
}

/// Writes `style.length` tokens after the prompt. The text is a function of model, prompt and style. `watch` receives
/// the progress of the training if the model has to be made again.
pub fn sample(
    bench: &Bench,
    record: &ExperimentRecord,
    component: &Component,
    (prompt, style): (&[u8], &Style),
    watch: &mut dyn FnMut(&Progress),
) -> Result<String, SampleError> {
    if prompt.is_empty() {
        return Err(SampleError::EmptyPrompt);
    }
    if !(0.0..=100.0).contains(&style.temperature) {
        return Err(SampleError::Temperature(style.temperature));
    }
    if bench.store.outcome(record).map_err(BenchError::from)?.state.is_none() {
        return Err(SampleError::NoModel(record.key.short(), record.status.clone()));
    }
    let failed = |status: Status| SampleError::Forward(status.to_string());
    let state = bench.model(component, record, watch, &|| false)?.map_err(failed)?;
    let sampling = Sampling {
        prompt: bench.task.task.tokenizer.encode(prompt),
        count: style.length,
        temperature: style.temperature as f32,
        random_seed: style.random_seed,
    };
    let mut tokens = Vec::new();
    let mut take = |token| {
        tokens.push(token);
        ControlFlow::Continue(())
    };
    let spec = settings(&bench.spec, component, record.manifest.random_seed);
    bench.sandbox.forward(component.bytes(), &state, &spec, &sampling, &mut take).map_err(failed)?;
    let text = bench.task.task.tokenizer.decode(&tokens)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
