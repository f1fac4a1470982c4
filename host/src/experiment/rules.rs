//! Rules of a policy that guests must keep beside their limits. A rule refuses a guest and changes no result, so it is
//! no part of the terms: trials under other rules compete on the same ones. Pure; `admit` asks the rules.

use crate::guest::component::MAX_COMPONENT_BYTES;
use crate::guest::source::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most that [`Rules::component_bytes`] may be.
pub const MOST_COMPONENT_BYTES: u64 = MAX_COMPONENT_BYTES as u64;

/// The table `[rules]` of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    // What counts is said at `crate::guest::source::Carried`.
    /// Bytes of data that a source may carry.
    pub data_bytes: u64,
    /// Bytes of a component that is sent in the place of a source, without custom sections. Its data cannot be told
    /// from its code, so all of it counts as what it carries. 0 refuses all of them.
    pub component_bytes: u64,
    /// Least number of training tokens, as a share of the seed guest's.
    pub trained_share: f64,
}

impl Default for Rules {
    /// Six times the data of good champions, and twice that of the test guest that calls every function. The data of
    /// 20 kB of English text counts as 11 kB or more. Every component that is valid.
    fn default() -> Self {
        Self { data_bytes: 6_000, component_bytes: MOST_COMPONENT_BYTES, trained_share: 0.0 }
    }
}

/// The seed guest of a policy, with which other guests are compared.
#[derive(Clone, Debug)]
pub struct SeedGuest {
    pub source: Source,
    /// Its training tokens, from its dry run.
    pub tokens: u64,
}
