//! Putting a bench together: from a policy for a night, from a record for a replay. The only place that knows where
//! compiler, corpus and profile come from.

use crate::data::compress::{self, Compressors};
use crate::data::task::{self, Definition, PreparedTask};
use crate::data::{self, DataError};
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::prepare::{Candidate, Refusal};
use crate::guest::component::Component;
pub(crate) use crate::guest::seed::SEED_GUEST;
use crate::guest::toolchain::{Toolchain, ToolchainError};
use crate::night::event::Event;
use crate::policy::{Policy, PolicyError};
use crate::propose::evolve::proposer::Offline;
use crate::propose::proposer::Proposer;
use crate::propose::{command, llm};
use crate::record::key::Hash;
use crate::record::store::{ExperimentRecord, Found, Store, StoreError};
use crate::sandbox::{RunSpec, Sandbox};
use kernels::cost::Profile;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Intervals of a run's hash chain: enough to find a difference quickly, few enough to cost nothing.
pub const INTERVALS: u32 = 8;

/// The brief as shipped; a `program.md` in the working folder replaces it.
pub const BRIEF: &str = include_str!("../../../program.md");

/// Why a bench could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The compiler.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The corpus.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The bench.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The guest that the night starts from.
    #[error("the seed guest {name} cannot be used: {refusal}")]
    SeedGuest {
        /// As the policy names it.
        name: String,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// The brief of the working folder.
    #[error("cannot read the brief, program.md: {0}; mend it, or move it away to use the one that is shipped")]
    Brief(std::io::Error),
    /// A guest's file.
    #[error("cannot read the seed guest {path}: {source}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder without a store.
    #[error("there is no store in {0}; `host run --policy smoke` makes one, `--store DIR` names another")]
    NoStore(PathBuf),
    /// Every proposer of the policy is faulty.
    #[error("nobody can propose: {}", words(.0))]
    NoProposer(Vec<Unfit>),
    /// No child could be started or confined.
    #[error("the sandbox does not work here: {0}")]
    Sandbox(String),
    /// An experiment whose surroundings are gone.
    #[error("experiment {key} cannot be run here: {reason}")]
    Gone {
        /// Its key.
        key: String,
        /// What is missing.
        reason: String,
    },
    /// A definition that cannot be written.
    #[error("a definition cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// No champion to sample from.
    #[error("no experiment in this store has a model yet; `host run --policy smoke` makes one")]
    NoModel,
}

/// A proposer that cannot work here, whatever comes: its name and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// As the policy calls it.
    pub name: String,
    /// Why, and what to do.
    pub reason: String,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

fn words(unfit: &[Unfit]) -> String {
    unfit.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The proposers of a policy, in its order.
#[derive(Default)]
pub struct Proposers {
    /// Who can work.
    pub fit: Vec<Box<dyn Proposer>>,
    /// Who cannot.
    pub unfit: Vec<Unfit>,
}

/// The brief that proposers get: `program.md` of the working folder, or the one that is shipped.
///
/// # Errors
/// Where there is a `program.md` that cannot be read as text: another brief than the one that its owner wrote is worse than
/// none.
pub fn brief() -> Result<String, OpenError> {
    match std::fs::read_to_string("program.md") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BRIEF.into()),
        read => read.map_err(OpenError::Brief),
    }
}

/// The policy where none is named: `policy.toml` of the working folder, or the shipped `overnight`.
pub fn default_policy() -> &'static str {
    const OWN: &str = "policy.toml";
    if Path::new(OWN).is_file() { OWN } else { "overnight" }
}

/// What a guest can call, for whoever writes one.
pub fn reference() -> String {
    crate::guest::reference::markdown()
}

/// The proposers that a policy names. Keys are read here, addresses and programs checked; nothing is sent or started.
///
/// # Errors
/// Where none of them can work.
pub fn proposers(policy: &Policy) -> Result<Proposers, OpenError> {
    let mut all = Proposers::default();
    for name in &policy.search.proposers {
        match proposer(policy, name) {
            Ok(proposer) => all.fit.push(proposer),
            Err(reason) => all.unfit.push(Unfit { name: name.clone(), reason }),
        }
    }
    if all.fit.is_empty() { Err(OpenError::NoProposer(all.unfit)) } else { Ok(all) }
}

/// One proposer, or why it cannot work.
fn proposer(policy: &Policy, name: &str) -> Result<Box<dyn Proposer>, String> {
    let model = name.strip_prefix("llm.").and_then(|name| policy.llm.get_key_value(name));
    let program = name.strip_prefix("command.").and_then(|name| policy.command.get(name));
    Ok(match (model, program) {
        (Some((model, config)), _) => {
            Box::new(llm::Writer::open(model, config, reference()).map_err(|error| error.to_string())?)
        }
        (None, Some(config)) => {
            let program = command::Program::new(name.into(), config.clone(), None, reference());
            program.check().map_err(|error| error.to_string())?;
            Box::new(program)
        }
        _ if name == Offline::NAME => Box::new(Offline::default()),
        _ => return Err("the policy describes no such proposer; `host policy check` lists what there is".into()),
    })
}

/// A store that is there already.
pub fn existing_store(dir: &Path) -> Result<Store, OpenError> {
    if !dir.join("index.sqlite").is_file() {
        return Err(OpenError::NoStore(dir.to_owned()));
    }
    Ok(Store::open(dir)?)
}

/// Everything that a night stands on: compiler (found or installed), corpus (found or fetched), profile, sandbox; and
/// the guest that it starts from, run dry. It may use so many threads (none: all cores) for so many experiments at a time.
pub fn bench(
    store: Store,
    policy: &Policy,
    (threads, jobs): (Option<u32>, NonZeroUsize),
    tell: &mut dyn FnMut(Event),
) -> Result<(Bench, Candidate), OpenError> {
    let toolchain = Toolchain::find_or_install(&mut |line| tell(Event::Note { text: line.into() }))?;
    tell(Event::Setup { what: "guest toolchain", text: toolchain.describe() });
    let (task, compressors) = task(policy, tell)?;
    let profile = policy.profile()?;
    tell(Event::Setup {
        what: "budget",
        text: format!("{} s per experiment on profile {}", policy.budget.seconds, profile.name),
    });
    remember(&store, &task, &profile)?;
    let sandbox = Sandbox::new(None);
    let walls = sandbox.walls().map_err(|status| OpenError::Sandbox(status.to_string()))?;
    tell(Event::Setup { what: "sandbox", text: walls.to_string() });
    let spec = spec(policy, &task, profile, threads);
    let compressors = Some(compressors);
    let mut bench =
        Bench { store, toolchain: Some(toolchain), sandbox, task, compressors, spec, jobs, forward_ps_per_token: 0 };
    let seed_guest = seed_guest(&mut bench, policy)?;
    Ok((bench, seed_guest))
}

fn task(policy: &Policy, tell: &mut dyn FnMut(Event)) -> Result<(PreparedTask, Compressors), OpenError> {
    let picked = data::pick(&policy.task.corpora, &mut |line| tell(Event::Note { text: line.into() }))?;
    for (name, why) in &picked.passed_over {
        tell(Event::Note { text: format!("corpus {name} is passed over: {why}") });
    }
    let task = task::prepare(&picked.corpus, policy.task.context, policy.task.eval_chunks, policy.task.scale)?;
    tell(Event::Setup { what: "corpus", text: format!("{}; task {}", task.describe(), task.hash().short()) });
    task.report.warning().into_iter().for_each(|text| tell(Event::Note { text }));
    let compressors = compress::cached(
        &task.search_text().map_err(DataError::from)?,
        &crate::system::cache::cache_dir().map_err(DataError::from)?,
    )?;
    Ok((task, compressors))
}

/// The definitions behind the hashes of manifests, so that a replay finds them.
fn remember(store: &Store, task: &PreparedTask, profile: &Profile) -> Result<(), OpenError> {
    let hash = crate::record::key::ProfileHash::new(profile).0;
    store.put_definition(&hash, "profile", &serde_json::to_string(profile)?)?;
    store.put_definition(&task.hash().0, "task", &serde_json::to_string(&task.definition())?)?;
    Ok(())
}

fn spec(policy: &Policy, task: &PreparedTask, profile: Profile, threads: Option<u32>) -> RunSpec {
    let budget_ps = (policy.budget.seconds * 1e12) as u64;
    RunSpec {
        vocab: task.task.tokenizer.vocab(),
        context: policy.task.context,
        scale: policy.task.scale,
        budget_ps,
        profile,
        limits: policy.limits.clone(),
        random_seed: 0,
        intervals: INTERVALS,
        eval_rows: policy.task.eval_rows,
        threads: threads.unwrap_or_else(all_cores),
        wall_limit_ms: wall_limit_ms(budget_ps),
    }
}

/// A backstop only: ten times the budget, and a minute and a half for machines that start slowly.
fn wall_limit_ms(budget_ps: u64) -> u64 {
    budget_ps / 1_000_000_000 * 10 + 90_000
}

/// Threads where none are asked for.
pub fn all_cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

/// Compiles the guest that the night starts from and sets the cost cap of `forward` from its own cost.
fn seed_guest(bench: &mut Bench, policy: &Policy) -> Result<Candidate, OpenError> {
    let name = &policy.task.seed_guest;
    let text = match name.as_str() {
        "gpt" => SEED_GUEST.to_string(),
        path => std::fs::read_to_string(path).map_err(|source| OpenError::Read { path: path.into(), source })?,
    };
    let refused = |refusal: Refusal| match refusal {
        Refusal::Bench(error) => OpenError::Bench(error),
        refusal => OpenError::SeedGuest { name: name.clone(), refusal: Box::new(refusal) },
    };
    let candidate = bench.prepare(&text).map_err(refused)?;
    let per_token = candidate.dry_run.forward_ps_per_token(bench.spec.forward_tokens());
    bench.forward_ps_per_token = per_token.saturating_mul(u64::from(bench.spec.limits.forward_cost_factor));
    Ok(candidate)
}

/// A bench on which a recorded experiment can be run again, and its component. No compiler is needed.
pub fn for_record(
    store: Store,
    record: &ExperimentRecord,
    threads: Option<u32>,
) -> Result<(Bench, Component), OpenError> {
    let manifest = &record.manifest;
    let gone = |reason: String| OpenError::Gone { key: record.key.short(), reason };
    if manifest.numerics != kernels::cpu::CLASS {
        return Err(gone(format!(
            "its numerics class is {}, this host has {}: results of both stay readable, but only a host of that class can replay it",
            manifest.numerics,
            kernels::cpu::CLASS
        )));
    }
    if manifest.contract != crate::record::key::CONTRACT {
        return Err(gone(format!(
            "it was made under the contract {}, this host speaks {}: its results stay readable, but only a host of that contract can replay it",
            manifest.contract,
            crate::record::key::CONTRACT
        )));
    }
    let definition = |hash: &Hash, what: &str| -> Result<String, OpenError> {
        store.definition(hash)?.ok_or_else(|| gone(format!("the store does not define its {what}")))
    };
    let profile: Profile = serde_json::from_str(&definition(&manifest.profile.0, "profile")?)
        .map_err(|e| gone(format!("its profile does not read: {e}")))?;
    let known: Definition = serde_json::from_str(&definition(&manifest.task.0, "task")?)
        .map_err(|e| gone(format!("its task does not read: {e}")))?;
    let cache = crate::system::cache::cache_dir().map_err(DataError::from)?;
    let corpus = data::open(&known.corpus, &cache, &mut |_| {})?;
    let task = task::prepare(&corpus, known.context, known.eval_chunks, known.scale)?;
    if task.hash() != manifest.task {
        return Err(gone(format!("corpus {} is another text now, so its task is another", known.corpus)));
    }
    let component =
        store.component(&manifest.component)?.ok_or_else(|| gone("its component is not in the index".into()))?;
    let bytes = store.get_blob(&component.component_blob)?;
    let component = Component::from_bytes(&bytes).map_err(|e| gone(format!("its component is refused: {e}")))?;
    if component.key() != manifest.component {
        return Err(gone("its component has another key".into()));
    }
    let spec = RunSpec {
        vocab: task.task.tokenizer.vocab(),
        context: task.task.context,
        scale: task.task.scale,
        budget_ps: manifest.budget_ps,
        profile,
        limits: manifest.limits.clone(),
        random_seed: manifest.random_seed,
        intervals: manifest.intervals,
        eval_rows: manifest.eval_rows,
        threads: threads.unwrap_or_else(all_cores),
        wall_limit_ms: wall_limit_ms(manifest.budget_ps),
    };
    let forward_ps_per_token = manifest.forward_ps_per_token;
    let bench = Bench {
        store,
        toolchain: None,
        sandbox: Sandbox::new(None),
        task,
        compressors: None,
        spec,
        jobs: NonZeroUsize::MIN,
        forward_ps_per_token,
    };
    Ok((bench, component))
}

/// The experiment of that prefix, or the one behind the latest champion, or else the best completed one.
pub fn experiment_or_champion(store: &Store, prefix: Option<&str>) -> Result<ExperimentRecord, OpenError> {
    let key = match prefix {
        Some(prefix) => match store.resolve(prefix)? {
            Found::Experiment(key) => key,
            _ => {
                return Err(OpenError::Gone {
                    key: prefix.into(),
                    reason: "it is no experiment; `host log` lists experiments".into(),
                });
            }
        },
        None => store.latest_champion()?.ok_or(OpenError::NoModel)?,
    };
    store.find_experiment(&key)?.ok_or(OpenError::NoModel)
}
