//! Measures the engine: compared with its peers, through the sandbox and natively, predicted and actual.
//! `cargo measure help` lists the commands.

mod agree;
mod boundary;
mod budget;
mod card;
mod fit;
#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../../kernels/examples/step/gpt.rs"]
mod gpt;
mod guests;
mod held_out;
#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../../kernels/examples/step/inputs.rs"]
mod inputs;
mod judge;
#[allow(dead_code, reason = "the example uses the rest")]
#[path = "../../../kernels/examples/step/lab.rs"]
mod lab;
mod machine;
mod ops;
mod peers;
mod prices;
#[path = "../../../kernels/examples/step/process.rs"]
mod process;
mod search;
mod step;

use anyhow::Result;
use clap::{Parser, Subcommand};
use nightlab::policy::DEFAULT_PROFILE;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures the engine of this repository.
#[derive(Debug, Parser)]
#[command(name = "measure", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Time a training step of S, M, L and the seed guest through the sandbox and on its peers, in interleaved rounds.
    Peers(Peers),
    /// Compare first losses and gradients with PyTorch's.
    Agree(Peers),
    /// What the sandbox costs: the same op stream from a guest and from native code; and the dry run's speed.
    Boundary {
        /// Interleaved rounds.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Timed steps per round.
        #[arg(long, default_value_t = 12)]
        steps: u64,
    },
    /// Simulate the judge on mutations of known effect: what it keeps, what it misses, what that costs.
    Judge {
        /// Nights for each row.
        #[arg(long, default_value_t = 300)]
        nights: u64,
        /// Trials of a night.
        #[arg(long, default_value_t = 100)]
        trials: u32,
    },
    /// Simulate the search on landscapes of known shape: what its parts are worth, and the time of one proposal.
    Search(search::Nights),
    HeldOut(held_out::HeldOut),
    /// Time one proposal after a number of trials, from the seed guest.
    Proposal {
        #[arg(long, default_value_t = 10_000)]
        trials: u64,
    },
    /// Predicted against measured wall time of guests of different make-up.
    Budget {
        /// Shipped profile or a file.
        #[arg(long, default_value = DEFAULT_PROFILE)]
        profile: String,
        /// Rounds; the best is shown.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Only guests whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Search random shapes of every op for those that take longer than their price says.
    Prices(prices::Search),
    /// The ops of one training step of a guest: what each costs by a profile, and what it takes by itself.
    Ops {
        /// Shipped profile or a file.
        #[arg(long, default_value = DEFAULT_PROFILE)]
        profile: String,
        /// Only guests whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Fit a profile to this machine: to single ops, then to whole training steps.
    Fit {
        /// Profile to start from: shipped or a file.
        #[arg(long, default_value = DEFAULT_PROFILE)]
        from: String,
        /// Name of the new one.
        #[arg(long)]
        name: String,
        /// Rounds of whole steps.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Where to write it.
        #[arg(long, value_name = "FILE")]
        write: PathBuf,
    },
    Cuda(card::Card),
    /// One measured run in this process, as one JSON line: what the others start.
    #[command(hide = true)]
    Step(step::Step),
}

/// Who takes part.
#[derive(Debug, clap::Args)]
struct Peers {
    /// Folder of weights and tokens; what is missing there is made.
    #[arg(long, value_name = "DIR")]
    weights: PathBuf,
    /// A native program that is called as `PROGRAM SIZE STEPS WARM-UP kern` with the folder in YARD.
    #[arg(long, value_name = "PROGRAM")]
    native: Option<PathBuf>,
    /// A Python with PyTorch.
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Interleaved rounds; medians are shown.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Timed steps per round.
    #[arg(long, default_value_t = 8)]
    steps: u64,
    /// Only these models.
    #[arg(long, value_delimiter = ',', default_value = "S,M,L,seed")]
    sizes: Vec<String>,
}

fn main() -> Result<ExitCode> {
    if let Some(code) = nightlab::main_if_child() {
        return Ok(code);
    }
    match Cli::parse().command {
        Command::Peers(peers) => peers::peers(&peers)?,
        Command::Agree(peers) => agree::agree(&peers)?,
        Command::Boundary { rounds, steps } => boundary::boundary(rounds, steps)?,
        Command::Judge { nights, trials } => judge::simulate(nights, trials),
        Command::HeldOut(what) => held_out::held_out(&what)?,
        Command::Search(nights) => search::simulate(&nights),
        Command::Proposal { trials } => search::proposal(trials)?,
        Command::Budget { profile, rounds, only } => budget::budget(&profile, rounds, &only)?,
        Command::Prices(how) => prices::search(&how)?,
        Command::Ops { profile, only } => ops::table(&profile, &only)?,
        Command::Fit { from, name, rounds, write } => fit::fit(&from, &name, rounds, &write)?,
        Command::Cuda(what) => card::card(&what)?,
        Command::Step(step) => step::step(&step)?,
    }
    Ok(ExitCode::SUCCESS)
}
