//! One training step through the sandbox and on its peers: child processes in interleaved rounds, medians, and a table.

use crate::guests::{Kind, peer, threads, top};
use crate::inputs::Inputs;
use crate::step::{Line, median};
use crate::{Peers, machine};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The system that runs a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Ours,
    Native,
    Eager,
    Compiled,
}

impl Peer {
    const ALL: [Peer; 4] = [Peer::Ours, Peer::Native, Peer::Eager, Peer::Compiled];

    fn takes_part(self, args: &Peers, model: &str) -> bool {
        match self {
            Peer::Ours => true,
            Peer::Native => args.native.is_some() && model != "seed",
            Peer::Eager | Peer::Compiled => args.python.is_some(),
        }
    }
}

/// A model that is ready to run.
pub struct Model {
    kind: Kind,
    /// Path of its component.
    component: PathBuf,
}

impl Model {
    /// Compiles the model, and creates its missing files in `folder`.
    pub fn prepare(name: &str, folder: &Path) -> Result<Self> {
        let kind = peer(name)?;
        let bytes = kind.compile()?;
        std::fs::create_dir_all(folder)?;
        let layout = kind.layout(&bytes)?;
        match folder.join(format!("init_{name}.bin")).exists() {
            // Reports unusable files before anything is timed.
            true => drop(
                Inputs::read(folder, layout)
                    .with_context(|| format!("delete the files of {name} to have them made anew"))?,
            ),
            false => Inputs::make(layout).write(folder)?,
        }
        let component = folder.join(format!("{name}.wasm"));
        std::fs::write(&component, &bytes)?;
        Ok(Self { kind, component })
    }

    /// A run through the sandbox.
    pub fn ours(&self, folder: &Path, steps: u64) -> Result<Line> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["step", self.kind.name, "--component"]).arg(&self.component);
        command.arg("--weights").arg(folder).args(["--steps", &steps.to_string()]);
        line(command)
    }
}

/// A run in PyTorch. `more` holds further arguments for the script.
pub fn torch(python: &Path, mode: &str, model: &str, folder: &Path, more: &[&str]) -> Result<Line> {
    let mut command = Command::new(python);
    command.arg(top().join("xtask/measure/peers/torch_step.py")).args([mode, model]).arg(folder);
    command.arg("--seed-guest").arg(top().join("guest-sdk/seeds/gpt.rs")).args(more);
    command.env("OMP_NUM_THREADS", threads().to_string());
    line(command)
}

/// The last line of a program's output.
pub fn line(mut command: Command) -> Result<Line> {
    let output = command.output().with_context(|| format!("starting {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("{command:?} printed {last:?}"))
}

pub fn peers(args: &Peers) -> Result<()> {
    let models = args.sizes.iter().map(|name| Model::prepare(name, &args.weights)).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<[Vec<Line>; 4]> = models.iter().map(|_| Default::default()).collect();
    for round in 0..args.rounds {
        for (model, found) in models.iter().zip(&mut found) {
            for (peer, lines) in Peer::ALL.into_iter().zip(found) {
                if peer.takes_part(args, model.kind.name) {
                    eprintln!("round {} of {}: {} {peer:?}", round + 1, args.rounds, model.kind.name);
                    lines.push(one(args, model, peer)?);
                }
            }
        }
    }
    println!("{}; {} threads; medians of {} rounds\n", machine::describe(), threads(), args.rounds);
    print_speed(&models, &found);
    print_memory(&models, &found);
    Ok(())
}

fn one(args: &Peers, model: &Model, peer: Peer) -> Result<Line> {
    let name = model.kind.name;
    let steps = args.steps.to_string();
    match (peer, &args.native, &args.python) {
        (Peer::Native, Some(program), _) => {
            let mut command = Command::new(program);
            command.args([name, &steps, "2", "kern"]).env("YARD", &args.weights);
            line(command)
        }
        (Peer::Eager, _, Some(python)) => torch(python, "eager", name, &args.weights, &["--steps", &steps]),
        (Peer::Compiled, _, Some(python)) => torch(python, "compile", name, &args.weights, &["--steps", &steps]),
        _ => model.ours(&args.weights, args.steps),
    }
}

fn of(lines: &[Line], part: impl Fn(&Line) -> f64) -> Option<f64> {
    let values: Vec<f64> = lines.iter().map(part).collect();
    if values.is_empty() { None } else { Some(median(values)) }
}

/// The peer's time divided by ours: the median over the rounds.
fn ratio(ours: &[Line], theirs: &[Line]) -> Option<f64> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| theirs.ms / ours.ms).collect();
    if ratios.is_empty() { None } else { Some(median(ratios)) }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

fn print_speed(models: &[Model], found: &[[Vec<Line>; 4]]) {
    println!(
        "| model | ours, ms per step | tokens per s | native, ms | ratio | eager, ms | ratio | compiled, ms | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut logs: [Vec<f64>; 3] = Default::default();
    for (model, [ours, peers @ ..]) in models.iter().zip(found) {
        print!("| {} | {} | {} |", model.kind.name, cell(of(ours, |l| l.ms), 1), cell(of(ours, |l| l.tok_s), 0));
        for (theirs, logs) in peers.iter().zip(&mut logs) {
            let times = ratio(ours, theirs);
            // The goals concern S, M and L; the seed guest is only for information.
            logs.extend(times.filter(|_| model.kind.name != "seed").map(f64::ln));
            print!(" {} | {} |", cell(of(theirs, |l| l.ms), 1), cell(times, 2));
        }
        println!();
    }
    print!("| geometric mean of S, M, L | | |");
    for logs in logs {
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        print!(" | {} |", cell((!logs.is_empty()).then(|| mean.exp()), 2));
    }
    println!("\n\nA ratio is the peer's time over ours: above 1, ours is faster.\n");
}

fn print_memory(models: &[Model], found: &[[Vec<Line>; 4]]) {
    println!(
        "| model | peak resident, MB | tensors predicted, MB | eager, MB | share | page faults per step | eager's |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (model, [ours, _, eager, _]) in models.iter().zip(found) {
        let (mine, theirs) = (of(ours, |l| l.rss_mb), of(eager, |l| l.rss_mb));
        let share = mine.zip(theirs).map(|(mine, theirs)| mine / theirs);
        let faults = |lines: &[Line]| of(lines, |l| l.faults.unwrap_or(f64::NAN));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            model.kind.name,
            cell(mine, 0),
            cell(of(ours, |l| l.predicted_peak_mb), 0),
            cell(theirs, 0),
            cell(share, 2),
            cell(faults(ours), 0),
            cell(faults(eager), 0)
        );
    }
}
