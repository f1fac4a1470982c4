//! The key of a source: a hash of what the compiler sees, independent of comments and layout.
//!
//! It hashes one byte (0: tokens, 1: text) and then each token, or the text where the program can observe its own
//! layout (`line!`, `stringify!`, panic locations through a hook or `Location`). Documentation of items, fields and
//! variants does not count. Elsewhere it is an attribute that a macro may see or that the compiler refuses, so it does.
//!
//! This is sound because the key only names a cache entry: it decides whether an earlier compilation can be reused.
//! Results depend on the component's own key. Panic locations differ with layout, but a guest without the names above
//! cannot see them: they reach only messages and line tables, which no hash covers. They then refer to the text that
//! was compiled first.

use crate::guest::source::token::{END, Token};
use crate::record::encoding::Encoder;
use crate::record::key::SourceKey;

const TOKENS: u8 = 0;
const TEXT: u8 = 1;

pub(super) fn of_text(text: &str) -> SourceKey {
    let mut bytes = vec![TEXT];
    bytes.extend_from_slice(text.as_bytes());
    SourceKey::of(&bytes)
}

pub(super) fn of_tokens(tokens: &[Token]) -> SourceKey {
    let mut out = Encoder::new();
    out.u8(TOKENS);
    for Token { code, text, data_bytes: _ } in tokens {
        out.u8(*code);
        if *code != END {
            out.str(text);
        }
    }
    SourceKey::of(&out.finish())
}
