//! How large and how deep a source may be.

/// Bytes of a source. The seed guest has about 10 KB; a parser's memory is a large multiple of its input.
pub const MAX_SOURCE_BYTES: usize = 256 << 10;

/// Tokens that may be open at once: those of every enclosing group since its last `,`, `;` or finished block. Bounds
/// the depth of the syntax tree, and with it the recursion of parser, printer and drop.
pub(super) const MAX_OPEN_TOKENS: usize = 4096;
