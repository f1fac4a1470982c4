//! Splits a corpus into text for training and text for scoring. Pure: the split depends on the contents of the
//! documents, not on their names or order.

use crate::data::corpus::Corpus;
use crate::data::duplicates;
use crate::data::error::DataError;
use std::collections::BTreeSet;

/// A corpus with fewer documents than this is cut into sections.
const FEW: usize = 8;
/// So is a corpus in which one document holds more than one `DOMINANT`-th of the bytes.
const DOMINANT: usize = 8;
/// Length of the longest section in bytes.
const SECTION: usize = 64 << 10;
/// A corpus that is cut has at least this many sections, if they stay longer than [`SHORTEST`].
const SECTIONS: usize = 40;
const SHORTEST: usize = 4 << 10;

/// A held-out split with fewer bytes than this says little about other text.
const ENOUGH: u64 = 16 << 10;

const RANK_CONTEXT: &str = "host 2026 split rank v1";
const SPLIT_CONTEXT: &str = "host 2026 split v1";

/// A part of one document, or a whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The document's name. If documents are cut, `#k` is appended for the k-th section.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Report of a split.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Report {
    /// Length of the sections that documents were cut into; `None` if documents were left whole.
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
}

/// The four splits.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// bytes.
    pub fn hashes(&self) -> [[u8; 32]; 4] {
        self.parts().map(|part| {
            let mut hasher = blake3::Hasher::new_derive_key(SPLIT_CONTEXT);
            for section in part {
                hasher.update(&(section.bytes.len() as u64).to_le_bytes());
                hasher.update(&section.bytes);
            }
            *hasher.finalize().as_bytes()
        })
    }
}

/// Splits `corpus`. Units are whole documents. They are contiguous sections of up to 64 KiB if there are fewer than 8
/// documents, or if one document holds more than an eighth of the bytes. Units are ranked by a hash of their content:
/// the first fortieth (at least one) is the test split, the next fortieth confirm, the next twentieth search, the rest
/// train. Passages that a later-judging split also contains are then removed from the earlier one ([`duplicates`]).
pub fn split(corpus: &Corpus) -> Result<Splits, DataError> {
    let (units, section_bytes) = units(corpus);
    let found = units.len();
    let mut seen = BTreeSet::new();
    let mut ranked: Vec<([u8; 32], Section)> = Vec::new();
    for unit in units {
        let rank = blake3::derive_key(RANK_CONTEXT, &unit.bytes);
        if seen.insert(rank) {
            ranked.push((rank, unit));
        }
    }
    let identical = found - ranked.len();
    if ranked.len() < FEW {
        let (name, bytes) = (corpus.manifest.name.clone(), corpus.bytes());
        return Err(DataError::TooSmall { name, bytes, why: "four splits need 8 sections that differ" });
    }
    ranked.sort_by_key(|unit| unit.0);
    let mut units = ranked.into_iter().map(|unit| unit.1);
    let count = units.len();
    let mut take = |n: usize| units.by_ref().take(n).collect::<Vec<_>>();
    let test = take(share(count, 40));
    let confirm = take(share(count, 40));
    let search = take(share(count, 20));
    let train = take(count);

    let mut report = Report { section_bytes, identical, ..Report::default() };
    let confirm = without(confirm, &[&test], &mut report);
    let search = without(search, &[&test, &confirm], &mut report);
    let train = without(train, &[&test, &confirm, &search], &mut report);
    let mut splits = Splits { train, search, confirm, test, report };
    let size = |part: &[Section]| (part.len(), part.iter().map(|s| s.bytes.len() as u64).sum());
    splits.report.sizes = splits.parts().map(size);
    let names = |part: &[Section]| part.iter().map(|s| s.name.clone()).collect();
    splits.report.held_out = [names(&splits.search), names(&splits.confirm), names(&splits.test)];
    Ok(splits)
}

fn share(count: usize, part: usize) -> usize {
    ((count + part / 2) / part).max(1)
}

fn units(corpus: &Corpus) -> (Vec<Section>, Option<usize>) {
    let total: usize = corpus.documents.iter().map(|d| d.bytes.len()).sum();
    let largest = corpus.documents.iter().map(|d| d.bytes.len()).max().unwrap_or(0);
    let documents = corpus.documents.iter().filter(|d| !d.bytes.is_empty());
    if corpus.documents.len() >= FEW && largest <= total / DOMINANT {
        let whole = documents.map(|d| Section { name: d.name.clone(), bytes: d.bytes.clone() });
        return (whole.collect(), None);
    }
    let length = (total / SECTIONS).clamp(SHORTEST, SECTION);
    let cut = documents.flat_map(|d| {
        let sections = d.bytes.chunks(length).enumerate();
        sections.map(|(k, bytes)| Section { name: format!("{}#{k}", d.name), bytes: bytes.to_vec() })
    });
    (cut.collect(), Some(length))
}

/// Removes from `part` all passages that `held_out` contains. The remaining pieces of a section are joined.
fn without(part: Vec<Section>, held_out: &[&Vec<Section>], report: &mut Report) -> Vec<Section> {
    let texts = held_out.iter().flat_map(|part| part.iter().map(|s| s.bytes.as_slice()));
    let index = duplicates::Index::new(texts);
    let mut kept = Vec::new();
    for section in part {
        let shared = index.shared(&section.bytes);
        let removed: usize = shared.iter().map(|r| r.len()).sum();
        report.passages_removed += shared.len();
        report.bytes_removed += removed as u64;
        if removed == 0 {
            kept.push(section);
        } else if removed < section.bytes.len() {
            kept.push(Section { bytes: duplicates::cut(&section.bytes, &shared), name: section.name });
        }
    }
    kept
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
        let splits = split(&corpus(38, 500)).unwrap();
        assert_eq!(splits.report.sizes.map(|s| s.0), [34, 2, 1, 1]);
        assert_eq!(splits.report.section_bytes, None);
    }

    #[test]
    fn names_and_order_do_not_matter() {
        let one = corpus(12, 500);
        let mut documents = one.documents.clone();
        for (i, document) in documents.iter_mut().enumerate() {
            document.name = format!("{:03}", 900 - i);
        }
        assert_eq!(split(&one).unwrap().hashes(), split(&Corpus::new("y", documents)).unwrap().hashes());
    }

    #[test]
    fn one_document_is_cut() {
        let splits = split(&corpus(1, 400_000)).unwrap();
        assert_eq!(splits.report.section_bytes, Some(10_000));
        assert_eq!(splits.report.sizes.map(|s| s.0), [36, 2, 1, 1]);
        assert!(matches!(split(&corpus(1, 20_000)), Err(DataError::TooSmall { .. })));
    }

    #[test]
    fn copies_and_shared_passages_go() {
        let mut documents = corpus(20, 2_000).documents;
        let shared = text(999, 300);
        for document in &mut documents {
            document.bytes.extend_from_slice(&shared);
        }
        documents.push(Document { name: "copy".into(), bytes: documents[0].bytes.clone() });
        let splits = split(&Corpus::new("x", documents)).unwrap();
        assert_eq!((splits.report.identical, splits.report.passages_removed), (1, 19));
        let holds = |part: &[Section]| part.iter().filter(|s| s.bytes.ends_with(&shared)).count();
        assert_eq!(splits.parts().map(holds), [0, 0, 0, 1]);
        assert!(splits.train.iter().all(|s| s.bytes.len() >= 1_990));
    }

    #[test]
    fn golden_hash() {
        let hash = split(&corpus(8, 100)).unwrap().hashes()[0];
        assert_eq!(
            blake3::Hash::from_bytes(hash).to_hex().as_str(),
            "baa21156fe20f6bc4e8335713e633e15e3c2209f2a1c348b6dcd2ba51e0185a8"
        );
    }
}
