//! A policy: what a night is to do, as a TOML file. Shipped policies and profiles are embedded and go by name; a name
//! with `/` or `.toml` is a path. Unknown fields, wrong types and values out of range are errors with their line, the
//! reason and the nearest remedy. Depends on nothing but the types that a policy is made of.

use crate::experiment::judge::Selection;
use crate::propose::command;
use crate::propose::evolve::proposer::Offline;
use crate::propose::llm::ModelConfig;
use crate::record::key::ProfileHash;
use crate::record::limits::Limits;
use crate::record::spend::Caps;
use kernels::cost::Profile;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Shipped policies by name.
const POLICIES: &[(&str, &str)] = &[
    ("llm", include_str!("../../policies/llm.toml")),
    ("ollama", include_str!("../../policies/ollama.toml")),
    ("overnight", include_str!("../../policies/overnight.toml")),
    ("smoke", include_str!("../../policies/smoke.toml")),
];

/// Shipped profiles by name.
const PROFILES: &[(&str, &str)] = &[("zen-2c", include_str!("../../policies/profiles/zen-2c.toml"))];

/// Domain of policy hashes.
const HASH_DOMAIN: &str = "lab policy v1";

/// A policy file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What is learnt and how it is scored.
    pub task: TaskPolicy,
    /// How long each experiment trains.
    pub budget: Budget,
    /// Bounds of a guest.
    #[serde(default)]
    pub limits: Limits,
    /// How many experiments, from whom.
    #[serde(default)]
    pub search: Search,
    /// What may be spent.
    #[serde(default)]
    pub caps: CapsPolicy,
    /// Language models that `proposers` may name: table `[llm.sonnet]` is the proposer `llm.sonnet`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub llm: BTreeMap<String, ModelConfig>,
    /// Programs that `proposers` may name: table `[command.agent]` is the proposer `command.agent`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub command: BTreeMap<String, command::Config>,
    /// What counts as a gain.
    #[serde(default)]
    pub selection: Selection,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskPolicy {
    /// Corpora in order of preference; the first that can be had is taken.
    pub corpora: Vec<String>,
    /// Evaluation context in tokens.
    pub context: u32,
    /// Rung of the ladder that a guest derives its sizes from.
    #[serde(default = "one")]
    pub scale: f32,
    /// Chunks scored of each held-out split.
    pub eval_chunks: u32,
    /// Rows per forward call.
    #[serde(default = "eight")]
    pub eval_rows: u32,
    /// The guest that the night starts from: `gpt`, or a path.
    #[serde(default = "gpt")]
    pub seed_guest: String,
}

/// Budget time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Reference profile: a name under `policies/profiles/`, or a path.
    pub profile: String,
    /// Pinned blake3 of the profile; a profile that differs is refused.
    pub profile_hash: Option<String>,
    /// Deterministic seconds per experiment.
    pub seconds: f64,
}

/// The night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// Stop after so many experiments of the night, restarts included; none: go on.
    pub experiments: Option<u64>,
    /// Stop after so many hours of the night, the time between restarts not counted; none: go on.
    pub hours: Option<f64>,
    /// Who proposes: `evolve`, `llm.NAME`, `command.NAME`. Several share the night by what they gain for what they cost.
    pub proposers: Vec<String>,
    /// How often a proposal that does not compile or pass the dry run goes back to its author.
    pub repairs: u32,
    /// Trials between two digests of what the night has taught.
    pub digest_every: u64,
    /// Random seed of the night: proposals and experiments' random seeds derive from it.
    pub random_seed: u64,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            experiments: None,
            hours: None,
            proposers: vec!["evolve".into()],
            repairs: 3,
            digest_every: 20,
            random_seed: 1337,
        }
    }
}

/// Most that a night may spend on its proposers, all together; what is left out has no bound. At a cap the night goes on
/// with what is free.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapsPolicy {
    /// US dollars.
    pub dollars: Option<f64>,
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Requests.
    pub requests: Option<u64>,
}

impl CapsPolicy {
    /// In millionths of a dollar.
    pub fn in_whole_numbers(&self) -> Caps {
        let micro_dollars = self.dollars.map(|dollars| (dollars * 1e6).round() as u64);
        Caps { requests: self.requests, tokens: self.tokens, micro_dollars }
    }
}

/// Why a policy or profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No shipped file has this name.
    #[error("no {kind} is called `{name}`: shipped are {known}; a path contains `/` or ends in `.toml`")]
    Unknown {
        /// `policy` or `profile`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// Shipped names.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that it may not.
    #[error("{0}")]
    Invalid(Box<Diagnostic>),
    /// The profile is not the one that the policy pins.
    #[error(
        "profile `{name}` has hash {found}, but the policy pins {pinned}: results would not compare; use the pinned profile, or pin this one"
    )]
    ProfileDiffers {
        /// Its name.
        name: String,
        /// Its hash.
        found: String,
        /// The policy's.
        pinned: String,
    },
    /// The profile lacks a class, or says something impossible.
    #[error("profile `{name}`: {source}")]
    Profile {
        /// Its name.
        name: String,
        /// What is wrong.
        source: kernels::cost::ProfileError,
    },
    /// The policy holds a value that TOML cannot express.
    #[error("the policy cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
}

/// A fault in a file, as a person needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's name or path.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line.
    pub text: String,
    /// Characters to underline.
    pub width: usize,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    fn new(file: &str, source: &str, span: Range<usize>, reason: String, help: Option<String>) -> Self {
        let before = source.get(..span.start).unwrap_or(source);
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let text = source.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        let marked = source.get(span).and_then(|s| s.lines().next()).unwrap_or_default();
        Self {
            file: file.into(),
            line: before.matches('\n').count() + 1,
            column,
            text: text.into(),
            width: marked.chars().count().max(1),
            reason,
            help,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.reason)?;
        writeln!(f, "  {number} | {}", self.text)?;
        write!(f, "  {gutter} | {}{}", " ".repeat(self.column - 1), "^".repeat(self.width))?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl Policy {
    /// Loads a shipped policy by name, or a file by path, and validates it.
    pub fn load(name: &str) -> Result<Self, PolicyError> {
        let (file, text) = find("policy", POLICIES, name)?;
        Self::parse(&file, &text)
    }

    /// Reads and validates a policy; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let policy: Self = parse_toml(file, text)?;
        match policy.faults().into_iter().next() {
            None => Ok(policy),
            Some((field, reason)) => {
                let span = locate(text, &field).unwrap_or(0..0);
                let reason = format!("{field}: {reason}");
                Err(PolicyError::Invalid(Box::new(Diagnostic::new(file, text, span, reason, None))))
            }
        }
    }

    /// The policy with every default written out, as TOML in declaration order. Two files that mean the same have the
    /// same canonical form; comments and layout do not count.
    pub fn canonical(&self) -> Result<String, PolicyError> {
        Ok(toml::to_string(self)?)
    }

    /// blake3 (`derive_key` with "lab policy v1") of the canonical form.
    pub fn hash(&self) -> Result<[u8; 32], PolicyError> {
        Ok(blake3::derive_key(HASH_DOMAIN, self.canonical()?.as_bytes()))
    }

    /// Loads the reference profile and checks the pin.
    pub fn profile(&self) -> Result<Profile, PolicyError> {
        let profile = load_profile(&self.budget.profile)?;
        let found = ProfileHash::new(&profile).to_string();
        match &self.budget.profile_hash {
            Some(pinned) if *pinned != found => {
                Err(PolicyError::ProfileDiffers { name: profile.name, found, pinned: pinned.clone() })
            }
            _ => Ok(profile),
        }
    }

    /// Values out of range, with the field's path.
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Faults(Vec::new());
        let Self { task, budget, limits, search, caps, selection, .. } = self;
        faults.unless(!task.corpora.is_empty(), "task.corpora", "name at least one corpus");
        faults.within("task.context", task.context, 8, 4096);
        faults.within("task.scale", task.scale, 0.125, 64.0);
        faults.within("task.eval_chunks", task.eval_chunks, 2, 1 << 20);
        faults.within("task.eval_rows", task.eval_rows, 2, 256);
        faults.unless(!task.seed_guest.is_empty(), "task.seed_guest", "must name a guest: `gpt`, or a path");
        faults.within("budget.seconds", budget.seconds, 0.01, 86_400.0);
        let hex = |hash: &String| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let pinned = budget.profile_hash.as_ref().is_none_or(hex);
        faults.unless(pinned, "budget.profile_hash", "must be 64 lower-case hexadecimal digits");
        faults.within("limits.component_bytes", limits.component_bytes, 1 << 10, 1 << 30);
        faults.within("limits.memory_bytes", limits.memory_bytes, 1 << 16, 4 << 30);
        faults.within("limits.tensor_bytes", limits.tensor_bytes, 1 << 16, 1 << 40);
        faults.within("limits.max_tensors", limits.max_tensors, 1, 1 << 32);
        faults.within("limits.max_ops", limits.max_ops, 1, 1 << 40);
        faults.within("limits.fuel_per_budget_second", limits.fuel_per_budget_second, 1, 1 << 40);
        faults.within("limits.state_bytes", limits.state_bytes, 1, 1 << 40);
        faults.within("limits.log_points", limits.log_points, 0, 1 << 32);
        faults.within("limits.forward_cost_factor", limits.forward_cost_factor, 1, 1000);
        faults.within("search.experiments", search.experiments.unwrap_or(1), 1, 1 << 32);
        faults.within("search.hours", search.hours.unwrap_or(1.0), 0.01, 24.0 * 365.0);
        faults.within("search.repairs", search.repairs, 0, 10);
        faults.within("search.digest_every", search.digest_every, 1, 1 << 32);
        faults.within("search.random_seed", search.random_seed, 0, i64::MAX as u64);
        faults.unless(!search.proposers.is_empty(), "search.proposers", "name at least one proposer");
        self.proposer_faults(&mut faults);
        faults.within("caps.dollars", caps.dollars.unwrap_or(0.0), 0.0, 1e6);
        faults.within("caps.tokens", caps.tokens.unwrap_or(0), 0, 1 << 50);
        faults.within("caps.requests", caps.requests.unwrap_or(0), 0, 1 << 50);
        faults.within("selection.replicas", selection.replicas, 2, 100);
        faults.within("selection.fresh_seeds", selection.fresh_seeds, 1, 100);
        faults.within("selection.keep_probability", selection.keep_probability, 0.5, 0.9999);
        faults.0
    }

    /// Proposers that are not there, named twice, or wrongly described.
    fn proposer_faults(&self, faults: &mut Faults) {
        let known = |name: &str| match name.split_once('.') {
            None => name == Offline::NAME,
            Some(("llm", model)) => self.llm.contains_key(model),
            Some(("command", program)) => self.command.contains_key(program),
            Some(_) => false,
        };
        let named = &self.search.proposers;
        if let Some(unknown) = named.iter().find(|name| !known(name)) {
            let tables = self.llm.keys().map(|name| format!("llm.{name}"));
            let tables = tables.chain(self.command.keys().map(|name| format!("command.{name}")));
            let all: Vec<String> = [Offline::NAME.to_owned()].into_iter().chain(tables).collect();
            let reason = format!(
                "no proposer is called `{unknown}`: there is `{}`; a table `[llm.NAME]` or `[command.NAME]` makes one",
                all.join("`, `")
            );
            faults.unless(false, "search.proposers", &reason);
        }
        let twice = named.iter().enumerate().find(|(i, name)| named.iter().take(*i).any(|other| other == *name));
        if let Some((_, name)) = twice {
            faults.unless(false, "search.proposers", &format!("`{name}` is named twice"));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let is_name = |name: &String| (1..=32).contains(&name.len()) && name.chars().all(is_plain);
        const NAMES: &str = "a name has 1 to 32 letters, digits, `-` and `_`";
        for (name, model) in &self.llm {
            faults.unless(is_name(name), &format!("llm.{name}"), NAMES);
            for (field, reason) in model.faults() {
                faults.unless(false, &format!("llm.{name}.{field}"), &reason);
            }
        }
        for (name, program) in &self.command {
            faults.unless(is_name(name), &format!("command.{name}"), NAMES);
            if let Some((field, reason)) = program.fault() {
                faults.unless(false, &format!("command.{name}.{field}"), &reason);
            }
        }
    }
}

struct Faults(Vec<(String, String)>);

impl Faults {
    fn unless(&mut self, holds: bool, field: &str, reason: &str) {
        if !holds {
            self.0.push((field.to_owned(), reason.to_owned()));
        }
    }

    fn within<T: PartialOrd + fmt::Display>(&mut self, field: &str, value: T, low: T, high: T) {
        let reason = format!("{value} is out of range: {low} to {high}");
        self.unless(value >= low && value <= high, field, &reason);
    }
}

/// The text of a shipped file or of a path, and what to call it.
/// Loads a shipped profile by name, or a file by path, and validates it.
pub fn load_profile(name: &str) -> Result<Profile, PolicyError> {
    let (file, text) = find("profile", PROFILES, name)?;
    let profile: Profile = parse_toml(&file, &text)?;
    profile.validate().map_err(|source| PolicyError::Profile { name: profile.name.clone(), source })?;
    Ok(profile)
}

fn find(kind: &'static str, shipped: &[(&str, &str)], name: &str) -> Result<(String, String), PolicyError> {
    if name.contains('/') || name.ends_with(".toml") {
        let text = std::fs::read_to_string(name);
        return text
            .map(|text| (name.to_owned(), text))
            .map_err(|source| PolicyError::Read { path: name.to_owned(), source });
    }
    match shipped.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => Ok((name.to_owned(), (*text).to_owned())),
        None => {
            let known = shipped.iter().map(|(n, _)| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            Err(PolicyError::Unknown { kind, name: name.to_owned(), known })
        }
    }
}

fn parse_toml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, PolicyError> {
    toml::from_str(text).map_err(|error| {
        let reason = error.message().lines().next().unwrap_or("not valid TOML").to_owned();
        let help = nearest(&reason).map(|name| format!("did you mean `{name}`?"));
        let span = error.span().unwrap_or(0..0);
        PolicyError::Invalid(Box::new(Diagnostic::new(file, text, span, reason, help)))
    })
}

/// The known name nearest to the unknown one, from a message of the form "unknown field `a`, expected one of `b`, `c`".
fn nearest(message: &str) -> Option<&str> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    similar::get_close_matches(unknown, &known, 1, 0.5).into_iter().next()
}

/// Where the value of a dotted field path stands, or else the table that lacks it.
fn locate(text: &str, path: &str) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let mut names = path.split('.');
    let mut value = table.get_ref().get(names.next()?)?;
    for name in names {
        let DeValue::Table(inner) = value.get_ref() else { break };
        let Some(found) = inner.get(name) else { break };
        value = found;
    }
    Some(value.span())
}

fn one() -> f32 {
    1.0
}
fn eight() -> u32 {
    8
}
fn gpt() -> String {
    "gpt".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINIMAL: &str = "[task]\ncorpora = [\"shakespeare\"]\ncontext = 64\neval_chunks = 8\n\n[budget]\nprofile = \"zen-2c\"\nseconds = 2.0\n";

    fn fault(text: &str) -> String {
        Policy::parse("night.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn shipped_policies_load_with_their_profiles() {
        for (name, _) in POLICIES {
            let policy = Policy::load(name).unwrap();
            assert_eq!(policy.profile().unwrap().name, policy.budget.profile);
            assert_eq!(policy.task.corpora, ["shakespeare", "rust-src"]);
        }
    }

    #[test]
    fn a_typo_is_shown_with_line_and_nearest_field() {
        let text = MINIMAL.replace("seconds", "secnods");
        assert_eq!(
            fault(&text),
            "night.toml:8:1: unknown field `secnods`, expected one of `profile`, `profile_hash`, `seconds`\n  8 | secnods = 2.0\n    | ^^^^^^^\n  help: did you mean `seconds`?"
        );
    }

    #[test]
    fn a_value_out_of_range_is_shown_with_its_line() {
        assert_eq!(
            fault(&MINIMAL.replace("context = 64", "context = 4")),
            "night.toml:3:11: task.context: 4 is out of range: 8 to 4096\n  3 | context = 4\n    |           ^"
        );
        assert!(fault(&MINIMAL.replace("2.0", "nan")).contains("budget.seconds: NaN is out of range: 0.01 to 86400"));
        let proposer = format!("{MINIMAL}\n[search]\nproposers = [\"oracle\"]\n");
        assert!(fault(&proposer).contains("night.toml:11:13: search.proposers: no proposer is called `oracle`"));
    }

    #[test]
    fn proposers_are_tables_and_their_faults_have_lines() {
        let table = "\n[search]\nproposers = [\"llm.local\", \"command.agent\", \"evolve\"]\n\n[llm.local]\ndialect = \"openai\"\n\
                     base_url = \"http://localhost:1\"\nmodel = \"m\"\n\n[command.agent]\nargv = [\"agent\"]\n";
        let text = format!("{MINIMAL}{table}");
        let policy = Policy::parse("p", &text).unwrap();
        assert_eq!(policy.llm["local"].model, "m");
        assert_eq!(Policy::parse("p", &policy.canonical().unwrap()).unwrap(), policy);
        let said = fault(&text.replace("\"llm.local\"", "\"llm.remote\""));
        assert!(said.contains("night.toml:11:13: search.proposers: no proposer is called `llm.remote`"), "{said}");
        assert!(said.contains("there is `evolve`, `llm.local`, `command.agent`"), "{said}");
        let said = fault(&text.replace("http://localhost:1", "localhost"));
        assert!(said.contains("night.toml:15:12: llm.local.base_url: "), "{said}");
        let said = fault(&text.replace("[\"agent\"]", "[]"));
        assert!(said.contains("night.toml:19:8: command.agent.argv: "), "{said}");
        let said = fault(&text.replace("\"evolve\"", "\"llm.local\""));
        assert!(said.contains("`llm.local` is named twice"), "{said}");
    }

    #[test]
    fn caps_are_whole_millionths() {
        let policy = Policy::parse("p", &format!("{MINIMAL}\n[caps]\ndollars = 0.29\nrequests = 5\n")).unwrap();
        let caps = Caps { requests: Some(5), tokens: None, micro_dollars: Some(290_000) };
        assert_eq!(policy.caps.in_whole_numbers(), caps);
        assert!(fault(&format!("{MINIMAL}\n[caps]\ndollars = -1.0\n")).contains("caps.dollars: -1 is out of range"));
    }

    #[test]
    fn wrong_types_missing_fields_and_bad_syntax_are_located() {
        assert!(fault(&MINIMAL.replace("64", "\"x\"")).starts_with("night.toml:3:11: invalid type: string"));
        assert!(fault(&MINIMAL.replace("eval_chunks = 8\n", "")).contains("missing field `eval_chunks`"));
        assert!(fault(&MINIMAL.replace("[budget]", "[budget")).starts_with("night.toml:6:"));
    }

    #[test]
    fn unknown_names_say_what_is_shipped() {
        let message = Policy::load("overnigth").unwrap_err().to_string();
        assert!(message.contains("`overnight`, `smoke`"), "{message}");
        assert!(Policy::load("no/such.toml").unwrap_err().to_string().starts_with("cannot read no/such.toml"));
        let mut policy = Policy::parse("p", MINIMAL).unwrap();
        policy.budget.profile_hash = Some("0".repeat(64));
        assert!(matches!(policy.profile().unwrap_err(), PolicyError::ProfileDiffers { .. }));
    }

    #[test]
    fn the_canonical_form_is_pinned_and_ignores_layout() {
        let policy = Policy::parse("p", MINIMAL).unwrap();
        let again = Policy::parse("p", &policy.canonical().unwrap()).unwrap();
        assert_eq!(policy, again);
        let other = Policy::parse("p", &format!("# a comment\n{}", MINIMAL.replace(" = ", "="))).unwrap();
        assert_eq!(policy.hash().unwrap(), other.hash().unwrap());
        let hex = blake3::Hash::from_bytes(policy.hash().unwrap()).to_hex();
        assert_eq!(hex.as_str(), "03bae748ed0f6808bd631f37a1ee022eacdda1397511f3f160d540debf4f81d4");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = Policy::parse("p", &text);
        }

        #[test]
        fn damaged_policies_are_errors_or_policies(at in 0usize..MINIMAL.len(), with in "[\\[\\]=\"é\n.0-9a-z]{1,3}") {
            let text = format!("{}{with}{}", &MINIMAL[..at], &MINIMAL[at + 1..]);
            if let Err(error) = Policy::parse("p", &text) {
                prop_assert!(error.to_string().starts_with("p:"));
            }
        }
    }
}
