//! Limits of a source's size and depth.

/// Largest source in bytes. The seed guest has about 10 KB. A parser uses a large multiple of its input in memory.
pub const MAX_SOURCE_BYTES: usize = 256 << 10;

/// Largest number of open tokens: those of every enclosing group since its last `,`, `;` or finished block. It limits
/// the depth of the syntax tree, and so the recursion of the parser, the printer and drop.
pub(super) const MAX_OPEN_TOKENS: usize = 4096;
