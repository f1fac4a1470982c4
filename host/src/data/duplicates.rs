//! Finds passages that two texts share, ignoring case, spacing and punctuation. A passage is any 50 letters, digits or
//! non-ASCII bytes in a row that both texts contain (the substring test of the GPT-4 technical report, 2023, appendix
//! C, made exhaustive). Pure.

use std::ops::Range;

/// Length of the compared shingles in bytes. Only letters, digits and non-ASCII bytes count.
pub const SHINGLE: usize = 50;

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
const FILTER_BITS: u32 = 24;

/// Hashes of all shingles of a set of texts.
pub struct Index {
    hashes: Vec<u64>,
    /// One bit per value of the leading [`FILTER_BITS`] bits of a hash. Most lookups end here.
    filter: Vec<u64>,
}

impl Index {
    /// Indexes `texts`. A shingle never spans two texts.
    pub fn new<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut hashes: Vec<u64> = texts.flat_map(|text| shingles(text).into_iter().map(|s| s.0)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut filter = vec![0; 1 << (FILTER_BITS - 6)];
        for &hash in &hashes {
            let (word, bit) = place(hash);
            filter[word] |= bit;
        }
        Self { hashes, filter }
    }

    fn holds(&self, hash: u64) -> bool {
        let (word, bit) = place(hash);
        self.filter[word] & bit != 0 && self.hashes.binary_search(&hash).is_ok()
    }

    /// The passages of `text` whose shingles are in the index: byte ranges, in order, disjoint.
    pub fn shared(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for (hash, range) in shingles(text) {
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

fn place(hash: u64) -> (usize, u64) {
    let index = hash >> (64 - FILTER_BITS);
    ((index >> 6) as usize, 1 << (index & 63))
}

/// The hash and byte range of every shingle: a rolling polynomial hash modulo 2^64 over the counted bytes, then mixed.
fn shingles(text: &[u8]) -> Vec<(u64, Range<usize>)> {
    let counts = |&(_, b): &(usize, u8)| b.is_ascii_alphanumeric() || !b.is_ascii();
    let folded: Vec<(usize, u8)> = text.iter().copied().enumerate().filter(counts).collect();
    let value = |b: u8| u64::from(b.to_ascii_lowercase()) + 1;
    let oldest = (0..SHINGLE).fold(1u64, |power, _| power.wrapping_mul(FACTOR));
    let mut rolling = 0u64;
    let mut shingles = Vec::with_capacity(folded.len().saturating_sub(SHINGLE - 1));
    for (i, &(end, byte)) in folded.iter().enumerate() {
        rolling = rolling.wrapping_mul(FACTOR).wrapping_add(value(byte));
        if let Some(left) = i.checked_sub(SHINGLE) {
            rolling = rolling.wrapping_sub(oldest.wrapping_mul(value(folded[left].1)));
        }
        if i + 1 >= SHINGLE {
            shingles.push((mix(rolling), folded[i + 1 - SHINGLE].0..end + 1));
        }
    }
    shingles
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
