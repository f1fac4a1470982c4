//! Identity: hashes, keys, and the manifest whose hash is the experiment key. Pure. Depends on the canonical encoding
//! and on the types that are hashed.
//!
//! Each kind of key has its own BLAKE3 context string (`derive_key` mode), so keys of different kinds never collide. A
//! bare [`struct@Hash`] is plain BLAKE3 and names a blob.

use crate::record::causality::Accepted;
use crate::record::dry_run::DryRun;
use crate::record::encoding::Encoder;
use crate::record::limits::Limits;
use kernels::cost::{Instructions, Memory, Profile, Rate, Rules};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The contract version of this host; part of every experiment key.
pub const CONTRACT: &str = "lab:train@0.2.0";

/// 32 bytes of BLAKE3. Displayed, parsed and serialised (in readable formats) as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

/// Text that is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no hash: 64 lower-case hexadecimal digits are expected")]
pub struct ParseHashError(String);

impl Hash {
    /// Plain BLAKE3, as blobs are named.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> String {
        self.0.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        let error = || ParseHashError(text.chars().take(80).collect());
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error());
        }
        blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes())).map_err(|_| error())
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $name:ident = $context:literal;)+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Hash);

        impl $name {
            /// The key of `bytes` in the BLAKE3 context of this kind.
            pub fn of(bytes: &[u8]) -> Self {
                Self(Hash(blake3::derive_key(concat!("lab 2026-11 ", $context), bytes)))
            }

            /// The first 12 digits, for people.
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                text.parse().map(Self)
            }
        }
    )+ };
}

keys! {
    /// A guest's source as the compiler sees it, without layout and comments. Version 1 hashed the text as it was
    /// printed again from the syntax tree, which joined tokens that a macro tells apart.
    SourceKey = "source key v2";
    /// Everything that compilation depends on: see [`CompileKey::new`].
    CompileKey = "compile key v1";
    /// A component with its names and custom sections stripped.
    ComponentKey = "component key v1";
    /// The behaviour of a guest, independent of its code: see [`BehaviourKey::new`].
    BehaviourKey = "behaviour key v1";
    /// A task: corpus, tokenizer, splits, evaluation settings, scale.
    TaskHash = "task v1";
    /// A reference profile: see [`ProfileHash::new`].
    ProfileHash = "profile v1";
    /// An experiment: see [`Manifest::key`].
    ExperimentKey = "experiment key v1";
    /// What a dry run depends on: see [`Manifest::dry_run_key`].
    DryRunKey = "dry-run key v1";
    /// The terms under which results may be compared: see [`Manifest::context_key`].
    ContextKey = "context key v1";
    /// A secret that chooses what is held out: see [`crate::record::secret`].
    SplitCommitment = "split commitment v1";
    /// The outcome of an experiment: see [`crate::record::outcome::Outcome::hash`].
    OutcomeHash = "outcome v1";
}

impl CompileKey {
    /// Hashes, in this order: source key, hash of the SDK, compiler (version and target), flags.
    pub fn new(source: &SourceKey, sdk: &Hash, compiler: &str, flags: &[&str]) -> Self {
        let mut e = Encoder::new();
        e.hash(&source.0.0);
        e.hash(&sdk.0);
        e.str(compiler);
        e.count(flags.len());
        flags.iter().for_each(|flag| e.str(flag));
        Self::of(&e.finish())
    }
}

impl BehaviourKey {
    /// Hashes the op streams of `train` and `forward`. A guest that reads values has no behaviour key, because the dry
    /// run does not know the real values.
    pub fn new(dry_run: &DryRun) -> Option<Self> {
        let mut e = Encoder::new();
        e.hash(&dry_run.train.op_hash);
        e.hash(&dry_run.forward.op_hash);
        (!dry_run.advisory).then(|| Self::of(&e.finish()))
    }
}

impl ProfileHash {
    /// Hashes the classes in order of name: class, mflops, bytes per µs, overhead; and, from version 2 of the price
    /// rules on, what follows them. The name of the profile does not count.
    pub fn new(profile: &Profile) -> Self {
        let Profile { name: _, rules, memory, guest, classes } = profile;
        let mut rates: Vec<&Rate> = classes.iter().collect();
        rates.sort_by(|a, b| a.class.cmp(&b.class));
        let mut e = Encoder::new();
        e.count(rates.len());
        for Rate { class, mflops, bytes_per_us, overhead_ps } in rates {
            e.str(class);
            e.u64(*mflops);
            e.u64(*bytes_per_us);
            e.u64(*overhead_ps);
        }
        if *rules != Rules::One {
            let Memory { cache_bytes, jump_ps } = memory;
            let Instructions { free_per_op, instruction_ps, far_instruction_ps } = guest;
            e.u32((*rules).into());
            for number in [cache_bytes, jump_ps, free_per_op, instruction_ps, far_instruction_ps] {
                e.u64(*number);
            }
        }
        Self::of(&e.finish())
    }
}

/// Everything that the outcome of an experiment depends on, and nothing else. With the component, the task's data and
/// the profile, it can be run again on any machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub component: ComponentKey,
    pub task: TaskHash,
    /// Budget in picoseconds.
    pub budget_ps: u64,
    pub profile: ProfileHash,
    pub limits: Limits,
    /// Highest allowed cost of `forward` per token, in picoseconds: a multiple of the seed guest's cost.
    pub forward_ps_per_token: u64,
    /// Rows of each `forward` call in evaluation.
    pub eval_rows: u32,
    pub random_seed: u64,
    /// Numerics class, such as `cpu-2`.
    pub numerics: String,
    /// Contract version: [`CONTRACT`].
    pub contract: String,
    /// Number of intervals in the hash chain.
    pub intervals: u32,
}

impl Manifest {
    /// Hashes every field in order of declaration.
    pub fn key(&self) -> ExperimentKey {
        let Self {
            component,
            task,
            budget_ps,
            profile,
            limits,
            forward_ps_per_token,
            eval_rows,
            random_seed,
            numerics,
            contract,
            intervals,
        } = self;
        let mut e = Encoder::new();
        e.hash(&component.0.0);
        e.hash(&task.0.0);
        e.u64(*budget_ps);
        e.hash(&profile.0.0);
        encode_limits(&mut e, limits);
        e.u64(*forward_ps_per_token);
        e.u32(*eval_rows);
        e.u64(*random_seed);
        e.str(numerics);
        e.str(contract);
        e.u32(*intervals);
        ExperimentKey::of(&e.finish())
    }

    /// Hashes what a dry run can depend on: component, task, budget, profile, limits, contract. A dry run executes
    /// nothing, so random seed, numerics class and intervals don't matter.
    pub fn dry_run_key(&self) -> DryRunKey {
        let mut e = Encoder::new();
        e.hash(&self.component.0.0);
        self.encode_terms(&mut e);
        DryRunKey::of(&e.finish())
    }

    /// Hashes the terms on which guests compete: task, budget, profile, limits, contract, cost cap of `forward`,
    /// numerics class.
    pub fn context_key(&self) -> ContextKey {
        let mut e = Encoder::new();
        self.encode_terms(&mut e);
        e.u64(self.forward_ps_per_token);
        e.str(&self.numerics);
        ContextKey::of(&e.finish())
    }

    fn encode_terms(&self, e: &mut Encoder) {
        e.hash(&self.task.0.0);
        e.u64(self.budget_ps);
        e.hash(&self.profile.0.0);
        encode_limits(e, &self.limits);
        e.u32(self.eval_rows);
        e.str(&self.contract);
    }
}

/// Writes every limit in order of declaration.
fn encode_limits(e: &mut Encoder, limits: &Limits) {
    let Limits {
        component_bytes,
        memory_bytes,
        tensor_bytes,
        max_tensors,
        max_ops,
        fuel_per_budget_second,
        state_bytes,
        log_points,
        forward_cost_factor,
        causality,
    } = limits;
    for limit in [
        component_bytes,
        memory_bytes,
        tensor_bytes,
        max_tensors,
        max_ops,
        fuel_per_budget_second,
        state_bytes,
        log_points,
    ] {
        e.u64(*limit);
    }
    e.u32(*forward_cost_factor);
    match causality {
        // As before there was a choice.
        Accepted::ProvedOrProbed => {}
        Accepted::Proved => e.str("causality: proved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::session::Totals;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn manifest() -> Manifest {
        Manifest {
            component: ComponentKey::of(b"component"),
            task: TaskHash::of(b"task"),
            budget_ps: 60_000_000_000_000,
            profile: ProfileHash::of(b"profile"),
            limits: Limits { fuel_per_budget_second: 50_000_000, ..Limits::default() },
            forward_ps_per_token: 500_000,
            eval_rows: 8,
            random_seed: 1337,
            numerics: "cpu-0".into(),
            contract: CONTRACT.into(),
            intervals: 8,
        }
    }

    fn profile() -> Profile {
        let rate =
            |class: &str, mflops| Rate { class: class.into(), mflops, bytes_per_us: 9_000, overhead_ps: 2_000_000 };
        Profile::of_rates("two-core", vec![rate("elementwise", 1_000), rate("matmul", 50_000)])
    }

    fn dry_run() -> DryRun {
        let totals = |byte| Totals { op_hash: [byte; 32], ..Totals::default() };
        DryRun {
            train: totals(1),
            forward: totals(2),
            named: Default::default(),
            advisory: false,
            fuel: 0,
            causality: None,
            step_ps: 0,
            lines: Vec::new(),
        }
    }

    /// Each manifest differs from [`manifest`] in one field.
    fn changed() -> Vec<Manifest> {
        let changes: [fn(&mut Manifest); 20] = [
            |m| m.component = ComponentKey::of(b"other"),
            |m| m.task = TaskHash::of(b"other"),
            |m| m.budget_ps += 1,
            |m| m.profile = ProfileHash::of(b"other"),
            |m| m.limits.component_bytes += 1,
            |m| m.limits.memory_bytes += 1,
            |m| m.limits.tensor_bytes += 1,
            |m| m.limits.max_tensors += 1,
            |m| m.limits.max_ops += 1,
            |m| m.limits.fuel_per_budget_second += 1,
            |m| m.limits.state_bytes += 1,
            |m| m.limits.log_points += 1,
            |m| m.limits.forward_cost_factor += 1,
            |m| m.limits.causality = Accepted::Proved,
            |m| m.forward_ps_per_token += 1,
            |m| m.eval_rows += 1,
            |m| m.random_seed += 1,
            |m| m.numerics = "cpu-1".into(),
            |m| m.contract.push('x'),
            |m| m.intervals += 1,
        ];
        let change = |change: &fn(&mut Manifest)| {
            let mut m = manifest();
            change(&mut m);
            m
        };
        changes.iter().map(change).collect()
    }

    #[test]
    fn golden_vectors() {
        let source = "6723e19a20a5425054241d9dd55a1e1a01cd4cf67d4de7c85cae6aaf97f68f9b".parse().unwrap();
        let golden = [
            (Hash::of(b"x").to_string(), "3ae7d805f6789a6402acb70ad4096a85a56bf6804eaf25c0493ac697548d30b5"),
            (SourceKey::of(b"x").to_string(), "e9905148aeb844371ec08e9ffa66f659b22eac4768c20b8d050d7f5fdabf7d25"),
            (
                CompileKey::new(&source, &Hash::of(b"sdk"), "rustc 1.95.0", &["-O"]).to_string(),
                "e5bb9ae44c1ec4f771a0ab211fa084aea1187cc7d2b5e5a2d1b67cf45095a25b",
            ),
            (ComponentKey::of(b"x").to_string(), "749055574892d336f05151844588bbbf35b77e08cbc8e77889d5204f5aedd8ba"),
            (
                BehaviourKey::new(&dry_run()).unwrap().to_string(),
                "015e6d3545e2b7269f5cdd5f654b0cc82eae74de03cd35baacd3feac79588468",
            ),
            (TaskHash::of(b"x").to_string(), "284decfcaa600050fd25fc5cfbc715974d1eb08c65f7e389dcefebccaeeb4c8b"),
            (
                ProfileHash::new(&profile()).to_string(),
                "dcd9b834756487032de9905831a9fccfc8d0b20d41be1402147a2425ac428de5",
            ),
            (manifest().key().to_string(), "2746968bdecd5b092e766ec92c9e276cbc95571a8df1a976d36ed50b32242f58"),
            (manifest().dry_run_key().to_string(), "a09bbdd5e5facc9fed4ff04842dd1f6466ae5560f21650807ecd46c0cfa022b6"),
            (manifest().context_key().to_string(), "ea286bf219ca5059fde3c12f06142ca383dbd643766977c61192f3c0f4df03ae"),
            (OutcomeHash::of(b"x").to_string(), "50e6d100ee173b5006641a5868c5840d928ffa1e60a6cc72b045390440ba92db"),
        ];
        let (found, expected): (Vec<_>, Vec<_>) = golden.iter().map(|(found, text)| (found.as_str(), *text)).unzip();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_field_of_a_manifest_changes_its_key() {
        let mut keys: BTreeSet<_> = changed().iter().map(Manifest::key).collect();
        keys.insert(manifest().key());
        assert_eq!(keys.len(), changed().len() + 1);
    }

    #[test]
    fn dry_runs_and_contexts_ignore_only_what_they_say() {
        let same_dry_run = |m: &&Manifest| m.dry_run_key() == manifest().dry_run_key();
        assert_eq!(
            changed().iter().filter(same_dry_run).count(),
            4,
            "cost cap of forward, random seed, numerics class, intervals"
        );
        let same_context = |m: &&Manifest| m.context_key() == manifest().context_key();
        assert_eq!(changed().iter().filter(same_context).count(), 3, "component, random seed, intervals");
    }

    #[test]
    fn a_profile_is_its_prices() {
        let hash = ProfileHash::new(&profile());
        let mut other = profile();
        other.name.push('x');
        other.classes.reverse();
        assert_eq!(ProfileHash::new(&other), hash);
        other.classes.iter_mut().for_each(|rate| rate.overhead_ps += 1);
        assert_ne!(ProfileHash::new(&other), hash);
    }

    #[test]
    fn what_version_2_of_the_rules_adds_counts_too() {
        let of = |change: fn(&mut Profile)| {
            let mut profile = Profile { rules: Rules::Two, ..profile() };
            change(&mut profile);
            ProfileHash::new(&profile)
        };
        let hashes: BTreeSet<ProfileHash> = [
            of(|_| ()),
            of(|p| p.rules = Rules::One),
            of(|p| p.memory.cache_bytes += 1),
            of(|p| p.memory.jump_ps += 1),
            of(|p| p.guest.free_per_op += 1),
            of(|p| p.guest.instruction_ps += 1),
            of(|p| p.guest.far_instruction_ps += 1),
        ]
        .into();
        assert_eq!(hashes.len(), 7);
    }

    #[test]
    fn a_guest_that_reads_has_no_behaviour_key() {
        assert_eq!(BehaviourKey::new(&DryRun { advisory: true, ..dry_run() }), None);
    }

    proptest! {
        #[test]
        fn hashes_read_as_they_are_written(bytes: [u8; 32]) {
            let hash = Hash(bytes);
            prop_assert_eq!(hash.to_string().parse::<Hash>(), Ok(hash));
            let json = serde_json::to_string(&SourceKey(hash)).unwrap();
            prop_assert_eq!(&json, &format!("\"{hash}\""));
            prop_assert_eq!(serde_json::from_str::<SourceKey>(&json).unwrap(), SourceKey(hash));
            prop_assert!(hash.to_string().starts_with(&hash.short()));
        }

        #[test]
        fn manifests_read_as_they_are_written(random_seed: u64, budget_ps: u64, numerics: String) {
            let m = Manifest { random_seed, budget_ps, numerics, ..manifest() };
            let json = serde_json::to_string(&m).unwrap();
            prop_assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), m);
        }

        #[test]
        fn other_text_is_no_hash(text in "\\PC{0,70}") {
            let expected = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            prop_assert_eq!(text.parse::<Hash>().is_ok(), expected);
        }
    }
}
