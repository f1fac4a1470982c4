//! Finds passages that two texts share, ignoring case, spacing and punctuation. A passage is any 50 letters, digits or
//! non-ASCII bytes in a row that both texts contain (the substring test of the GPT-4 technical report, 2023, appendix
//! C, made exhaustive). Pure.

use std::ops::Range;

/// Length of the compared shingles in bytes. Only letters, digits and non-ASCII bytes count.
pub const SHINGLE: usize = 50;

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Hashes of all shingles of a set of texts.
pub struct Index {
    /// Sorted, each once.
    hashes: Vec<u64>,
    /// One bit per value of the leading `filter_bits` bits of a hash. Most lookups end here.
    filter: Vec<u64>,
    /// Grows with the number of hashes, so that a lookup takes the same time however long the texts are.
    filter_bits: u32,
}

impl Index {
    /// Indexes `texts`. A shingle never spans two texts.
    pub fn new<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut hashes: Vec<u64> = texts.flat_map(|text| Shingles::of(text).map(|s| s.0)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let filter_bits = (hashes.len().max(1) * 16).ilog2().max(12) + 1;
        let mut filter = vec![0; 1 << (filter_bits - 6)];
        for &hash in &hashes {
            let (word, bit) = place(hash, filter_bits);
            filter[word] |= bit;
        }
        Self { hashes, filter, filter_bits }
    }

    fn holds(&self, hash: u64) -> bool {
        let (word, bit) = place(hash, self.filter_bits);
        self.filter[word] & bit != 0 && self.hashes.binary_search(&hash).is_ok()
    }

    /// The passages of `text` whose shingles are in the index: byte ranges, in order, disjoint.
    pub fn shared(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for (hash, range) in Shingles::of(text) {
            if self.holds(hash) {
                match found.last_mut() {
                    Some(last) if range.start <= last.end => last.end = range.end,
                    _ => found.push(range),
                }
            }
        }
        found
    }
}

/// `text` without `ranges` (in order, disjoint, inside the text).
pub fn cut(text: &[u8], ranges: &[Range<usize>]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        kept.extend_from_slice(&text[from..range.start]);
        from = range.end;
    }
    kept.extend_from_slice(&text[from..]);
    kept
}

fn place(hash: u64, filter_bits: u32) -> (usize, u64) {
    let index = hash >> (64 - filter_bits);
    ((index >> 6) as usize, 1 << (index & 63))
}

/// The hash and byte range of every shingle of a text: a rolling polynomial hash modulo 2^64 over the counted bytes,
/// then mixed.
struct Shingles<'a> {
    text: &'a [u8],
    /// Byte of the text that is looked at next.
    at: usize,
    /// Value and position of the last counted bytes, as a ring.
    last: [(u64, usize); SHINGLE],
    counted: usize,
    rolling: u64,
    /// Factor of the byte that leaves.
    oldest: u64,
}

impl<'a> Shingles<'a> {
    fn of(text: &'a [u8]) -> Self {
        let oldest = (0..SHINGLE).fold(1u64, |power, _| power.wrapping_mul(FACTOR));
        Self { text, at: 0, last: [(0, 0); SHINGLE], counted: 0, rolling: 0, oldest }
    }
}

impl Iterator for Shingles<'_> {
    type Item = (u64, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(&byte) = self.text.get(self.at) {
            let at = self.at;
            self.at += 1;
            if byte.is_ascii() && !byte.is_ascii_alphanumeric() {
                continue;
            }
            let value = u64::from(byte.to_ascii_lowercase()) + 1;
            // The ring begins with zeros, which leave without a trace.
            let left = std::mem::replace(&mut self.last[self.counted % SHINGLE], (value, at));
            self.counted += 1;
            self.rolling = self.rolling.wrapping_mul(FACTOR).wrapping_add(value);
            self.rolling = self.rolling.wrapping_sub(self.oldest.wrapping_mul(left.0));
            if self.counted >= SHINGLE {
                return Some((mix(self.rolling), self.last[self.counted % SHINGLE].1..at + 1));
            }
        }
        None
    }
}

/// The finaliser of MurmurHash3: spreads the low bits of the polynomial over the word.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x = (x ^ (x >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer";

    #[test]
    fn case_spacing_and_punctuation_do_not_hide_a_copy() {
        let index = Index::new([LINE.as_bytes()].into_iter());
        let copy = LINE.to_uppercase().replace(' ', "\n  ").replace(',', "");
        let text = format!("xyzzy. {copy} -- xyzzy");
        let shared = index.shared(text.as_bytes());
        assert_eq!(shared, vec![7..7 + copy.len()]);
        assert_eq!(cut(text.as_bytes(), &shared), b"xyzzy.  -- xyzzy");
        assert!(index.shared(&LINE.as_bytes()[..50]).is_empty());
    }

    proptest! {
        #[test]
        fn shared_is_what_a_naive_search_finds(a in "[ab ]{0,200}", b in "[ab ]{0,200}", at in 0usize..150, n in 0usize..120) {
            let mut b = b;
            let piece = a.get(at..(at + n).min(a.len())).unwrap_or_default();
            b.push_str(piece);
            let fold = |s: &str| s.replace(' ', "");
            let (fa, fb) = (fold(&a), fold(&b));
            let naive = fb.as_bytes().windows(SHINGLE).filter(|w| fa.as_bytes().windows(SHINGLE).any(|v| v == *w)).count();
            let shared = Index::new([a.as_bytes()].into_iter()).shared(b.as_bytes());
            prop_assert_eq!(shared.is_empty(), naive == 0);
            prop_assert!(shared.windows(2).all(|w| w[0].end < w[1].start));
        }
    }
}
