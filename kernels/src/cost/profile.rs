//! Profiles: the reference device's rates, and prices from them. Pure.

use super::units::{Cost, SMALL_PRODUCT};
use crate::op::Class;
use serde::{Deserialize, Serialize};

/// A reference device's speed, which defines budget time. All integers. Stored as TOML under `policies/profiles/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, also that of its file.
    pub name: String,
    /// Rates by class of op, see `Class`.
    pub classes: Vec<Rate>,
}

/// Speed of one class of op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Class name.
    pub class: String,
    /// Megaflops per second.
    pub mflops: u64,
    /// Bytes per microsecond.
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
    #[error("profile {profile}: class {class} has a zero; every number must be at least 1")]
    Zero { profile: String, class: &'static str },
}

impl Profile {
    /// Every class is there once, nothing else is, and no number is zero.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let profile = || self.name.clone();
        for class in Class::ALL {
            let rate =
                self.rate(class).ok_or_else(|| ProfileError::Missing { profile: profile(), class: class.name() })?;
            if rate.mflops == 0 || rate.bytes_per_us == 0 || rate.overhead_ps == 0 {
                return Err(ProfileError::Zero { profile: profile(), class: class.name() });
            }
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
pub struct Prices([Option<Rate>; Class::ALL.len()]);

impl Prices {
    /// Takes the profile's rates. A class without a rate has the largest price: [`Profile::validate`] finds it before.
    pub fn new(profile: &Profile) -> Self {
        Self(Class::ALL.map(|class| profile.rate(class).cloned()))
    }

    /// Price in picoseconds.
    pub fn price(&self, cost: &Cost) -> u64 {
        let small = cost.work.min(SMALL_PRODUCT);
        match cost.class {
            Class::Product => {
                let rest = self.time(Class::Product, cost.work - small);
                let compute = self.time(Class::ProductSmall, small).saturating_add(rest);
                compute.max(self.transfer(Class::Product, cost.bytes)).saturating_add(self.overhead(Class::Product))
            }
            class => {
                let busy = self.time(class, cost.work).max(self.transfer(class, cost.bytes));
                busy.saturating_add(self.overhead(class))
            }
        }
    }

    fn time(&self, class: Class, work: u64) -> u64 {
        self.quotient(class, work, |r| r.mflops)
    }

    fn transfer(&self, class: Class, bytes: u64) -> u64 {
        self.quotient(class, bytes, |r| r.bytes_per_us)
    }

    /// Units per microsecond against picoseconds: 10⁶ to one.
    fn quotient(&self, class: Class, units: u64, per_us: impl Fn(&Rate) -> u64) -> u64 {
        let divisor = self.0[class as usize].as_ref().map_or(0, per_us);
        if divisor == 0 {
            return u64::MAX;
        }
        let ps = (u128::from(units) * 1_000_000).div_ceil(u128::from(divisor));
        u64::try_from(ps).unwrap_or(u64::MAX)
    }

    fn overhead(&self, class: Class) -> u64 {
        self.0[class as usize].as_ref().map_or(u64::MAX, |r| r.overhead_ps)
    }
}
