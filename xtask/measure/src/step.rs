//! One measured run in this process, as one JSON line in the format of the peers.

use crate::gpt::{Gpt, SIZES};
use crate::guests::{self, run, threads};
use crate::inputs::Inputs;
use crate::lab::Lab;
use crate::process::{page_faults, peak_resident_bytes};
use anyhow::{Context, Result};
use kernels::session::Totals;
use nightlab::policy::DEFAULT_PROFILE;
use nightlab::sandbox::{Start, measure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Step {
    /// A model's name.
    model: String,
    /// Its component; without, the model is driven natively.
    #[arg(long)]
    component: Option<PathBuf>,
    /// Folder of weights and tokens [default: made up].
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Timed steps.
    #[arg(long, default_value_t = 8)]
    steps: u64,
    /// Steps before them.
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
}

/// The result of a run, ours or a peer's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Milliseconds per step, the median.
    pub ms: f64,
    pub tok_s: f64,
    /// Peak resident memory in megabytes.
    pub rss_mb: f64,
    /// Page faults per step, the median.
    pub faults: Option<f64>,
    /// Losses of the first eight steps, and of the last.
    pub losses: Vec<f64>,
    /// Peak tensor bytes as the accounting predicts, in megabytes.
    pub predicted_peak_mb: f64,
    /// Hash of the op stream.
    pub op_hash: String,
}

/// Times and page faults of steps.
#[derive(Default)]
struct Steps {
    seconds: Vec<f64>,
    faults: Vec<f64>,
    losses: Vec<f64>,
    totals: Totals,
}

pub fn step(args: &Step) -> Result<()> {
    let steps = args.warm_up + args.steps;
    let component = args.component.as_ref().map(std::fs::read).transpose().context("reading the component")?;
    let kind = guests::peer(&args.model)?;
    let layout = match &component {
        Some(component) => kind.layout(component)?,
        None => SIZES.iter().find(|s| s.name == args.model).context("no native model of that name")?.layout(),
    };
    let tokens = f64::from(layout.batch * layout.seq);
    let inputs = match &args.weights {
        Some(folder) => Inputs::read(folder, layout)?,
        None => Inputs::make(layout),
    };
    let mut done = match component {
        Some(component) => guest(&component, kind.vocab, &inputs, steps)?,
        None => native(&args.model, &inputs, steps)?,
    };
    let skipped = args.warm_up as usize;
    let seconds = median(done.seconds.split_off(skipped.min(done.seconds.len())));
    let line = Line {
        ms: seconds * 1e3,
        tok_s: tokens / seconds,
        rss_mb: megabytes(peak_resident_bytes()),
        faults: Some(median(done.faults.split_off(skipped.min(done.faults.len())))),
        losses: done.losses.iter().take(8).chain(done.losses.last()).copied().collect(),
        predicted_peak_mb: megabytes(done.totals.peak_bytes),
        op_hash: done.totals.op_hash[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

fn guest(component: &[u8], vocab: u32, inputs: &Inputs, steps: u64) -> Result<Steps> {
    let faults = Arc::new(Mutex::new(Vec::new()));
    let seen = faults.clone();
    let at_step = move || {
        if let Ok(mut seen) = seen.lock() {
            seen.push(page_faults() as f64);
        }
    };
    let start = Start { state: inputs.state(), batches: Box::new(inputs.batches()) };
    let run = run(vocab, &guests::profile(DEFAULT_PROFILE)?);
    let found = measure::engine(&run)
        .and_then(|engine| measure::train(component, &run, engine, start, steps, at_step))
        .map_err(|s| anyhow::anyhow!("{s:?}"))?;
    let faults = faults.lock().map(|faults| faults.clone()).unwrap_or_default();
    let faults = faults.windows(2).map(|pair| pair[1] - pair[0]).collect();
    Ok(Steps { seconds: found.seconds, faults, losses: found.losses, totals: found.totals })
}

fn native(name: &str, inputs: &Inputs, steps: u64) -> Result<Steps> {
    let sizes = *SIZES.iter().find(|s| s.name == name).context("no native model of that name")?;
    let lab = Lab::open(inputs, threads() as usize, false)?;
    let mut gpt = Gpt::new(&lab, sizes)?;
    let mut done = Steps::default();
    for _ in 0..steps {
        let (started, faults) = (Instant::now(), page_faults());
        gpt.step(&mut |_| Ok(()))?;
        lab.flush()?;
        done.seconds.push(started.elapsed().as_secs_f64());
        done.faults.push((page_faults() - faults) as f64);
    }
    let _ = lab.next_batch(sizes.batch, sizes.seq)?;
    done.losses = lab.losses();
    done.totals = lab.totals();
    Ok(done)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
