//! Limits of a source's size and depth.

/// Largest source in bytes. The seed guest has about 10 KB. A parser uses a large multiple of its input in memory.
pub const MAX_SOURCE_BYTES: usize = 256 << 10;

/// Largest number of open tokens (see [`super::depth`]). It limits the depth of the syntax tree, and so the recursion
/// of the parser, of visitors and of drop. One expression of 70 full lines without a comma has about as many.
pub(super) const MAX_OPEN_TOKENS: usize = 1024;

/// Largest number of groups (brackets of any kind) in each other. rustc crashes at 1000 blocks.
pub(super) const MAX_GROUPS: usize = 128;

/// Longest number in bytes. A binary one of 128 bits with separators and a suffix has about 260.
pub(super) const MAX_NUMBER_BYTES: usize = 1024;
