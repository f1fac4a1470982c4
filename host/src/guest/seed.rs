//! The seed guest: the source that nights start from.

pub const SEED_GUEST: &str = include_str!("../../../guest-sdk/seeds/gpt.rs");
