//! Splits a corpus into text for training and text for scoring. Pure: the split depends on the contents of the
//! documents and on the secret, if there is one, not on names or order.

use crate::data::corpus::{BOUNDARY, Corpus};
use crate::data::duplicates;
use crate::data::error::DataError;
use crate::record::secret::SplitSecret;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

/// Fewest sections that four splits can be made of. A corpus with fewer whole documents is cut into sections.
const FEW: usize = 8;
/// So is a corpus of whole documents in which one holds more than one `DOMINANT`-th of the bytes.
const DOMINANT: usize = 8;
/// Length of the longest section in bytes.
const SECTION: usize = 64 << 10;
/// A corpus of whole documents that is cut has at least this many sections, if they stay longer than [`SHORTEST`].
const SECTIONS: usize = 40;
const SHORTEST: usize = 4 << 10;
/// In a packed corpus, a document longer than one such part of all bytes is cut. This is half of the smallest split, so
/// that no split misses its share by more than a quarter.
const PACKED_PART: usize = 80;
/// Documents of a packed corpus up to this length are never cut.
const PACKED_SHORTEST: usize = 512;

/// A held-out split with fewer bytes than this says little about other text.
const ENOUGH: u64 = 16 << 10;
/// Progress is told every tenth of a comparison of more bytes than this.
const SLOW: usize = 32 << 20;

const RANK_CONTEXT: &str = "host 2026 split rank v1";
const SPLIT_CONTEXT: &str = "host 2026 split v1";

/// A part of one document, or a whole one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its place in [`Corpus::documents`].
    pub document: usize,
    /// Its number among the sections of that document; `None` if the document is one section.
    pub number: Option<usize>,
    /// What was kept of it: byte ranges of the document, in order.
    pub pieces: Vec<Range<usize>>,
}

impl Section {
    /// The document's name, and `#k` for its k-th section.
    pub fn name(&self, corpus: &Corpus) -> String {
        let document = &corpus.documents[self.document].name;
        self.number.map_or_else(|| document.clone(), |number| format!("{document}#{number}"))
    }

    /// Its text: the pieces, joined.
    pub fn text<'a>(&self, corpus: &'a Corpus) -> Cow<'a, [u8]> {
        let document = &corpus.documents[self.document].bytes;
        match self.pieces.as_slice() {
            [piece] => Cow::Borrowed(&document[piece.clone()]),
            pieces => Cow::Owned(pieces.iter().flat_map(|piece| &document[piece.clone()]).copied().collect()),
        }
    }

    /// Length of its text in bytes.
    pub fn length(&self) -> usize {
        self.pieces.iter().map(ExactSizeIterator::len).sum()
    }

    fn whole(&self) -> Range<usize> {
        self.pieces[0].clone()
    }

    /// The section without `ranges` of its text (in order, disjoint). It must be one piece.
    fn cut(mut self, ranges: &[Range<usize>]) -> Self {
        let whole = self.whole();
        let mut pieces = Vec::new();
        let mut from = whole.start;
        for range in ranges {
            pieces.push(from..whole.start + range.start);
            from = whole.start + range.end;
        }
        pieces.push(from..whole.end);
        pieces.retain(|piece| !piece.is_empty());
        self.pieces = pieces;
        self
    }
}

/// Report of a split.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Length of the longest section that documents were cut into; `None` if documents were left whole.
    pub section_bytes: Option<usize>,
    /// Number of documents or sections left out because an identical one exists.
    pub identical: usize,
    /// Number of passages removed because a held-out split also contains them.
    pub passages_removed: usize,
    /// Total bytes of the removed passages.
    pub bytes_removed: u64,
    /// (documents or sections, bytes) of train, search, confirm and test, after removal.
    pub sizes: [(usize, u64); 4],
    /// Names of the held-out documents or sections: search, confirm, test.
    pub held_out: [Vec<String>; 3],
}

impl Report {
    /// A warning if a held-out split is small; `None` if there is enough text.
    pub fn warning(&self) -> Option<String> {
        let [_, search, confirm, test] = self.sizes.map(|(_, bytes)| bytes);
        (search.min(confirm).min(test) < ENOUGH).then(|| {
            format!(
                "little text to judge by: {search} bytes search, {confirm} confirm, {test} test, where {ENOUGH} are little enough; \
                 scores depend on which text these are, more than the noise over random seeds says. Add more text"
            )
        })
    }

    fn remove(&mut self, ranges: &[Range<usize>]) -> usize {
        let removed: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        self.passages_removed += ranges.len();
        self.bytes_removed += removed as u64;
        removed
    }
}

/// The four splits. They refer to the corpus that they were made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splits {
    /// Guests train on this split.
    pub train: Vec<Section>,
    /// Mutations are selected on this split.
    pub search: Vec<Section>,
    /// A selected mutation must also be better on this split.
    pub confirm: Vec<Section>,
    /// Sealed: read once a night, for the report.
    pub test: Vec<Section>,
    pub report: Report,
}

impl Splits {
    /// Train, search, confirm, test.
    pub fn parts(&self) -> [&[Section]; 4] {
        [&self.train, &self.search, &self.confirm, &self.test]
    }

    /// BLAKE3 (derive_key, "host 2026 split v1") of each part: per section, its length as u64 little-endian, then its
    /// bytes. A secret blinds these hashes: whoever knows the corpus could find out by them what is held out.
    pub fn hashes(&self, corpus: &Corpus, secret: Option<&SplitSecret>) -> [[u8; 32]; 4] {
        self.parts().map(|part| {
            let mut hasher = blake3::Hasher::new_derive_key(SPLIT_CONTEXT);
            for section in part {
                hasher.update(&(section.length() as u64).to_le_bytes());
                hasher.update(&section.text(corpus));
            }
            let hash = *hasher.finalize().as_bytes();
            secret.map_or(hash, |secret| secret.blind(&hash))
        })
    }

    /// Whether every section lies in a document of the corpus.
    pub fn fit(&self, corpus: &Corpus) -> bool {
        self.parts().into_iter().flatten().all(|section| {
            let length = corpus.documents.get(section.document).map_or(0, |document| document.bytes.len());
            section.pieces.iter().all(|piece| piece.start <= piece.end && piece.end <= length)
        })
    }
}

/// Splits `corpus`. Units are ranked by a hash of their content, keyed with the secret if there is one: the first
/// fortieth is the test split, the next fortieth confirm, the next twentieth search, the rest train. Passages that a
/// later-judging split also contains are then removed from the earlier one ([`duplicates`]). `progress` receives lines
/// during slow work.
///
/// Units are whole documents. In a corpus of whole documents, they are contiguous sections of up to 64 KiB if there are
/// fewer than 8 documents, or if one document holds more than an eighth of the bytes; shares count units. In a packed
/// corpus only long documents are cut, and shares count bytes.
pub fn split(
    corpus: &Corpus,
    secret: Option<&SplitSecret>,
    progress: &mut dyn FnMut(&str),
) -> Result<Splits, DataError> {
    let units = if corpus.is_packed() { packed_units(corpus) } else { units(corpus) };
    let section_bytes = units.iter().filter(|unit| unit.number.is_some()).map(Section::length).max();
    let found = units.len();
    let mut seen = BTreeSet::new();
    let mut ranked: Vec<([u8; 32], Section)> = Vec::new();
    for unit in units {
        let text = unit.text(corpus);
        let rank = secret.map_or_else(|| blake3::derive_key(RANK_CONTEXT, &text), |secret| secret.rank(&text));
        drop(text);
        if seen.insert(rank) {
            ranked.push((rank, unit));
        }
    }
    let identical = found - ranked.len();
    if ranked.len() < FEW {
        let why = format!("four splits need {FEW} sections that differ; of {found} here {identical} are copies");
        return Err(DataError::TooSmall { name: corpus.manifest.name.clone(), bytes: corpus.bytes(), why });
    }
    ranked.sort_by_key(|unit| unit.0);
    let ranked: Vec<Section> = ranked.into_iter().map(|unit| unit.1).collect();
    let [test, confirm, search, train] = if corpus.is_packed() { by_bytes(ranked) } else { by_units(ranked) };

    let mut report = Report { section_bytes, identical, ..Report::default() };
    let mut comparison = Comparison { corpus, report: &mut report, progress };
    let confirm = comparison.without("confirm", confirm, &[&test]);
    let search = comparison.without("search", search, &[&test, &confirm]);
    let train = comparison.without("train", train, &[&test, &confirm, &search]);
    let mut splits = Splits { train, search, confirm, test, report };
    let size = |part: &[Section]| (part.len(), part.iter().map(|s| s.length() as u64).sum());
    splits.report.sizes = splits.parts().map(size);
    let names = |part: &[Section]| part.iter().map(|section| section.name(corpus)).collect();
    splits.report.held_out = [names(&splits.search), names(&splits.confirm), names(&splits.test)];
    Ok(splits)
}

/// Test, confirm, search and train of ranked units, by their number. Each held-out split gets at least one.
fn by_units(ranked: Vec<Section>) -> [Vec<Section>; 4] {
    let count = ranked.len();
    let share = |part: usize| ((count + part / 2) / part).max(1);
    let mut units = ranked.into_iter();
    let mut take = |n: usize| units.by_ref().take(n).collect::<Vec<_>>();
    [take(share(40)), take(share(40)), take(share(20)), take(count)]
}

/// Test, confirm, search and train of ranked units, by their bytes: a unit belongs where its middle lies. Each held-out
/// split gets at least one.
fn by_bytes(ranked: Vec<Section>) -> [Vec<Section>; 4] {
    /// Where test, confirm and search end, in fortieths of all bytes.
    const ENDS: [usize; 3] = [1, 2, 4];
    let total: usize = ranked.iter().map(Section::length).sum();
    let mut parts: [Vec<Section>; 4] = Default::default();
    let (mut part, mut before) = (0, 0);
    for unit in ranked {
        let twice_middle = 2 * before + unit.length();
        before += unit.length();
        while part < ENDS.len() && !parts[part].is_empty() && twice_middle * 20 >= ENDS[part] * total {
            part += 1;
        }
        parts[part].push(unit);
    }
    parts
}

fn units(corpus: &Corpus) -> Vec<Section> {
    let total: usize = corpus.documents.iter().map(|d| d.bytes.len()).sum();
    let largest = corpus.documents.iter().map(|d| d.bytes.len()).max().unwrap_or(0);
    let lengths = corpus.documents.iter().map(|d| d.bytes.len()).enumerate().filter(|&(_, length)| length > 0);
    if corpus.documents.len() >= FEW && largest <= total / DOMINANT {
        let whole = lengths.map(|(document, length)| Section { document, number: None, pieces: one(0..length) });
        return whole.collect();
    }
    let longest = (total / SECTIONS).clamp(SHORTEST, SECTION);
    let cut = lengths.flat_map(|(document, length)| {
        let sections = cut(0..length, longest).enumerate();
        sections.map(move |(k, piece)| Section { document, number: Some(k), pieces: one(piece) })
    });
    cut.collect()
}

/// The documents of a packed corpus, long ones cut.
fn packed_units(corpus: &Corpus) -> Vec<Section> {
    let total = corpus.documents.iter().map(|file| file.bytes.len()).sum::<usize>();
    let longest_whole = (total / PACKED_PART).max(PACKED_SHORTEST);
    let mut units = Vec::new();
    for (document, file) in corpus.documents.iter().enumerate() {
        let first = units.len();
        let mut start = 0;
        for text in file.bytes.split(|&byte| byte == BOUNDARY) {
            let whole = start..start + text.len();
            start = whole.end + 1;
            let longest = if text.len() <= longest_whole { longest_whole } else { longest_whole.min(SECTION) };
            for piece in cut(whole, longest) {
                units.push(Section { document, number: Some(units.len() - first), pieces: one(piece) });
            }
        }
        if let [only] = &mut units[first..] {
            only.number = None;
        }
    }
    units
}

/// `range` in parts of `length`, the last one shorter.
fn cut(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length).map(move |start| start..(start + length).min(range.end))
}

fn one(piece: Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(piece).collect()
}

/// Removes what later-judging splits hold too.
struct Comparison<'a> {
    corpus: &'a Corpus,
    report: &'a mut Report,
    progress: &'a mut dyn FnMut(&str),
}

impl Comparison<'_> {
    /// Removes from `part` all passages that `held_out` contains. The remaining pieces of a section are joined.
    fn without(&mut self, name: &str, part: Vec<Section>, held_out: &[&Vec<Section>]) -> Vec<Section> {
        let texts: Vec<_> = held_out.iter().flat_map(|part| part.iter().map(|s| s.text(self.corpus))).collect();
        let index = duplicates::Index::new(texts.iter().map(AsRef::as_ref));
        let all: usize = part.iter().map(Section::length).sum();
        let (mut done, mut tenths) = (0, 0);
        let mut kept = Vec::new();
        for section in part {
            let shared = index.shared(&section.text(self.corpus));
            done += section.length();
            if all > SLOW && done * 10 / all > tenths {
                tenths = done * 10 / all;
                let corpus = &self.corpus.manifest.name;
                (self.progress)(&format!("{corpus}: comparing {name} with held-out text: {}%", tenths * 10));
            }
            let removed = self.report.remove(&shared);
            if removed < section.length() {
                kept.push(section.cut(&shared));
            }
        }
        kept
    }
}

/// A held-out split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Read for every experiment.
    Search,
    /// Read before a mutation is kept.
    Confirm,
    /// Read once a night, for the report.
    Test,
}

impl Split {
    /// The name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Confirm => "confirm",
            Self::Test => "test",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::corpus::Document;
    use super::*;

    fn text(seed: u64, bytes: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"abcdefgh ijklmno"[(state >> 60) as usize]
        };
        (0..bytes).map(|_| next()).collect()
    }

    fn corpus(documents: usize, bytes: usize) -> Corpus {
        let document = |i: usize| Document { name: format!("{i:03}"), bytes: text(i as u64, bytes) };
        Corpus::new("x", (0..documents).map(document).collect())
    }

    #[test]
    fn thirty_eight_plays() {
        let splits = split(&corpus(38, 500), None, &mut |_| {}).unwrap();
        assert_eq!(splits.report.sizes.map(|s| s.0), [34, 2, 1, 1]);
        assert_eq!(splits.report.section_bytes, None);
    }

    #[test]
    fn names_and_order_do_not_matter() {
        for make in [Corpus::new, Corpus::packed] {
            let documents = corpus(12, 500).documents;
            let mut renamed = documents.clone();
            for (i, document) in renamed.iter_mut().enumerate() {
                document.name = format!("{:03}", 900 - i);
            }
            let hashes = |corpus: Corpus| split(&corpus, None, &mut |_| {}).unwrap().hashes(&corpus, None);
            assert_eq!(hashes(make("x", documents)), hashes(make("y", renamed)));
        }
    }

    #[test]
    fn a_secret_chooses_other_text_and_hides_which() {
        let corpus = corpus(38, 500);
        let by = |secret: Option<&SplitSecret>| split(&corpus, secret, &mut |_| {}).unwrap();
        let (public, secret) = (by(None), SplitSecret::new([7; 32]));
        let chosen = by(Some(&secret));
        assert_eq!(chosen, by(Some(&secret)));
        assert_eq!(chosen.report.sizes, public.report.sizes);
        assert_ne!(chosen.report.held_out, public.report.held_out);
        assert_ne!(chosen, by(Some(&SplitSecret::new([8; 32]))));
        let (open, blind) = (chosen.hashes(&corpus, None), chosen.hashes(&corpus, Some(&secret)));
        assert!(open.iter().zip(&blind).all(|(open, blind)| open != blind));
    }

    #[test]
    fn one_document_is_cut() {
        let splits = split(&corpus(1, 400_000), None, &mut |_| {}).unwrap();
        assert_eq!(splits.report.section_bytes, Some(10_000));
        assert_eq!(splits.report.sizes.map(|s| s.0), [36, 2, 1, 1]);
        assert!(matches!(split(&corpus(1, 20_000), None, &mut |_| {}), Err(DataError::TooSmall { .. })));
    }

    fn packed(texts: &[Vec<u8>]) -> Corpus {
        Corpus::packed("x", vec![Document { name: "lines".into(), bytes: texts.join(&BOUNDARY) }])
    }

    #[test]
    fn copies_and_shared_passages_go() {
        let mut documents = corpus(20, 2_000).documents;
        let shared = text(999, 300);
        for document in &mut documents {
            document.bytes.extend_from_slice(&shared);
        }
        documents.push(Document { name: "copy".into(), bytes: documents[0].bytes.clone() });
        let corpus = Corpus::new("x", documents);
        let splits = split(&corpus, None, &mut |_| {}).unwrap();
        assert_eq!((splits.report.identical, splits.report.passages_removed), (1, 19));
        let holds = |part: &[Section]| part.iter().filter(|s| s.text(&corpus).ends_with(&shared)).count();
        assert_eq!(splits.parts().map(holds), [0, 0, 0, 1]);
        assert!(splits.train.iter().all(|s| s.length() >= 1_990));
        assert!(splits.fit(&corpus) && !splits.fit(&Corpus::new("x", vec![])));
    }

    #[test]
    fn copies_and_shared_passages_of_packed_documents_go() {
        let shared = text(999, 300);
        let mut texts: Vec<_> = (0..400).map(|i| [text(i, 300), shared.clone()].concat()).collect();
        texts.push(texts[0].clone());
        let corpus = packed(&texts);
        let splits = split(&corpus, None, &mut |_| {}).unwrap();
        assert_eq!((splits.report.identical, splits.report.passages_removed), (1, 390));
        let holds = |part: &[Section]| part.iter().filter(|s| s.text(&corpus).ends_with(&shared)).count();
        assert_eq!(splits.parts().map(holds), [0, 0, 0, 10]);
    }

    /// A thousand documents between 10 bytes and 20 kB, most of them short, and one that holds a fifth of all bytes.
    #[test]
    fn shares_of_a_packed_corpus_hold_in_bytes() {
        let mut texts: Vec<_> =
            (0..1_000u64).map(|i| text(i, if i % 10 == 0 { 20_000 } else { 10 + i as usize })).collect();
        texts.push(text(5_000, 500_000));
        let corpus = packed(&texts);
        let splits = split(&corpus, None, &mut |_| {}).unwrap();
        let total: u64 = splits.report.sizes.iter().map(|size| size.1).sum();
        let shares = splits.report.sizes.map(|size| size.1 as f64 / total as f64);
        for (share, wanted) in shares.into_iter().zip([0.9, 0.05, 0.025, 0.025]) {
            assert!((share / wanted - 1.0).abs() < 0.25, "{shares:?}");
        }
        assert_eq!(corpus.manifest.count(), 1_001);
    }

    #[test]
    fn many_short_documents_and_few_bytes_have_four_splits() {
        for texts in [(0..400).map(|i| text(i, 100)).collect::<Vec<_>>(), vec![text(1, 6_000)]] {
            let splits = split(&packed(&texts), None, &mut |_| {}).unwrap();
            assert!(splits.report.sizes.iter().all(|size| size.1 > 0), "{:?}", splits.report.sizes);
        }
        assert!(matches!(split(&packed(&[b"x".to_vec()]), None, &mut |_| {}), Err(DataError::TooSmall { .. })));
    }

    #[test]
    fn golden_hash() {
        let corpus = corpus(8, 100);
        let hash = split(&corpus, None, &mut |_| {}).unwrap().hashes(&corpus, None)[0];
        assert_eq!(
            blake3::Hash::from_bytes(hash).to_hex().as_str(),
            "baa21156fe20f6bc4e8335713e633e15e3c2209f2a1c348b6dcd2ba51e0185a8"
        );
        let texts: Vec<_> = (0..60).map(|i| text(i, 40 * i as usize + 1)).collect();
        let corpus = packed(&texts);
        let hash = split(&corpus, None, &mut |_| {}).unwrap().hashes(&corpus, None)[0];
        assert_eq!(
            blake3::Hash::from_bytes(hash).to_hex().as_str(),
            "2b7a5f2f1fbdfab4b883ace5f565d8684cd8f51fd859a1fe619f966e278ee8a3"
        );
    }
}
