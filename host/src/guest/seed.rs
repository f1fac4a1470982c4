//! The guest that nights start from.

/// The guest that nights start from.
pub const SEED_GUEST: &str = include_str!("../../../guest-sdk/seeds/gpt.rs");
