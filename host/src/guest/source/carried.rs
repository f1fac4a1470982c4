//! How much data a source carries. Two counts, of which the larger one holds:
//!
//! - the bytes of its literals, which people can check by reading;
//! - how much longer the compressed tokens get when they follow those of another source, the seed guest's. What is
//!   written in words, in the order of calls or in many small functions counts here too: a compiled guest holds nothing
//!   that its tokens or the library do not, and no code is shorter than what it tells.
//!
//! Only the tokens that the compiler sees count, without comments and layout.

use crate::guest::source::token::Token;
use liblzma::read::XzEncoder;
use liblzma::stream::{Filters, LzmaOptions, Stream};
use serde::Serialize;
use std::io::{self, Read};

const PRESET: u32 = 6;
/// Window of the compressor: more than two of the longest sources have.
const WINDOW_BYTES: u32 = 2 << 20;

/// What a source carries, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Bytes of strings, characters and numbers.
    pub literals: u64,
    /// Compressed bytes of the tokens, beyond those that the other source has.
    pub compressed: u64,
}

impl Carried {
    /// What a component of this length carries. Nothing tells its data from its code.
    pub fn in_component(bytes: u64) -> Self {
        Self { literals: 0, compressed: bytes }
    }

    /// The count that holds.
    pub fn bytes(&self) -> u64 {
        self.literals.max(self.compressed)
    }
}

/// What a program can know of its source, token by token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Each token's kind, a byte that no text has, then its text.
    bytes: Vec<u8>,
    /// Bytes of the literals.
    literals: u64,
}

impl Tokens {
    pub(super) fn of(tokens: &[Token]) -> Self {
        let mut all = Self::default();
        for token in tokens {
            all.bytes.push(token.code);
            all.bytes.extend_from_slice(token.text.as_bytes());
            all.literals += token.data_bytes;
        }
        all
    }

    /// Counts the whole text in the place of its tokens, if a program can see its layout.
    pub(super) fn count_text(&mut self, text: &str) {
        self.bytes = text.as_bytes().to_vec();
    }

    /// What these tokens carry beyond `known`.
    pub(super) fn beyond(&self, known: Option<&Self>) -> io::Result<Carried> {
        let known = known.map_or(&[][..], |known| &known.bytes);
        let compressed = compressed(&[known, &self.bytes])?.saturating_sub(compressed(&[known])?);
        Ok(Carried { literals: self.literals, compressed })
    }
}

/// Length of the parts in bytes after compression as one.
fn compressed(parts: &[&[u8]]) -> io::Result<u64> {
    let mut options = LzmaOptions::new_preset(PRESET)?;
    let mut filters = Filters::new();
    filters.lzma2(options.dict_size(WINDOW_BYTES));
    let text = parts.iter().fold(Box::new(io::empty()) as Box<dyn Read>, |text, part| Box::new(text.chain(*part)));
    io::copy(&mut XzEncoder::new_stream(text, Stream::new_raw_encoder(&filters)?), &mut io::sink())
}
