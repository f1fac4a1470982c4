//! Loads policies and profiles by name or path.

use crate::policy::diagnostic::{Diagnostic, locate, parse_toml};
use crate::policy::error::PolicyError;
use crate::policy::fields::Policy;
use crate::propose::commons::Commons;
use crate::propose::inbox::Inbox;
use crate::record::key::ProfileHash;
use crate::system::user_file::{self, MAX_TEXT_BYTES};
use kernels::cost::Profile;
use std::path::Path;

/// Shipped policies by name.
pub(super) const POLICIES: &[(&str, &str)] = &[
    ("community", include_str!("../../../policies/community.toml")),
    ("llm", include_str!("../../../policies/llm.toml")),
    ("ollama", include_str!("../../../policies/ollama.toml")),
    ("overnight", include_str!("../../../policies/overnight.toml")),
    ("promote", include_str!("../../../policies/promote.toml")),
    ("smoke", include_str!("../../../policies/smoke.toml")),
];

/// The profile of the shipped policies.
pub const DEFAULT_PROFILE: &str = "xeon-2c";

/// Shipped profiles by name.
const PROFILES: &[(&str, &str)] = &[
    (DEFAULT_PROFILE, include_str!("../../../policies/profiles/xeon-2c.toml")),
    ("zen-2c", include_str!("../../../policies/profiles/zen-2c.toml")),
    ("rtx-4090", include_str!("../../../policies/profiles/rtx-4090.toml")),
    ("a100-80gb", include_str!("../../../policies/profiles/a100-80gb.toml")),
    ("h100-sxm", include_str!("../../../policies/profiles/h100-sxm.toml")),
];

impl Policy {
    /// Loads a shipped policy by name, or a file by path, and validates it.
    pub fn load(name: &str) -> Result<Self, PolicyError> {
        let (file, text) = find("policy", POLICIES, name)?;
        Self::parse(&file, &text)
    }

    /// Whether it tries what strangers send.
    pub fn takes_submissions(&self) -> bool {
        self.search.proposers.iter().any(|name| name == Inbox::NAME)
    }

    /// Whether it tries what people sent whom nobody here knows.
    pub fn tries_strangers(&self) -> bool {
        self.takes_submissions() || self.search.proposers.iter().any(|name| name == Commons::NAME)
    }

    /// What the policy asks for that has no effect any more, in words.
    pub fn without_effect(&self) -> Option<&'static str> {
        self.selection.fresh_seeds.map(|_| FRESH_SEEDS)
    }

    /// Parses and validates a policy. `file` is its name in error messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let policy: Self = parse_toml(file, text).map_err(PolicyError::Invalid)?;
        match policy.faults().into_iter().next() {
            None => Ok(policy),
            Some((field, reason)) => Err(fault(file, text, &field, &reason)),
        }
    }

    /// The policy as TOML with all defaults, in declaration order. Two files with the same meaning have the same
    /// canonical form; comments and layout do not matter.
    pub fn canonical(&self) -> Result<String, PolicyError> {
        Ok(toml::to_string(self)?)
    }

    /// Loads the reference profile and compares it with the pinned hash.
    pub fn profile(&self) -> Result<Profile, PolicyError> {
        let profile = load_profile(&self.budget.profile)?;
        let found = ProfileHash::new(&profile).to_string();
        match &self.budget.profile_hash {
            Some(pinned) if *pinned != found => {
                Err(PolicyError::ProfileDiffers { name: profile.name, found, pinned: pinned.clone() })
            }
            Some(_) | None => Ok(profile),
        }
    }
}

/// Policies of version 0.1 said how many random seeds a promising mutation takes.
const FRESH_SEEDS: &str = "selection.fresh_seeds has no effect: a mutation takes as many random seeds as it needs, at \
     most `most_seeds`; leave the line out";

/// An error about a field, with its line.
fn fault(file: &str, text: &str, field: &str, reason: &str) -> PolicyError {
    let span = locate(text, field).unwrap_or(0..0);
    PolicyError::Invalid(Box::new(Diagnostic::new(file, text, span, format!("{field}: {reason}"), None)))
}

/// Loads a shipped profile by name, or a file by path, and validates it.
pub fn load_profile(name: &str) -> Result<Profile, PolicyError> {
    let (file, text) = find("profile", PROFILES, name)?;
    let profile: Profile = parse_toml(&file, &text).map_err(PolicyError::Invalid)?;
    profile.validate().map_err(|source| PolicyError::Profile { name: profile.name.clone(), source })?;
    Ok(profile)
}

fn find(kind: &'static str, shipped: &[(&str, &str)], name: &str) -> Result<(String, String), PolicyError> {
    if name.contains('/') || name.ends_with(".toml") {
        let text = user_file::read(Path::new(name), MAX_TEXT_BYTES);
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
