//! Assembles a bench: from a policy for a night, or from a record for a replay. Finds or installs the compiler, the
//! corpus and the profile.

use crate::community::{KeyFileError, PrivateKey};
use crate::data::compress::{self, Compressors};
use crate::data::task::{self, Definition, PreparedTask};
use crate::data::{self, DataError};
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::prepare::{Candidate, Refusal};
use crate::experiment::rules::{Rules, SeedGuest};
use crate::experiment::spec;
use crate::guest::component::Component;
pub(crate) use crate::guest::seed::SEED_GUEST;
use crate::guest::source::{MAX_SOURCE_BYTES, Source};
use crate::guest::toolchain::{Toolchain, ToolchainError};
use crate::night::clerk::Clerk;
use crate::night::event::Event;
use crate::policy::{Choice, Policy, PolicyError};
use crate::propose::commons::Commons;
use crate::propose::evolve::proposer::Offline;
use crate::propose::inbox::Inbox;
use crate::propose::proposer::Proposer;
use crate::propose::{command, llm};
use crate::record::key::{Hash, Manifest, SplitCommitment};
use crate::record::secret::SplitSecret;
use crate::record::store::{ExperimentRecord, Found, NightRecord, Store, StoreError};
use crate::sandbox::{Device, DeviceError, RunSpec, Sandbox};
use crate::system::clock::unix_ms;
use crate::system::user_file;
use crate::system::walls::Walls;
use kernels::cost::Profile;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Number of intervals in the hash chain of a run: enough to locate a difference quickly, and almost free.
pub const INTERVALS: u32 = 8;

/// The built-in brief. A `program.md` in the working folder replaces it.
pub const BRIEF: &str = include_str!("../../../program.md");

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("the seed guest {name} cannot be used: {refusal}")]
    SeedGuest {
        /// The guest's name in the policy.
        name: String,
        refusal: Box<Refusal>,
    },
    #[error("cannot read the brief, program.md: {0}; mend it, or move it away to use the one that is shipped")]
    Brief(std::io::Error),
    #[error("cannot read the seed guest {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("there is no store in {0}; `host run --policy smoke` makes one, `--store DIR` names another")]
    NoStore(PathBuf),
    #[error("there is no room for a temporary folder: {0}")]
    Scratch(String),
    #[error("this machine cannot be measured: {0}")]
    Calibration(kernels::fault::Fault),
    #[error("nobody can propose: {}", words(.0))]
    NoProposer(Vec<Unfit>),
    #[error("what strangers wrote is not tried here, because a wall is missing: {0}; `host doctor` says more")]
    Walls(Walls),
    #[error("the sandbox does not work here: {0}")]
    Sandbox(String),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(
        "what strangers wrote is not run on a GPU, whose driver is a hole in the second wall: leave --device out, or set \
         `gpu = true` in the table `[community]` of the policy"
    )]
    StrangersOnGpu,
    /// Something that the experiment needs is missing or differs.
    #[error("{what} cannot be run here: {reason}")]
    Gone { what: String, reason: String },
    #[error("a definition cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("no experiment in this store has a model yet; `host run --policy smoke` makes one")]
    NoModel,
}

/// What of this machine experiments use. No result depends on threads and jobs; the device is in its numerics class.
#[derive(Clone, Copy, Debug)]
pub struct Power {
    /// Threads of the tensor engine; `None`: all cores.
    pub threads: Option<u32>,
    /// Experiments at the same time.
    pub jobs: NonZeroUsize,
    pub device: Device,
}

impl Power {
    /// One experiment at a time on the processor.
    pub fn of_threads(threads: Option<u32>) -> Self {
        Self { threads, jobs: NonZeroUsize::MIN, device: Device::Cpu }
    }
}

/// A proposer of the policy that cannot work on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Its name in the policy.
    pub name: String,
    /// The reason and the remedy.
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
    /// The proposers that can work.
    pub fit: Vec<Box<dyn Proposer>>,
    /// The proposers that cannot work.
    pub unfit: Vec<Unfit>,
}

/// The brief for proposers: `program.md` of the working folder, or the built-in one.
///
/// # Errors
/// If `program.md` exists but cannot be read as text. The built-in brief would not be what its owner wanted.
pub fn brief() -> Result<String, OpenError> {
    match user_file::read(Path::new("program.md"), user_file::MAX_TEXT_BYTES) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BRIEF.into()),
        read => read.map_err(OpenError::Brief),
    }
}

/// The policy if the user names none: `policy.toml` of the working folder, or the shipped `overnight`.
pub fn default_policy() -> &'static str {
    const OWN: &str = "policy.toml";
    if Path::new(OWN).is_file() { OWN } else { "overnight" }
}

/// The functions that a guest can call and what they cost by the policy's profile, for authors of guests.
pub fn reference(policy: &Policy) -> Result<String, PolicyError> {
    Ok(crate::guest::reference::markdown(&policy.profile()?))
}

/// Creates the proposers of a policy. Reads keys, and checks addresses and programs. Sends and starts nothing.
///
/// # Errors
/// If none of the proposers can work.
pub fn proposers(policy: &Policy, store: &Store) -> Result<Proposers, OpenError> {
    let mut all = Proposers::default();
    for name in &policy.search.proposers {
        match proposer(policy, name, store) {
            Ok(proposer) => all.fit.push(proposer),
            Err(reason) => all.unfit.push(Unfit { name: name.clone(), reason }),
        }
    }
    if all.fit.is_empty() { Err(OpenError::NoProposer(all.unfit)) } else { Ok(all) }
}

/// Creates one proposer, or says why it cannot work.
fn proposer(policy: &Policy, name: &str, store: &Store) -> Result<Box<dyn Proposer>, String> {
    let model = name.strip_prefix("llm.").and_then(|name| policy.llm.get_key_value(name));
    let program = name.strip_prefix("command.").and_then(|name| policy.command.get(name));
    let reference = || reference(policy).map_err(|error| error.to_string());
    Ok(match (model, program) {
        (Some((model, config)), _) => {
            Box::new(llm::Writer::open(model, config, reference()?).map_err(|error| error.to_string())?)
        }
        (None, Some(config)) => {
            let program = command::Program::new(name.into(), config.clone(), None, reference()?);
            program.check().map_err(|error| error.to_string())?;
            Box::new(program)
        }
        _ if name == Offline::NAME => Box::new(Offline::default()),
        _ if name == Inbox::NAME => {
            let store = store.twin().map_err(|error| error.to_string())?;
            Box::new(Inbox::new(store, policy.community))
        }
        _ if name == Commons::NAME => Box::new(Commons::new(store.twin().map_err(|error| error.to_string())?)),
        _ => return Err("the policy describes no such proposer; `host policy check` lists what there is".into()),
    })
}

/// The clerk of a policy that takes submissions. It signs with the key of the store.
pub fn clerk(policy: &Policy, store: &Path) -> Result<Option<Clerk>, OpenError> {
    Ok(policy.takes_submissions().then(|| PrivateKey::open(&key_path(store))).transpose()?.map(Clerk::new))
}

/// Where the key of a store is, whether it exists or not.
pub fn key_path(store: &Path) -> PathBuf {
    store.join("key")
}

/// Opens a store that exists already, to read it.
pub fn existing_store(dir: &Path) -> Result<Store, OpenError> {
    if !Store::exists(dir)? {
        return Err(OpenError::NoStore(dir.to_owned()));
    }
    Ok(Store::open_to_read(dir)?)
}

/// Opens a store that exists already, to change it.
pub fn writable_store(dir: &Path) -> Result<Store, OpenError> {
    if Store::exists(dir)? { Ok(Store::open(dir)?) } else { Err(OpenError::NoStore(dir.to_owned())) }
}

/// Assembles the bench of a night: compiler (found or installed), corpus (found or downloaded), profile and sandbox.
/// Also compiles the seed guest and runs it dry.
pub fn bench(
    store: Store,
    policy: &Policy,
    power: Power,
    tell: &mut dyn FnMut(Event),
) -> Result<(Bench, Candidate), OpenError> {
    let secret = match policy.task.split {
        Choice::Public => None,
        Choice::Secret => Some(store.current_secret(unix_ms())?),
    };
    open(store, policy, secret, power, tell)
}

/// Assembles the bench that a night would have, with a store of its own in an empty folder. The night's store, if there
/// is one, is only read.
pub(super) fn bench_beside(
    store: Option<&Store>,
    empty: &Path,
    policy: &Policy,
    power: Power,
    tell: &mut dyn FnMut(Event),
) -> Result<(Bench, Candidate), OpenError> {
    let own = Store::open(empty)?;
    let in_use = store.map(Store::secret_in_use).transpose()?.flatten();
    let secret = match (policy.task.split, store.zip(in_use)) {
        (Choice::Public, _) => None,
        (Choice::Secret, Some((store, record))) => store.secret(&record.commitment)?,
        (Choice::Secret, None) => Some(own.current_secret(unix_ms())?),
    };
    open(own, policy, secret, power, tell)
}

/// Assembles the bench of a night that was, with the secret that has chosen its held-out text.
pub fn bench_of_night(
    store: Store,
    (night, policy): (&NightRecord, &Policy),
    power: Power,
    tell: &mut dyn FnMut(Event),
) -> Result<(Bench, Candidate), OpenError> {
    let secret = match policy.task.split {
        Choice::Public => None,
        Choice::Secret => Some(secret_of_night(&store, night)?),
    };
    open(store, policy, secret, power, tell)
}

fn open(
    store: Store,
    policy: &Policy,
    secret: Option<SplitSecret>,
    power: Power,
    tell: &mut dyn FnMut(Event),
) -> Result<(Bench, Candidate), OpenError> {
    let Power { threads, jobs, device } = power;
    if device != Device::Cpu && policy.tries_strangers() && !policy.community.gpu {
        return Err(OpenError::StrangersOnGpu);
    }
    let sandbox = Sandbox::new(None).on(device)?;
    let toolchain = Toolchain::find_or_install(&mut |line| tell(Event::Note { text: line.into() }))?;
    tell(Event::Setup { what: "guest toolchain", text: toolchain.describe() });
    let (task, compressors) = task(policy, secret.as_ref(), tell)?;
    let profile = policy.profile()?;
    tell(Event::Setup {
        what: "budget",
        text: format!("{} s per experiment on profile {}", policy.budget.seconds, profile.name),
    });
    if let Some(text) = policy.without_effect() {
        tell(Event::Setup { what: "policy", text: text.to_owned() });
    }
    remember(&store, &task, &profile)?;
    if device != Device::Cpu {
        tell(Event::Setup { what: "device", text: format!("{device}, numerics class {}", sandbox.class()) });
    }
    let walls = sandbox.walls(&[]).map_err(|status| OpenError::Sandbox(status.to_string()))?;
    tell(Event::Setup { what: "sandbox", text: format!("wasm on, {walls}") });
    if policy.tries_strangers() && !walls.hold() {
        return Err(OpenError::Walls(walls));
    }
    let spec = spec(policy, &task, profile, threads);
    let compressors = Some(compressors);
    let mut bench = Bench {
        store,
        toolchain: Some(toolchain),
        sandbox,
        task,
        compressors,
        spec,
        jobs,
        fleet: None,
        forward_ps_per_token: 0,
        rules: policy.rules.clone(),
        seed_guest: None,
    };
    let seed_guest = seed_guest(&mut bench, policy)?;
    Ok((bench, seed_guest))
}

fn task(
    policy: &Policy,
    secret: Option<&SplitSecret>,
    tell: &mut dyn FnMut(Event),
) -> Result<(PreparedTask, Compressors), OpenError> {
    let picked = data::pick(&policy.task.corpora, &mut |line| tell(Event::Note { text: line.into() }))?;
    for (name, why) in &picked.passed_over {
        tell(Event::Note { text: format!("corpus {name} is passed over: {why}") });
    }
    let cache = crate::system::cache::cache_dir().map_err(DataError::from)?;
    let splits = data::splits(&picked.corpus, secret, &cache, &mut |line| tell(Event::Note { text: line.into() }))?;
    let sizes = (policy.task.context, policy.task.eval_chunks);
    let task = task::prepare(&picked.corpus, splits, secret, sizes, policy.task.scale)?;
    tell(Event::Setup { what: "corpus", text: format!("{}; task {}", task.describe(), task.hash().short()) });
    if let Some(commitment) = task.task.commitment {
        let text =
            format!("a secret of this store chooses it, {}; `host split` shows and reveals it", commitment.short());
        tell(Event::Setup { what: "held-out text", text });
    }
    task.warning().into_iter().for_each(|text| tell(Event::Note { text }));
    let compressors = compress::cached(&task.told_text().map_err(DataError::from)?, &cache)?;
    Ok((task, compressors))
}

/// Stores the definitions behind the hashes of manifests, so that a replay finds them.
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
        runtime_bytes: 0,
        wall_limit_ms: spec::wall_limit_ms(budget_ps),
    }
}

/// Default number of threads.
pub fn all_cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

/// The source of a policy's seed guest.
pub fn seed_text(policy: &Policy) -> Result<String, OpenError> {
    match policy.task.seed_guest.as_str() {
        "gpt" => Ok(SEED_GUEST.to_string()),
        path => user_file::read(Path::new(path), MAX_SOURCE_BYTES as u64)
            .map_err(|source| OpenError::Read { path: path.into(), source }),
    }
}

/// Compiles the seed guest. Its own cost of `forward` sets the cost cap of `forward` for all guests.
fn seed_guest(bench: &mut Bench, policy: &Policy) -> Result<Candidate, OpenError> {
    let name = &policy.task.seed_guest;
    let text = seed_text(policy)?;
    let refused = |refusal: Refusal| match refusal {
        Refusal::Bench(error) => OpenError::Bench(error),
        refusal => OpenError::SeedGuest { name: name.clone(), refusal: Box::new(refusal) },
    };
    let candidate = bench.prepare(&text).map_err(refused)?;
    let source = Source::parse(&text).map_err(|error| refused(error.into()))?;
    bench.seed_guest = Some(SeedGuest { source: source.clone(), tokens: candidate.dry_run.train.tokens });
    // If the seed guest broke the rule on data, every mutation would.
    bench.carried(&source).map_err(refused)?;
    let per_token = candidate.dry_run.forward_ps_per_token(bench.spec.forward_tokens());
    bench.forward_ps_per_token = per_token.saturating_mul(u64::from(bench.spec.limits.forward_cost_factor));
    Ok(candidate)
}

/// Assembles a bench for a replay of a recorded experiment. Returns it with the experiment's component. Needs no
/// compiler. `secret` is what another store has revealed; without it, this store must know what has chosen the held-out
/// text.
pub fn for_record(
    store: Store,
    record: &ExperimentRecord,
    secret: Option<SplitSecret>,
    power: Power,
) -> Result<(Bench, Component), OpenError> {
    let bench = for_manifest(store, &record.manifest, secret, power)?;
    let component = component_of(&bench.store, &record.manifest)?;
    Ok((bench, component))
}

/// The component of a manifest, from the store.
pub fn component_of(store: &Store, manifest: &Manifest) -> Result<Component, OpenError> {
    let gone = |reason: String| OpenError::Gone { what: format!("experiment {}", manifest.key().short()), reason };
    let component =
        store.component(&manifest.component)?.ok_or_else(|| gone("its component is not in the index".into()))?;
    let bytes = store.get_blob(&component.component_blob)?;
    let component = Component::from_bytes(&bytes).map_err(|e| gone(format!("its component is refused: {e}")))?;
    if component.key() != manifest.component {
        return Err(gone("its component has another key".into()));
    }
    Ok(component)
}

/// Assembles a bench for the experiment of a manifest, which the store need not know. It makes one run at a time.
pub fn for_manifest(
    store: Store,
    manifest: &Manifest,
    secret: Option<SplitSecret>,
    power: Power,
) -> Result<Bench, OpenError> {
    let gone = |reason: String| OpenError::Gone { what: format!("experiment {}", manifest.key().short()), reason };
    let sandbox = Sandbox::new(None).on(power.device)?;
    if manifest.numerics != sandbox.class() {
        return Err(gone(format!(
            "its numerics class is {}, and --device {} has {}: results of both stay readable, but only a host and a \
             device of that class can replay it",
            manifest.numerics,
            power.device,
            sandbox.class()
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
    let secret = secret_of(&store, &known, secret, &gone)?;
    let splits = data::splits(&corpus, secret.as_ref(), &cache, &mut |_| {})?;
    let task = task::prepare(&corpus, splits, secret.as_ref(), (known.context, known.eval_chunks), known.scale)?;
    if task.hash() != manifest.task {
        return Err(gone(format!("corpus {} is another text now, so its task is another", known.corpus)));
    }
    let spec = spec::of_manifest(manifest, profile, &task.task, power.threads.unwrap_or_else(all_cores));
    let forward_ps_per_token = manifest.forward_ps_per_token;
    Ok(Bench {
        store,
        toolchain: None,
        sandbox,
        task,
        compressors: None,
        spec,
        jobs: NonZeroUsize::MIN,
        fleet: None,
        forward_ps_per_token,
        rules: Rules::default(),
        seed_guest: None,
    })
}

fn secret_of_night(store: &Store, night: &NightRecord) -> Result<SplitSecret, OpenError> {
    let gone = |reason: String| OpenError::Gone { what: format!("night {}", night.id), reason };
    let definition = store.definition(&night.task.0)?;
    let definition = definition.ok_or_else(|| gone("the store does not define its task".into()))?;
    let task: Definition =
        serde_json::from_str(&definition).map_err(|error| gone(format!("its task does not read: {error}")))?;
    secret_of(store, &task, None, &gone)?.ok_or_else(|| gone("its task names no secret".into()))
}

/// The secret that has chosen the held-out text of a task, if one has.
fn secret_of(
    store: &Store,
    task: &Definition,
    given: Option<SplitSecret>,
    gone: &dyn Fn(String) -> OpenError,
) -> Result<Option<SplitSecret>, OpenError> {
    match (task.commitment, given) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(gone("no secret has chosen its held-out text: leave --secret out".into())),
        (Some(wanted), Some(given)) if given.commitment() != wanted => Err(gone(format!(
            "its held-out text was chosen by the secret with the commitment {wanted}, the one that was given has {}",
            given.commitment()
        ))),
        (Some(_), Some(given)) => Ok(Some(given)),
        (Some(wanted), None) => match store.secret(&wanted)? {
            Some(secret) => Ok(Some(secret)),
            None => Err(gone(no_secret(&wanted))),
        },
    }
}

fn no_secret(commitment: &SplitCommitment) -> String {
    format!(
        "its held-out text was chosen by the secret with the commitment {commitment}, which this store does not have. \
         When the store that drew it has revealed it, `host replay --secret` takes it"
    )
}

/// The experiment with this key prefix. Without a prefix, the experiment of the latest champion, or the best completed
/// one.
pub fn experiment_or_champion(store: &Store, prefix: Option<&str>) -> Result<ExperimentRecord, OpenError> {
    let key = match prefix {
        Some(prefix) => match store.resolve(prefix)? {
            Found::Experiment(key) => key,
            _ => {
                return Err(OpenError::Gone {
                    what: format!("experiment {prefix}"),
                    reason: "it is no experiment; `host log` lists experiments".into(),
                });
            }
        },
        None => store.latest_champion()?.ok_or(OpenError::NoModel)?,
    };
    store.find_experiment(&key)?.ok_or(OpenError::NoModel)
}
