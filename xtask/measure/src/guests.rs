//! The guests to measure: a file, constants that are set here, and a vocabulary.

use crate::gpt::SIZES;
use crate::inputs::Layout;
use anyhow::{Context, Result, bail};
use kernels::cost::Profile;
use nightlab::guest::component::componentise;
use nightlab::guest::source::Source;
use nightlab::guest::toolchain::Toolchain;
use nightlab::policy::DEFAULT_PROFILE;
use nightlab::record::limits::Limits;
use nightlab::sandbox::{RunSpec, measure};
use std::path::{Path, PathBuf};

/// One guest to measure.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Name in tables.
    pub name: &'static str,
    /// Path of its source from the top of the repository.
    pub file: &'static str,
    /// Constants that differ from the file.
    pub set: &'static [(&'static str, usize)],
    /// Number of different tokens in its task.
    pub vocab: u32,
}

const GPT: &str = "tests/guests/gpt.rs";
const SEED: &str = "guest-sdk/seeds/gpt.rs";
const M: &[(&str, usize)] = &[("DEPTH", 6), ("WIDTH", 256), ("BATCH", 8), ("SEQ", 256)];
const L: &[(&str, usize)] = &[("DEPTH", 4), ("WIDTH", 256), ("BATCH", 8), ("SEQ", 256)];

/// Guests that are compared with peers.
pub const PEERS: [Kind; 4] = [
    Kind { name: "S", file: GPT, set: &[], vocab: 256 },
    Kind { name: "M", file: GPT, set: M, vocab: 256 },
    Kind { name: "L", file: GPT, set: L, vocab: 8192 },
    Kind { name: "seed", file: SEED, set: &[], vocab: 256 },
];

/// Different guests that a profile is tested on. [`FITTED`] has the guests for the fit.
pub const MAKES: [Kind; 15] = [
    Kind { name: "seed guest", file: SEED, set: &[], vocab: 256 },
    PEERS[0],
    PEERS[1],
    PEERS[2],
    Kind { name: "deep and narrow", file: GPT, set: &[("DEPTH", 12), ("WIDTH", 48), ("HEADS", 2)], vocab: 256 },
    Kind { name: "shallow and wide", file: GPT, set: &[("DEPTH", 1), ("WIDTH", 512), ("HEADS", 8)], vocab: 256 },
    Kind { name: "long sequences", file: GPT, set: &[("DEPTH", 2), ("BATCH", 2), ("SEQ", 1024)], vocab: 256 },
    Kind { name: "huge vocabulary", file: GPT, set: &[("DEPTH", 1), ("WIDTH", 64), ("HEADS", 2)], vocab: 16_384 },
    Kind { name: "tiny batches", file: GPT, set: &[("DEPTH", 2), ("BATCH", 1), ("SEQ", 32)], vocab: 256 },
    Kind { name: "attention-free", file: FREE, set: &[], vocab: 256 },
    Kind { name: "optimizer-heavy", file: HEAVY, set: &[], vocab: 256 },
    Kind { name: "small ops", file: SMALL_OPS, set: &[], vocab: 256 },
    Kind { name: "hashed 2-grams", file: NGRAMS, set: &[("ORDERS", 1)], vocab: 256 },
    Kind { name: "hashed 2- to 4-grams", file: NGRAMS, set: &[("ORDERS", 3), ("ROWS", 32_768)], vocab: 256 },
    Kind { name: "hashed 2- and 3-grams of 131k rows", file: NGRAMS, set: &[("ROWS", 131_072)], vocab: 256 },
];

/// Guests that a profile is fitted to. It is tested on guests of other sizes.
pub const FITTED: [Kind; 16] = [
    Kind { name: "seed guest, wider", file: SEED, set: &[("DEPTH", 3), ("WIDTH", 128), ("BATCH", 6)], vocab: 256 },
    Kind { name: "seed guest, narrower", file: SEED, set: &[("WIDTH", 64), ("BATCH", 16), ("SEQ", 64)], vocab: 256 },
    Kind { name: "192 wide", file: GPT, set: &[("DEPTH", 3), ("WIDTH", 192), ("HEADS", 6)], vocab: 256 },
    Kind { name: "384 wide", file: GPT, set: &[("DEPTH", 2), ("WIDTH", 384), ("HEADS", 6)], vocab: 256 },
    Kind { name: "64 wide, deep", file: GPT, set: &[("DEPTH", 8), ("WIDTH", 64), ("HEADS", 2)], vocab: 256 },
    Kind { name: "40 wide", file: GPT, set: &[("DEPTH", 6), ("WIDTH", 40), ("HEADS", 2)], vocab: 256 },
    Kind { name: "512 tokens", file: GPT, set: &[("DEPTH", 3), ("BATCH", 4), ("SEQ", 512)], vocab: 256 },
    Kind { name: "4096 symbols", file: GPT, set: &[("DEPTH", 2), ("BATCH", 8)], vocab: 4096 },
    Kind { name: "64 tokens a step", file: GPT, set: &[("DEPTH", 3), ("BATCH", 2), ("SEQ", 32)], vocab: 256 },
    Kind { name: "256 tokens a step", file: GPT, set: &[("BATCH", 4), ("SEQ", 64)], vocab: 256 },
    Kind { name: "attention-free, wider", file: FREE, set: &[("DEPTH", 3), ("WIDTH", 192)], vocab: 256 },
    Kind { name: "optimizer-heavy, narrower", file: HEAVY, set: &[("DEPTH", 4), ("WIDTH", 160)], vocab: 256 },
    Kind { name: "small ops, narrower", file: SMALL_OPS, set: &[("WIDTH", 64), ("HEADS", 2)], vocab: 256 },
    Kind { name: "small ops, wider", file: SMALL_OPS, set: &[("DEPTH", 2), ("WIDTH", 192), ("HEADS", 6)], vocab: 256 },
    Kind { name: "hashed 2- and 3-grams, narrower", file: NGRAMS, set: &[("WIDTH", 64), ("ROWS", 16_384)], vocab: 256 },
    Kind { name: "hashed 2-grams of 65k rows", file: NGRAMS, set: &[("ORDERS", 1), ("ROWS", 65_536)], vocab: 256 },
];

const FREE: &str = "tests/guests/attention_free.rs";
/// Large tables, read at random places and updated whole.
const NGRAMS: &str = "tests/guests/ngrams.rs";
const HEAVY: &str = "tests/guests/optimizer_heavy.rs";
/// Attention, norms and loss composed from small operations, at the size of S.
pub const SMALL_OPS: &str = "tests/guests/small_ops.rs";

impl Kind {
    /// The source with the constants set.
    pub fn source(&self) -> Result<String> {
        let path = top().join(self.file);
        let mut text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        for (name, value) in self.set {
            let old = constant(&text, name).with_context(|| format!("{} has no constant {name}", self.file))?;
            let (old, new) = (format!("const {name}: usize = {old};"), format!("const {name}: usize = {value};"));
            text = text.replacen(&old, &new, 1);
        }
        Ok(text)
    }

    /// Sequences per step, and tokens per sequence.
    pub fn batch(&self) -> Result<(u32, u32)> {
        let text = self.source()?;
        let number = |name| -> Result<u32> {
            let value = constant(&text, name).with_context(|| format!("{} has no constant {name}", self.file))?;
            value.parse().with_context(|| format!("{name} is {value}, which is not a number"))
        };
        Ok((number("BATCH")?, number("SEQ")?))
    }

    /// Compiles the source to a component.
    pub fn compile(&self) -> Result<Vec<u8>> {
        let toolchain = Toolchain::find_or_install(&mut |_| {})?.with_helper(std::env::current_exe()?);
        let module = toolchain.compile(&Source::parse(&self.source()?)?)?;
        Ok(componentise(&module)?.bytes().to_vec())
    }

    /// The start values of peers: the parameters in the order of their file.
    pub fn layout(&self, component: &[u8]) -> Result<Layout> {
        if let Some(sizes) = SIZES.iter().find(|sizes| sizes.name == self.name) {
            return Ok(sizes.layout());
        }
        let (batch, seq) = self.batch()?;
        let short = RunSpec { budget_ps: 1_000_000_000_000, ..run(self.vocab, &profile(DEFAULT_PROFILE)?) };
        let found = measure::dry_run(component, &short).map_err(|status| anyhow::anyhow!("{status:?}"))?;
        let named = found.named.tensors.into_iter();
        let mut parameters: Vec<_> = named.map(|(name, _, spec, _)| (name, spec.shape.dims().to_vec())).collect();
        parameters.sort_by_key(|(name, _)| place(name));
        let head_dim = constant(&self.source()?, "HEAD_DIM").and_then(|value| value.parse().ok()).unwrap_or(1);
        Ok(Layout { name: self.name.to_owned(), vocab: self.vocab, batch, seq, head_dim, parameters })
    }

    /// Tokens alone, for guests with their own start values.
    pub fn tokens(&self) -> Result<Layout> {
        let (batch, seq) = self.batch()?;
        Ok(Layout { name: self.name.to_owned(), vocab: self.vocab, batch, seq, head_dim: 1, parameters: Vec::new() })
    }
}

/// Position of the seed guest's parameters in the file of weights: tables first, then layer by layer.
fn place(name: &str) -> (u32, usize) {
    const PARTS: [&str; 12] = ["wte", "head", "resid", "x0", "q", "k", "v", "o", "fc", "proj", "ve", "gate"];
    let (part, layer) = name.split_once('.').unwrap_or((name, ""));
    let layer = layer.parse::<u32>().map_or(0, |layer| layer + 1);
    (layer, PARTS.iter().position(|p| *p == part).unwrap_or(PARTS.len()))
}

/// The value in `const NAME: type = value;`.
fn constant<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\nconst {name}: "))?;
    let (_, rest) = rest.split_once(" = ")?;
    rest.split_once(';').map(|(value, _)| value)
}

/// Settings for a run whose budget never ends.
pub fn run(vocab: u32, profile: &Profile) -> RunSpec {
    RunSpec {
        vocab,
        context: 128,
        scale: 1.0,
        budget_ps: u64::MAX / 4,
        profile: profile.clone(),
        limits: Limits { max_ops: u64::MAX, tensor_bytes: 4 << 30, ..Limits::default() },
        random_seed: 1,
        intervals: 1,
        eval_rows: 8,
        threads: threads(),
        runtime_bytes: 0,
        wall_limit_ms: 600_000,
    }
}

/// `THREADS`, or two, as for the peers.
pub fn threads() -> u32 {
    std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

/// A profile by its file name under `policies/profiles`, or by path.
pub fn profile(name: &str) -> Result<Profile> {
    let shipped = top().join("policies/profiles").join(format!("{name}.toml"));
    let path = if shipped.exists() { shipped } else { PathBuf::from(name) };
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let profile: Profile = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    profile.validate()?;
    Ok(profile)
}

/// The guest with this name.
pub fn peer(name: &str) -> Result<Kind> {
    match PEERS.into_iter().find(|kind| kind.name == name) {
        Some(kind) => Ok(kind),
        None => bail!("no model {name}; there are S, M, L and seed"),
    }
}

/// The top of the repository.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
