//! Profiles: the reference device's rates, and prices from them. Pure.

use super::demand::Cost;
use super::rules::Rules;
use crate::op::Class;
use serde::{Deserialize, Serialize};

/// Operations of a product that run at the rate of [`Class::ProductSmall`]: packing and splitting over threads pay only
/// later. A bracket, as in taxes, so that a larger product never costs less.
pub const SMALL_PRODUCT: u64 = 1 << 22;

/// A guest that starts has the free instructions of this many ops.
const START: u64 = 500;

/// A reference device's speed, which defines budget time. All integers. Stored as TOML under `policies/profiles/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, also that of its file.
    pub name: String,
    /// Version of the rules by which work is counted.
    #[serde(default)]
    pub rules: Rules,
    /// Where data lies. By version 1 of the rules there is no cache: all bytes count, and jumps are free.
    #[serde(default)]
    pub memory: Memory,
    /// What the guest's own instructions cost.
    #[serde(default)]
    pub guest: Instructions,
    /// Rates by class of op, see `Class`.
    pub classes: Vec<Rate>,
}

/// Where data lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Bytes that the cache holds.
    pub cache_bytes: u64,
    /// Picoseconds of a read or write at a random place of a table that is much larger than the cache.
    pub jump_ps: u64,
}

/// What the guest's own WebAssembly instructions cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instructions {
    /// Instructions that come with each op: what a guest needs to ask for it.
    pub free_per_op: u64,
    /// Picoseconds for each further instruction.
    pub instruction_ps: u64,
    /// The same, for a guest whose memory is much larger than the cache.
    pub far_instruction_ps: u64,
}

impl Default for Instructions {
    /// What the limit on instructions said before they had a price: a thousand million are worth a second.
    fn default() -> Self {
        Self { free_per_op: 4000, instruction_ps: 1000, far_instruction_ps: 1000 }
    }
}

/// Speed of one class of op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Class name.
    pub class: String,
    /// Work per microsecond: megaflops per second, where work is counted in operations.
    pub mflops: u64,
    /// Bytes per microsecond, of those beyond the cache.
    pub bytes_per_us: u64,
    /// Picoseconds per op.
    pub overhead_ps: u64,
}

/// Why a profile cannot price ops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its fields are")]
pub enum ProfileError {
    /// A class has no rates.
    #[error("profile {profile}: class {class} is missing; add a [[classes]] table for it")]
    Missing { profile: String, class: &'static str },
    /// A class that does not exist, or stands twice.
    #[error("profile {profile}: class {class} is unknown or stands twice; remove it")]
    Extra { profile: String, class: String },
    /// A number that must be above 0.
    #[error("profile {profile}: {place} has a zero; every number must be at least 1")]
    Zero { profile: String, place: String },
}

impl Profile {
    /// A profile of version 1 of the rules, of these rates alone.
    pub fn of_rates(name: &str, classes: Vec<Rate>) -> Self {
        let (rules, memory, guest) = (Rules::One, Memory::default(), Instructions::default());
        Self { name: name.to_owned(), rules, memory, guest, classes }
    }

    /// Every class is there once, nothing else is, and no number is zero.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let profile = || self.name.clone();
        let zero = |place: &str| ProfileError::Zero { profile: profile(), place: place.to_owned() };
        for class in Class::ALL {
            let rate =
                self.rate(class).ok_or_else(|| ProfileError::Missing { profile: profile(), class: class.name() })?;
            if rate.mflops == 0 || rate.bytes_per_us == 0 || rate.overhead_ps == 0 {
                return Err(zero(&format!("class {}", class.name())));
            }
        }
        let Memory { cache_bytes, jump_ps } = self.memory;
        if self.rules != Rules::One && [cache_bytes, jump_ps].contains(&0) {
            return Err(zero("[memory]"));
        }
        let Instructions { free_per_op, instruction_ps, far_instruction_ps } = self.guest;
        if [free_per_op, instruction_ps, far_instruction_ps].contains(&0) {
            return Err(zero("[guest]"));
        }
        for (i, rate) in self.classes.iter().enumerate() {
            let known = Class::ALL.iter().any(|c| c.name() == rate.class);
            if !known || self.classes[..i].iter().any(|r| r.class == rate.class) {
                return Err(ProfileError::Extra { profile: profile(), class: rate.class.clone() });
            }
        }
        Ok(())
    }

    fn rate(&self, class: Class) -> Option<&Rate> {
        self.classes.iter().find(|r| r.class == class.name())
    }
}

/// A profile made ready for pricing.
#[derive(Clone, Debug)]
pub struct Prices {
    rates: [Option<Rate>; Class::ALL.len()],
    memory: Memory,
    guest: Instructions,
    /// Version of the rules that the profile is for.
    pub rules: Rules,
}

impl Prices {
    /// Takes the profile's rates. A class without a rate has the largest price: [`Profile::validate`] finds it before.
    pub fn new(profile: &Profile) -> Self {
        Self {
            rates: Class::ALL.map(|class| profile.rate(class).cloned()),
            memory: profile.memory.clone(),
            guest: profile.guest.clone(),
            rules: profile.rules,
        }
    }

    /// Price in picoseconds.
    pub fn price(&self, cost: &Cost) -> u64 {
        let small = cost.work.min(SMALL_PRODUCT);
        let busy = match cost.class {
            Class::Product => {
                let rest = self.time(Class::Product, cost.work - small);
                self.time(Class::ProductSmall, small).saturating_add(rest)
            }
            class => self.time(class, cost.work),
        };
        let far = self.quotient(cost.class, cost.bytes.saturating_sub(self.memory.cache_bytes), |r| r.bytes_per_us);
        let jumps = cost.jumps.saturating_mul(self.beyond(cost.span, self.memory.jump_ps));
        busy.max(far).saturating_add(jumps).saturating_add(self.overhead(cost.class))
    }

    /// What the instructions are worth in picoseconds that are free for a guest that has asked for `ops` ops.
    pub fn free_instructions_ps(&self, ops: u64) -> u64 {
        let Instructions { free_per_op, instruction_ps, .. } = self.guest;
        free_per_op.saturating_mul(instruction_ps).saturating_mul(ops.saturating_add(START))
    }

    /// Price in picoseconds of each further instruction of a guest with this linear memory.
    pub fn instruction_ps(&self, memory_bytes: u64) -> u64 {
        let Instructions { instruction_ps, far_instruction_ps, .. } = self.guest;
        instruction_ps.saturating_add(self.beyond(memory_bytes, far_instruction_ps.saturating_sub(instruction_ps)))
    }

    /// The part of `ps` that falls to what a cache cannot hold of these bytes.
    fn beyond(&self, bytes: u64, ps: u64) -> u64 {
        let missed = bytes.saturating_sub(self.memory.cache_bytes);
        // Most tables and guests fit, and this is asked at each call.
        if missed == 0 { 0 } else { (u128::from(ps) * u128::from(missed) / u128::from(bytes)) as u64 }
    }

    fn time(&self, class: Class, work: u64) -> u64 {
        self.quotient(class, work, |r| r.mflops)
    }

    /// Units by units per microsecond, in picoseconds: 10⁶ to one.
    fn quotient(&self, class: Class, units: u64, per_us: impl Fn(&Rate) -> u64) -> u64 {
        let divisor = self.rates[class as usize].as_ref().map_or(0, per_us);
        if divisor == 0 {
            return u64::MAX;
        }
        let ps = (u128::from(units) * 1_000_000).div_ceil(u128::from(divisor));
        u64::try_from(ps).unwrap_or(u64::MAX)
    }

    fn overhead(&self, class: Class) -> u64 {
        self.rates[class as usize].as_ref().map_or(u64::MAX, |r| r.overhead_ps)
    }
}
