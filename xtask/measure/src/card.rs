//! Measures a GPU with programs that were built elsewhere: a folder is packed on the one machine, and run on the other,
//! where it leaves one report. It never ran on a GPU.

use crate::guests::{self, Kind, PEERS};
use crate::machine;
use anyhow::{Context, Result, bail};
use kernels::cost::{Class, Profile};
use kernels::session::Checkpoint;
use nightlab::experiment::calibrate::calibrate;
use nightlab::policy::load_profile;
use nightlab::record::outcome::Status;
use nightlab::sandbox::{Accelerator, Progress, Resume, RunSpec, Sandbox, Trained};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Tokens of the made-up text.
const TEXT: u64 = 400_000;
/// Intervals of a run, so that there is one to replay.
const INTERVALS: u32 = 4;
const REPORT: &str = "report.md";

/// Measure a GPU with what was built elsewhere: pack a folder here, take it there, run its `measure cuda` on it.
#[derive(Debug, clap::Args)]
pub struct Card {
    /// The folder with the programs and the guests; the report is written there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Fill the folder instead: compile the guests, and copy this program and `host-cuda` from beside it.
    #[arg(long)]
    pack: bool,
    /// The card's roofline, shipped or a file.
    #[arg(long, default_value = "h100-sxm")]
    profile: String,
    /// Seconds of that profile for each run.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// The card's number.
    #[arg(long, default_value_t = 0)]
    card: u32,
    /// The program of the children, in the folder.
    #[arg(long, default_value = "host-cuda")]
    program: String,
    /// Time single operations of at most so many floating-point operations.
    #[arg(long, default_value_t = u64::MAX)]
    most_flops: u64,
}

pub fn card(what: &Card) -> Result<()> {
    if what.pack { pack(&what.folder) } else { run(what) }
}

fn pack(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let own = std::env::current_exe()?;
    for (from, name) in [(own.clone(), "measure"), (own.with_file_name("host-cuda"), "host-cuda")] {
        std::fs::copy(&from, folder.join(name)).with_context(|| {
            format!("copying {}; `cargo build --release -p nightlab-host-cuda` makes it", from.display())
        })?;
    }
    for kind in PEERS {
        std::fs::write(folder.join(format!("{}.wasm", kind.name)), kind.compile()?)?;
        println!("{}: compiled", kind.name);
    }
    println!("take {} to the GPU, and run there: ./measure cuda . --profile NAME", folder.display());
    Ok(())
}

/// Runs every guest of the folder, and writes the report in any case: what failed is in it.
fn run(what: &Card) -> Result<()> {
    let profile = load_profile(&what.profile)?;
    let accelerator = Accelerator::new(what.folder.join(&what.program), what.card, what.folder.join("cuda"))?;
    let mut report = format!("# A GPU, measured\n\nHost: {}\n\n", machine::describe());
    for part in Sandbox::look(&accelerator).map_err(|status| anyhow::anyhow!("{status}"))? {
        writeln!(report, "- {}: {}{}", part.name, if part.is_there { "" } else { "MISSING: " }, part.text)?;
    }
    let measured = Sandbox::new(None).with(accelerator).map_err(anyhow::Error::from).and_then(|sandbox| {
        writeln!(report, "- numerics class {}\n", sandbox.class())?;
        suite(what, &sandbox, &profile, &mut report)
    });
    if let Err(error) = &measured {
        writeln!(report, "\nFAILED: {error:#}")?;
    }
    let path = what.folder.join(REPORT);
    std::fs::write(&path, &report).with_context(|| format!("writing {}", path.display()))?;
    println!("{report}\n{}", path.display());
    measured
}

fn suite(what: &Card, sandbox: &Sandbox, profile: &Profile, report: &mut String) -> Result<()> {
    let speed = calibrate(sandbox, profile, 1, what.most_flops)?.speed;
    writeln!(report, "Single operations run at {speed:.3} of the roofline `{}`.\n", profile.name)?;
    writeln!(
        report,
        "| guest | steps | tokens/s | teraflops | share of f32 peak | seconds of {} | wall | first and last loss | \
         round trips | same bits twice | interval replayed |\n|---|---|---|---|---|---|---|---|---|---|---|",
        profile.name
    )?;
    let peak = profile.classes.iter().find(|rate| rate.class == Class::Product.name()).map_or(1, |rate| rate.mflops);
    let mut differing = Vec::new();
    for kind in guests_of(&what.folder)? {
        let spec = RunSpec {
            budget_ps: (what.seconds * 1e12) as u64,
            intervals: INTERVALS,
            ..guests::run(kind.vocab, profile)
        };
        let component = std::fs::read(what.folder.join(format!("{}.wasm", kind.name)))?;
        let found = twice(sandbox, &component, &spec).with_context(|| kind.name)?;
        let Found { first, seconds, is_same, is_replayed } = &found;
        let totals = &first.totals;
        let teraflops = totals.flops as f64 / seconds / 1e12;
        let loss = |point: Option<&kernels::session::LogPoint>| point.map_or(f64::NAN, |point| point.value);
        writeln!(
            report,
            "| {} | {} | {:.0} | {teraflops:.3} | {:.1}% | {} | {seconds:.2} s | {:.4}, {:.4} | {} | {is_same} | \
             {is_replayed} |",
            kind.name,
            totals.steps,
            totals.tokens as f64 / seconds,
            100.0 * teraflops * 1e6 / peak as f64,
            what.seconds,
            loss(first.curve.first()),
            loss(first.curve.last()),
            first.traffic.unwrap_or_default().round_trips,
        )?;
        if !(is_same & is_replayed) {
            differing.push(kind.name);
        }
    }
    if differing.is_empty() { Ok(()) } else { bail!("other bits in another run: {}", differing.join(", ")) }
}

/// The guests whose components are there.
fn guests_of(folder: &Path) -> Result<Vec<Kind>> {
    let there: Vec<Kind> =
        PEERS.into_iter().filter(|kind| folder.join(format!("{}.wasm", kind.name)).is_file()).collect();
    if there.is_empty() {
        bail!("{} has no guests; `cargo measure cuda DIR --pack` puts them there", folder.display());
    }
    Ok(there)
}

struct Found {
    first: Trained,
    /// Of the first run, from start to end.
    seconds: f64,
    is_same: bool,
    is_replayed: bool,
}

/// Trains twice, replays an interval of the first run, and compares.
fn twice(sandbox: &Sandbox, component: &[u8], spec: &RunSpec) -> Result<Found> {
    let text: Vec<u16> = (0..TEXT).map(|i| (i.wrapping_mul(i) / 7 % u64::from(spec.vocab)) as u16).collect();
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    let mut train = |resume: Option<&Resume>| -> Result<Trained> {
        let trained = sandbox.train(component, spec, &text, resume, &mut |progress| {
            if let Progress::Checkpoint(checkpoint) = progress {
                checkpoints.push(checkpoint);
            }
            ControlFlow::Continue(())
        });
        if trained.status == Status::Completed { Ok(trained) } else { bail!("{}", trained.status) }
    };
    let began = Instant::now();
    let first = train(None)?;
    let seconds = began.elapsed().as_secs_f64();
    let second = train(None)?;
    let is_same = (&first.intervals, &first.state, &first.curve) == (&second.intervals, &second.state, &second.curve);
    let from = checkpoints.into_iter().next().context("the run left no checkpoint: give it more --seconds")?;
    let until_interval = from.interval + 1;
    let resume = Resume { read_log: first.read_log.clone(), from, until_interval };
    let replayed = sandbox.train(component, spec, &text, Some(&resume), &mut |_| ControlFlow::Continue(()));
    let is_replayed =
        replayed.intervals.last().is_some_and(|hash| first.intervals.get(until_interval as usize) == Some(hash));
    Ok(Found { first, seconds, is_same, is_replayed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightlab::guest::component::componentise;
    use nightlab::guest::source::Source;
    use nightlab::guest::toolchain::Toolchain;

    /// The whole of it on the kernels without a GPU, at a tiny size.
    #[test]
    fn a_report_is_left_by_an_emulated_card() {
        let programs = std::env::current_exe().unwrap().parent().unwrap().with_file_name("");
        let [host, device] = ["host", "host-cuda-emulated"].map(|name| programs.join(name));
        if !host.is_file() || !device.is_file() || std::process::Command::new("g++").arg("--version").output().is_err()
        {
            println!("NOT CHECKED: it takes g++, `host` and `host-cuda-emulated` in {}", programs.display());
            return;
        }
        let tiny = [("DEPTH", 1), ("WIDTH", 32), ("HEADS", 1), ("BATCH", 1), ("SEQ", 32)];
        let kind = Kind { set: Box::leak(Box::new(tiny)), ..PEERS[0] };
        let toolchain = Toolchain::find_or_install(&mut |_| {}).unwrap().with_helper(host);
        let module = toolchain.compile(&Source::parse(&kind.source().unwrap()).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("S.wasm"), componentise(&module).unwrap().bytes()).unwrap();
        std::os::unix::fs::symlink(&device, folder.path().join("host-cuda")).unwrap();
        let what = Card {
            folder: folder.path().to_owned(),
            pack: false,
            profile: "h100-sxm".into(),
            seconds: 0.005,
            card: 0,
            program: "host-cuda".into(),
            most_flops: 5_000,
        };
        card(&what).unwrap();
        let report = std::fs::read_to_string(folder.path().join(REPORT)).unwrap();
        assert!(report.contains("| S | ") && report.contains("| 0 | true | true |"), "{report}");
        std::fs::remove_file(folder.path().join("S.wasm")).unwrap();
        assert!(card(&what).unwrap_err().to_string().contains("has no guests"));
    }
}
