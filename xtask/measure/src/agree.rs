//! Compares first losses and gradients with PyTorch's, from the same weights and tokens.

use crate::Peers;
use crate::gpt::{Gpt, SIZES};
use crate::guests::threads;
use crate::inputs::Inputs;
use crate::lab::Lab;
use crate::peers::{Model, torch};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Largest allowed difference of losses.
const LOSS: f64 = 2e-5;
/// Largest allowed difference of a gradient, relative to its norm.
const GRADIENT: f64 = 1e-4;

/// Prints the differences.
///
/// # Errors
/// Fails if a difference is too large.
pub fn agree(args: &Peers) -> Result<()> {
    let python = args.python.as_ref().context("--python names a Python with PyTorch")?;
    let mut apart = false;
    println!("| model | losses, largest difference | gradients, largest relative difference | of |");
    println!("|---|---|---|---|");
    for name in &args.sizes {
        let model = Model::prepare(name, &args.weights)?;
        let (ours, theirs) =
            (model.ours(&args.weights, 6)?, torch(python, "eager", name, &args.weights, &["--steps", "6"])?);
        let pairs = ours.losses.iter().zip(&theirs.losses).take(8);
        let losses = pairs.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
        let (gradients, of) = gradients(name, python, &args.weights)?;
        println!("| {name} | {losses:.1e} | {gradients:.1e} | {of} |");
        apart |= losses > LOSS || gradients > GRADIENT;
    }
    if apart {
        bail!("losses may differ by {LOSS:e}, gradients by {GRADIENT:e} of their norm");
    }
    Ok(())
}

/// The largest relative difference over all parameters, and its parameter. The seed guest has no native version.
fn gradients(name: &str, python: &Path, folder: &Path) -> Result<(f64, String)> {
    let Some(sizes) = SIZES.into_iter().find(|sizes| sizes.name == name) else {
        return Ok((0.0, "–".to_owned()));
    };
    let file = folder.join(format!("gradients_{name}.bin"));
    let path = file.to_str().context("the folder's name is not UTF-8")?;
    torch(python, "eager", name, folder, &["--gradients", path])?;
    let bytes = std::fs::read(&file)?;
    let theirs: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let lab = Lab::open(&Inputs::read(folder, sizes.layout())?, threads() as usize, false)?;
    let ours = Gpt::new(&lab, sizes)?.first_gradients()?;
    let (mut at, mut worst) = (0, (0.0, String::new()));
    for (name, [rows, columns]) in sizes.parameters() {
        let range = at..at + (rows * columns) as usize;
        at = range.end;
        let (Some(a), Some(b)) = (ours.get(range.clone()), theirs.get(range)) else {
            bail!("{} holds {} values, ours has {}", file.display(), theirs.len(), ours.len());
        };
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let apart = norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied()).max(1e-30);
        if apart > worst.0 {
            worst = (apart, name);
        }
    }
    Ok(worst)
}
