//! How much data a source carries. Two counts, of which the larger one holds:
//!
//! - the bytes of its literals, which people can check by reading;
//! - how much longer the compressed tokens get when they follow those of another source, the seed guest's. What is
//!   written in words, in the order of calls or in many small functions counts here too: a compiled guest holds nothing
//!   that its tokens or the library do not, and no code is shorter than what it tells.
//!
//! Only the tokens that the compiler sees count, without comments and layout.

use liblzma::read::XzEncoder;
use liblzma::stream::{Filters, LzmaOptions, Stream};
use proc_macro2::Literal;
use serde::Serialize;
use std::io::{self, Read};

const PRESET: u32 = 6;
/// Window of the compressor: more than two of the longest sources have.
const WINDOW_BYTES: u32 = 2 << 20;
/// Digits of a number that count as one byte. A byte has up to three decimal digits, or two hexadecimal ones.
const DIGITS_PER_BYTE: u64 = 2;

/// What a source carries, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Bytes of strings, characters and numbers.
    pub literals: u64,
    /// Compressed bytes of the tokens, beyond those that the other source has.
    pub compressed: u64,
}

impl Carried {
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
    pub(super) fn push(&mut self, code: u8, text: &str) {
        self.bytes.push(code);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn literal(&mut self, literal: &Literal) {
        self.literals += literal_bytes(literal);
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

fn literal_bytes(literal: &Literal) -> u64 {
    use syn::Lit;
    match Lit::new(literal.clone()) {
        Lit::Str(text) => text.value().len() as u64,
        Lit::ByteStr(bytes) => bytes.value().len() as u64,
        Lit::CStr(text) => text.value().as_bytes().len() as u64,
        Lit::Char(letter) => letter.value().len_utf8() as u64,
        Lit::Byte(_) | Lit::Bool(_) => 1,
        Lit::Int(number) => (number.base10_digits().len() as u64).div_ceil(DIGITS_PER_BYTE),
        Lit::Float(number) => (number.base10_digits().len() as u64).div_ceil(DIGITS_PER_BYTE),
        _ => literal.to_string().len() as u64,
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
