//! Shared code of the end-to-end tests: a compiler, a small task on generated text, benches with their own stores, and
//! guests by name.

pub mod browser;
pub mod home;
pub mod inbox;
pub mod liar;
pub mod model_server;
pub mod swarm;

use nightlab::data::corpus::{Corpus, Document};
use nightlab::data::split;
use nightlab::data::task;
use nightlab::experiment::batch::Run;
use nightlab::experiment::bench::Bench;
use nightlab::experiment::rules::Rules;
use nightlab::experiment::runner::Experiment;
use nightlab::guest::component::{Component, componentise};
use nightlab::guest::source::Source;
use nightlab::guest::toolchain::Toolchain;
use nightlab::policy::Policy;
use nightlab::record::limits::Limits;
use nightlab::record::store::Store;
use nightlab::sandbox::{RunSpec, Sandbox};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The binary under test.
pub const HOST: &str = env!("CARGO_BIN_EXE_host");

/// Deterministic seconds of training per guest.
pub const BUDGET_SECONDS: f64 = 0.05;

/// The source of a guest under `tests/`, such as `guests/tiny`.
pub fn guest(name: &str) -> String {
    std::fs::read_to_string(guest_path(name)).unwrap()
}

/// The path of that source.
pub fn guest_path(name: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    top.join("tests").join(format!("{name}.rs"))
}

/// `guests/tiny` with another learning rate.
pub fn tiny(rate: &str) -> String {
    guest("guests/tiny").replace("LR: f32 = 0.02", &format!("LR: f32 = {rate}"))
}

/// A guest that fails with about half of all random seeds, and is unchanged with the others.
pub fn unlucky(guest: &str) -> String {
    let luck = "    assert!(Tensor::normal([1], 0.0, 1.0).item() >= 0.0, \"no luck\");\n    let net = init(";
    guest.replacen("    let net = init(", luck, 1)
}

/// Forty documents of pseudo-random words, on which a bigram model soon beats the unigram distribution.
pub fn documents() -> Vec<Document> {
    const WORDS: [&str; 16] = [
        "zuni", "quox", "bramble", "ivy", "wept", "jackal", "fog", "yarrow", "lumen", "oak", "pith", "dune", "kelp",
        "thrum", "vex", "gild",
    ];
    let mut state = 1u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 60) as usize]
    };
    let mut text = || (0..400).map(|_| word()).collect::<Vec<_>>().join(" ").into_bytes();
    (0..40).map(|i| Document { name: format!("{i:02}"), bytes: text() }).collect()
}

/// A compiler whose child processes are the binary under test.
pub fn toolchain() -> Toolchain {
    static FOUND: OnceLock<Toolchain> = OnceLock::new();
    let found = FOUND.get_or_init(|| Toolchain::find_or_install(&mut |_| {}).unwrap());
    found.clone().with_helper(HOST.into())
}

/// A source as a component.
pub fn component(source: &str) -> Component {
    let core = toolchain().compile(&Source::parse(source).unwrap()).unwrap();
    componentise(&core).unwrap()
}

/// Limits that the hostile guests reach before they take long.
pub fn limits() -> Limits {
    Limits {
        memory_bytes: 16 << 20,
        tensor_bytes: 64 << 20,
        max_tensors: 2_000,
        max_ops: 12_000,
        fuel_per_budget_second: 200_000_000,
        state_bytes: 8 << 20,
        log_points: 1_000,
        ..Limits::default()
    }
}

/// A bench with its own store and the cost cap of `forward` that `guests/tiny` sets.
pub struct Place {
    pub bench: Bench,
    /// The folder with the store.
    pub folder: tempfile::TempDir,
}

impl Place {
    /// A place that uses one thread and [`limits`].
    pub fn new() -> Self {
        static CAP: OnceLock<u64> = OnceLock::new();
        let mut place = Self::without_cap();
        place.bench.forward_ps_per_token = *CAP.get_or_init(|| {
            let tiny = Self::without_cap().bench.prepare(&guest("guests/tiny")).unwrap();
            let spec = &place.bench.spec;
            let tokens = u64::from(spec.eval_rows) * u64::from(spec.context);
            tiny.dry_run.forward.spent_ps.div_ceil(tokens) * u64::from(spec.limits.forward_cost_factor)
        });
        place
    }

    fn without_cap() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let corpus = Corpus::new("words", documents());
        let splits = split::split(&corpus, None, &mut |_| {}).unwrap();
        let task = task::prepare(&corpus, splits, None, (32, 24), 1.0).unwrap();
        let profile = Policy::load("smoke").unwrap().profile().unwrap();
        let spec = RunSpec {
            vocab: task.task.tokenizer.vocab(),
            context: 32,
            scale: 1.0,
            budget_ps: (BUDGET_SECONDS * 1e12) as u64,
            profile,
            limits: limits(),
            random_seed: 0,
            intervals: 4,
            eval_rows: 8,
            threads: 1,
            runtime_bytes: 0,
            wall_limit_ms: 60_000,
        };
        let bench = Bench {
            store: Store::open(&folder.path().join("store")).unwrap(),
            toolchain: Some(toolchain()),
            sandbox: Sandbox::new(Some(HOST.into())),
            task,
            compressors: None,
            spec,
            jobs: NonZeroUsize::MIN,
            fleet: None,
            forward_ps_per_token: 0,
            rules: Rules::default(),
            seed_guest: None,
        };
        Self { bench, folder }
    }

    /// Compiles a source that must compile.
    pub fn compile(&self, text: &str) -> Component {
        self.bench.compile(&Source::parse(text).unwrap()).unwrap()
    }

    /// Trains and scores a component without a dry run.
    pub fn run(&self, component: &Component, random_seed: u64) -> Run {
        let batch = [Experiment { component, random_seed }];
        self.bench.run(&batch, &mut |_, _| {}, &|| false).unwrap().remove(0)
    }
}
