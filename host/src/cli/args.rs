//! The command line: what can be typed, once. Help comes from here.

use crate::cli::args_house::{Data, Policy, Split, StoreCommand};
use crate::cli::args_swarm::{Coordinate, Swarm, Work};
use clap::builder::{RangedU64ValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use nightlab::night::setup::Power;
use nightlab::sandbox::Device;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Heading of the options that every command has.
const GLOBAL: &str = "Options of every command";

/// Runs nights of experiments on training code that anybody wrote, in a sandbox, and keeps what is better.
#[derive(Debug, Parser)]
#[command(name = "host", version, max_term_width = 100)]
pub struct Cli {
    /// Where results are kept.
    #[arg(long, global = true, help_heading = GLOBAL, default_value = ".host", value_name = "DIR")]
    pub store: PathBuf,
    /// One JSON object a line instead of text.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Threads of the tensor engine (results do not depend on it) [default: all cores].
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: Option<u32>,
    /// Experiments at the same time in `run`, `try`, `search`, `mcp` and `work` (results do not depend on it). They
    /// share the threads out, each has at least one; each may take the whole memory that the policy allows a guest.
    #[arg(long, global = true, help_heading = GLOBAL, default_value = "1", value_name = "N", value_parser = jobs())]
    pub jobs: NonZeroUsize,
    /// Where guests train and are scored: cpu, cuda, or cuda:N for another card than the first. A GPU needs the program
    /// `host-cuda`; `host doctor` says what is there. Results of a card never mix with those of a processor.
    #[arg(long, global = true, help_heading = GLOBAL, default_value = "cpu", value_name = "DEVICE")]
    pub device: Device,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What experiments use of this machine.
    pub fn power(&self) -> Power {
        Power { threads: self.threads, jobs: self.jobs, device: self.device }
    }

    /// Refuses a device for work that the processor alone does.
    pub fn on_the_processor(&self, who: &str) -> anyhow::Result<()> {
        match self.device {
            Device::Cpu => Ok(()),
            device => anyhow::bail!("{who} runs guests on the processor alone: leave --device {device} out"),
        }
    }
}

fn jobs() -> impl TypedValueParser<Value = NonZeroUsize> {
    RangedU64ValueParser::<usize>::new().range(1..=64).try_map(NonZeroUsize::try_from)
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a night: propose mutations, train, score, keep what is better. Ctrl-C once finishes the experiment in hand,
    /// twice stops now; the same command goes on where it stopped.
    Run(Run),
    /// Try one mutation against the champion: keep or discard, and why.
    Try {
        /// The mutation: one Rust file.
        file: PathBuf,
        /// Policy whose champion it meets [default: that of the store's last night, else that of `host run`].
        #[arg(long, value_name = "NAME|FILE")]
        policy: Option<String>,
        /// Train on one random seed and compare with the champion, without a verdict.
        #[arg(long)]
        screen: bool,
    },
    /// Train and score one mutation without judging it: for optimizers that choose what to try themselves.
    Score(Score),
    /// Serve a coding agent over MCP on standard input and output: read, dry-run, try, learn. Agents start it
    /// themselves.
    Mcp {
        /// Terms of the trials [default: policy.toml of this folder, else overnight].
        #[arg(long, value_name = "NAME|FILE")]
        policy: Option<String>,
    },
    /// Set up a lab: a folder with brief, policy, seed guest, and what a coding agent needs to know.
    Init {
        /// The folder; made where there is none.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// List the trials of this store: the last hundred, or all as JSON.
    Log {
        /// Only the last N.
        #[arg(long, short = 'n', value_name = "N")]
        last: Option<u32>,
        /// All trials.
        #[arg(long, conflicts_with = "last")]
        all: bool,
    },
    /// List what `evolve` can try: each kind of change, how likely it is to help, who found what, and what it did here
    /// on the terms of the last night.
    Ideas,
    /// Show what one source changes in another, in parts that can be tried alone, and carry it onto a third.
    Diff(Diff),
    /// Train the keeps of a night at a larger scale and budget, alone and together: which gains hold, and whether they
    /// add up. Stopped, it goes on where it stopped.
    Promote(Promote),
    /// Show an experiment, a trial's source, a component, or what was sent to a proposer and came back, by (the start
    /// of) its hash.
    Show {
        /// At least 4 hex digits.
        hash: String,
    },
    /// Write the report of a night as a page for a browser (report.html) and a picture (progress.svg, progress.png),
    /// or compare two nights (compare.html, compare.svg, compare.png).
    Report(Report),
    /// Show the nights of the store in a browser while they run: the report, live. It only reads, and only this machine
    /// can ask. Ctrl-C ends it.
    Dash(Dash),
    /// Show a night in the terminal while it runs: its trials, what trains now, the champion, and what proposers cost.
    /// It only reads. Without a terminal, it prints lines until the night ends.
    Top(Top),
    /// Write a night for other tools: tables (CSV, Parquet), a Git repository with a commit for each keep, logs for
    /// TensorBoard, runs for Weights & Biases and Trackio.
    Export(Export),
    /// Run a stored experiment again and compare it link by link: exit code 0 if identical, 1 with the first
    /// differing interval.
    Replay {
        /// At least 4 hex digits of an experiment's key.
        hash: String,
        /// Execute only this interval, from the checkpoint before it (1 is the first that has one).
        #[arg(long, value_name = "K")]
        interval: Option<u32>,
        /// The secret that has chosen the held-out text, if another store drew and revealed it.
        #[arg(long, value_name = "DIGITS|FILE")]
        secret: Option<String>,
    },
    /// Make the Ed25519 key that signs receipts, submissions and claims. Prints its public half.
    Keygen {
        /// The file, for its owner alone; never overwritten [default: `key` in the store].
        file: Option<PathBuf>,
    },
    /// Sign a mutation for somebody's inbox: source, licence, and where it came from, in one file.
    Submit(Submit),
    /// Sign what an experiment of this store yields, so that others can prove or refute it.
    Claim {
        /// At least 4 hex digits of an experiment's key.
        hash: String,
        /// Where to write it [default: the start of the key and `.claim`].
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        key: KeyFile,
    },
    /// Prove or refute a claim, a receipt, a submission with a claim, or a finding: its signature, and then its result,
    /// by running the experiment again. Exit code 0 if it holds, 1 with the first differing interval if not.
    Verify(Verify),
    /// Submissions of strangers.
    Inbox {
        /// What to do with them.
        #[command(subcommand)]
        command: Inbox,
    },
    /// What labs show each other in a folder, usually of a Git repository.
    Commons {
        /// What to do with it.
        #[command(subcommand)]
        command: Commons,
    },
    /// Let a night run on many machines: a server between them, and who is there.
    Swarm {
        /// What to do with it.
        #[command(subcommand)]
        command: Swarm,
    },
    /// Offer this machine's cores to a swarm: make the runs that its night asks for. Ctrl-C once finishes the runs in
    /// hand, twice stops now.
    Work(Work),
    /// Let the champion (or any experiment's model) write.
    Sample(Sample),
    /// Find or install what a night needs: guest compiler, standard library, corpora.
    Setup,
    /// Say what this machine has and what is missing.
    Doctor,
    /// Corpora.
    Data {
        /// What to do with them.
        #[command(subcommand)]
        command: Data,
    },
    /// Policies: the settings of a night.
    #[command(alias = "config")]
    Policy {
        /// What to do with them.
        #[command(subcommand)]
        command: Policy,
    },
    /// Measure this machine against the reference profile.
    Calibrate {
        /// Profile to measure against.
        #[arg(long, default_value = nightlab::policy::DEFAULT_PROFILE)]
        profile: String,
    },
    /// Print the reference of the guest SDK: every function, with shapes, formula and cost.
    Reference,
    /// Search the seed guest's constants at random: a table of trials, reproducible from policy, random seed and size.
    Search(Search),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one per command, into a folder.
    Man {
        /// The folder, made where there is none [default: print the page of `host` instead].
        dir: Option<PathBuf>,
    },
    /// The secrets that choose the held-out text, for policies with `split = "secret"`.
    Split {
        /// What to do with them.
        #[command(subcommand)]
        command: Split,
    },
    /// Housekeeping of the store.
    Store {
        /// What to do.
        #[command(subcommand)]
        command: StoreCommand,
    },
}

/// `host run`.
#[derive(Debug, Args)]
pub struct Run {
    /// A shipped policy (smoke, overnight, community, llm, ollama) or a file [default: policy.toml of this folder, else
    /// overnight].
    #[arg(long, value_name = "NAME|FILE")]
    pub policy: Option<String>,
    /// Stop after this many trained mutations, counted from now; takes the place of the policy's bound, which counts
    /// those of the whole night, restarts included.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub experiments: Option<u64>,
    /// Stop after this many hours from now; takes the place of the policy's bound, which counts the time of the whole
    /// night, restarts included.
    #[arg(long, value_name = "H")]
    pub hours: Option<f64>,
    /// Say what the night will do, and what it will take and cost on this machine. Nothing is trained or stored.
    #[arg(long, conflicts_with = "from_recorded")]
    pub dry: bool,
    /// How long the night waits for a machine that fails (a full disk, a lost cache, no memory) before it ends. What
    /// the fault hit is tried again first, now or when the policy runs again.
    #[arg(long, value_name = "MINUTES", default_value = "30", value_parser = minutes)]
    pub patience: Duration,
    /// Run a night's proposals again, from the store and without whoever wrote them [default: the last night's].
    #[arg(long, value_name = "NIGHT", num_args = 0..=1)]
    pub from_recorded: Option<Option<i64>>,
    #[command(flatten)]
    pub swarm: Coordinate,
}

/// The default of [`Run::patience`].
pub const PATIENCE: Duration = Duration::from_secs(30 * 60);

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "a number of minutes is expected".to_string())?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())
}

/// `host score`.
#[derive(Debug, Args)]
pub struct Score {
    /// The mutation: one Rust file.
    pub file: PathBuf,
    /// Number of random seeds. They are the same for every file, so that scores can be compared in pairs.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: u32,
    /// Compile it and try it without training: what it would cost, by class of operation and by line, and how long a
    /// run would take here.
    #[arg(long, conflicts_with = "seeds")]
    pub dry: bool,
    /// Terms of the runs [default: policy.toml of this folder, else overnight].
    #[arg(long, value_name = "NAME|FILE")]
    pub policy: Option<String>,
}

/// `host diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// What was changed: a file, `seed`, `champion`, a trial (`#7` or `7`), or the start of a hash.
    pub before: String,
    /// What it became.
    pub after: String,
    /// Print this source with the change, by a three-way merge on syntax.
    #[arg(long, value_name = "SOURCE")]
    pub onto: Option<String>,
    /// Carry only these parts, by their numbers.
    #[arg(long, value_name = "N,…", value_delimiter = ',', requires = "onto")]
    pub parts: Vec<usize>,
    /// Write the result here instead.
    #[arg(long, value_name = "FILE", requires = "onto")]
    pub write: Option<PathBuf>,
}

/// `host promote`.
#[derive(Debug, Args)]
pub struct Promote {
    /// The larger terms: scale, budget, size of the evaluation. Corpora, context, split and seed guest are the night's.
    #[arg(long, value_name = "NAME|FILE", default_value = "promote")]
    pub policy: String,
    /// Number of random seeds [default: `replicas` of the policy].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: Option<u32>,
    /// Which night of the store [default: the last one].
    #[arg(long, value_name = "N")]
    pub night: Option<i64>,
}

/// `host report`.
#[derive(Debug, Args)]
pub struct Report {
    /// The night [default: the last one], or two to compare. Each is a number, the folder of another store (its last
    /// night), or FOLDER:NUMBER.
    #[arg(value_name = "NIGHT", num_args = 0..=2)]
    pub nights: Vec<String>,
    /// Where the files are written [default: the store's folder].
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Write report.md and the champion's files into the store too, and read the sealed test split for them. Each
    /// reading is counted. For nights of coding agents and of `try`, which have no end of their own.
    #[arg(long)]
    pub seal: bool,
}

/// `host dash`.
#[derive(Debug, Args)]
pub struct Dash {
    /// The port; 0 takes a free one.
    #[arg(long, value_name = "N", default_value_t = nightlab::night::report::dash::PORT)]
    pub port: u16,
    /// Print the address of this night instead of the last one's.
    #[arg(long, value_name = "N")]
    pub night: Option<i64>,
}

/// `host top`.
#[derive(Debug, Args)]
pub struct Top {
    /// The night [default: the last one, also when another one begins].
    #[arg(long, value_name = "N")]
    pub night: Option<i64>,
    /// Print where the night stands now, and end.
    #[arg(long)]
    pub once: bool,
}

/// `host export`.
#[derive(Debug, Args)]
#[group(id = "form", required = true, multiple = true)]
#[group(args = ["csv", "parquet", "git", "tensorboard", "wandb_offline", "trackio", "champion"])]
pub struct Export {
    /// The night [default: the last one].
    #[arg(value_name = "NIGHT")]
    pub night: Option<i64>,
    /// Write trials.csv, runs.csv and curves.csv into this folder.
    #[arg(long, value_name = "DIR")]
    pub csv: Option<PathBuf>,
    /// Write the same tables, typed, as trials.parquet, runs.parquet and curves.parquet into this folder.
    #[arg(long, value_name = "DIR")]
    pub parquet: Option<PathBuf>,
    /// Make a Git repository in this folder, which must be empty or not exist: a branch for the night, on it the seed
    /// guest and a commit for each keep.
    #[arg(long, value_name = "DIR")]
    pub git: Option<PathBuf>,
    /// Write logs for TensorBoard into this folder: the curves of each run, and the scores of the night.
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Write an offline run of Weights & Biases for each run into this folder, and one for the night; `wandb sync`
    /// sends them.
    #[arg(long, value_name = "DIR")]
    pub wandb_offline: Option<PathBuf>,
    /// Write a project of Trackio, night-N.db, into this folder.
    #[arg(long, value_name = "DIR")]
    pub trackio: Option<PathBuf>,
    /// Write the champion into this folder: its weights as safetensors, config.json, its source, and score.py, which
    /// loads it with NumPy and reproduces its score.
    #[arg(long, value_name = "DIR")]
    pub champion: Option<PathBuf>,
}

/// `host sample`.
#[derive(Debug, Args)]
pub struct Sample {
    /// How the text begins.
    #[arg(long, default_value = "ROMEO:")]
    pub prompt: String,
    /// Bytes to write.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub length: u32,
    /// 0 always takes the likeliest byte; 1 samples as the model believes.
    #[arg(long, default_value_t = 0.8)]
    pub temperature: f64,
    /// Random seed of the sampling.
    #[arg(long, default_value_t = 1)]
    pub random_seed: u64,
    /// An experiment instead of the champion.
    #[arg(long, value_name = "HASH")]
    pub experiment: Option<String>,
}

/// The key that signs.
#[derive(Debug, Args)]
pub struct KeyFile {
    /// The key that signs [default: `key` in the store].
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// `host submit`.
#[derive(Debug, Args)]
pub struct Submit {
    /// The mutation: one Rust file.
    pub file: PathBuf,
    /// One line that names it for people.
    #[arg(long)]
    pub name: String,
    /// Its licence, as an SPDX expression.
    #[arg(long, value_name = "SPDX")]
    pub licence: Option<String>,
    /// The source that it was made from: its BLAKE3 hash, or the file.
    #[arg(long, value_name = "HASH|FILE")]
    pub parent: Option<String>,
    /// The task of the inbox, as `host inbox list` of its owner prints it [default: that of the claim, else of this
    /// store's own inbox].
    #[arg(long, value_name = "HASH")]
    pub task: Option<String>,
    /// An experiment of this store that says what the mutation yields.
    #[arg(long, value_name = "HASH")]
    pub claim: Option<String>,
    /// Where to write it [default: the name and `.submission`].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub key: KeyFile,
}

/// `host verify`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["file", "audit"]))]
pub struct Verify {
    /// The claim, receipt or submission; of a finding, its folder or its page.
    pub file: Option<PathBuf>,
    /// Execute only this interval, from this store's checkpoint before it (1 is the first that has one).
    #[arg(long, value_name = "K", requires = "file")]
    pub segment: Option<u32>,
    /// Of a receipt: the submission that it answers, if this store has neither run nor taken it in.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub submission: Option<PathBuf>,
    /// Check all submissions, receipts and findings of this store against its records, and replay N of its experiments.
    #[arg(long, value_name = "N")]
    pub audit: Option<usize>,
    /// Random seed that chooses the experiments of an audit.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "audit")]
    pub random_seed: u64,
    /// The secret that has chosen the held-out text, if another store drew and revealed it.
    #[arg(long, value_name = "DIGITS|FILE", requires = "file")]
    pub secret: Option<String>,
}

/// `host inbox`.
#[derive(Debug, Subcommand)]
pub enum Inbox {
    /// Check submissions and take them in, within the quotas of a policy.
    Add {
        /// The files; `-` reads one from standard input.
        #[arg(required = true, value_name = "FILE|-")]
        files: Vec<PathBuf>,
        /// The policy with the quotas.
        #[arg(long, default_value = "community", value_name = "NAME|FILE")]
        policy: String,
    },
    /// List the submissions, what became of them, and the task that they have to be for.
    List,
    /// Try what is in the inbox, and answer each submission with a signed receipt.
    Run {
        /// The policy. Of its proposers, the inbox alone works.
        #[arg(long, default_value = "community", value_name = "NAME|FILE")]
        policy: String,
    },
}

/// `host commons`.
#[derive(Debug, Subcommand)]
pub enum Commons {
    /// Write what this lab kept as findings, and what had no gain as lists, where they are not there yet. Commit and
    /// push them with Git.
    Publish(Publish),
    /// Take in what other labs found: what is signed, new here, and has a known parent. Of each lab, a sample is run
    /// again. A policy with the proposer `commons` tries what was taken.
    Follow(Follow),
    /// List the findings that were taken in, what became of them, and the labs that are distrusted.
    List,
    /// Believe a lab again whose claim was refuted.
    Trust {
        /// Its public key.
        lab: String,
    },
}

/// `host commons follow`.
#[derive(Debug, Args)]
pub struct Follow {
    /// The folder, such as a clone of a repository.
    pub dir: PathBuf,
    /// Of each lab, one of N new findings is run again, at least one.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..))]
    pub one_in: u32,
    /// Most findings that are run again, of all labs together. Labs take turns, and the rest waits for the next time.
    #[arg(long, value_name = "N", default_value = "20")]
    pub replays: u32,
    /// Take in only findings with a free licence, so that what is built on them can be published.
    #[arg(long)]
    pub free: bool,
}

/// `host commons publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// The folder, such as a clone of a repository.
    pub dir: PathBuf,
    /// The licence of this lab's own work, as an SPDX expression [default: none, so that others may only read it].
    #[arg(long, value_name = "SPDX")]
    pub licence: Option<String>,
    /// Commit what was written, with `git`.
    #[arg(long)]
    pub commit: bool,
    #[command(flatten)]
    pub key: KeyFile,
}

/// `host search`.
#[derive(Debug, Args)]
pub struct Search {
    /// Policy that gives task and budget.
    #[arg(long, default_value = "smoke", value_name = "NAME|FILE")]
    pub policy: String,
    /// Number of random points; the present constants come first, as point 0.
    #[arg(long, default_value_t = 32)]
    pub trials: u64,
    /// Random seed of the search.
    #[arg(long, default_value_t = 1)]
    pub random_seed: u64,
    /// Largest factor by which a constant moves.
    #[arg(long, default_value_t = 2.0)]
    pub spread: f64,
    /// Guest to search around [default: the seed guest].
    #[arg(long, value_name = "FILE")]
    pub guest: Option<PathBuf>,
    /// Where to write the best point's source.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}
