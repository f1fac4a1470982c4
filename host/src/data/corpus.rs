//! Documents, and the manifest that pins them. A corpus is one file in the cache: a line with the hash of the manifest,
//! a line with the manifest as JSON, then the bytes of the documents. May use the cache's file operations.

use crate::data::error::DataError;
use crate::system::cache;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Part of every manifest. It rises when the text of documents is prepared in a new way.
pub const NORMALISER: u32 = 1;

/// BLAKE3 key-derivation context of manifest hashes.
pub const MANIFEST_CONTEXT: &str = "host 2026 corpus manifest v1";

/// A text that belongs together, such as a play or a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Unique in its corpus. Documents are sorted by name.
    pub name: String,
    /// Any bytes.
    pub bytes: Vec<u8>,
}

/// A document as the manifest pins it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub bytes: u64,
    /// BLAKE3 of its bytes, in hex.
    pub blake3: String,
}

/// Pins the content of a corpus. [`Manifest::json`] is its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    /// The [`NORMALISER`] version that made the documents.
    pub normaliser: u32,
    /// The documents, sorted by name.
    pub documents: Vec<Entry>,
}

impl Manifest {
    /// Canonical JSON: keys in order of declaration, no blanks, one line.
    pub fn json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let entry = |Entry { name, bytes, blake3 }: &Entry| {
            format!(r#"{{"name":{},"bytes":{bytes},"blake3":{}}}"#, quoted(name), quoted(blake3))
        };
        let Self { name, normaliser, documents } = self;
        let documents = documents.iter().map(entry).collect::<Vec<_>>().join(",");
        format!(r#"{{"name":{},"normaliser":{normaliser},"documents":[{documents}]}}"#, quoted(name))
    }

    /// BLAKE3 (derive_key, [`MANIFEST_CONTEXT`]) of [`Manifest::json`].
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key(MANIFEST_CONTEXT, self.json().as_bytes())
    }

    /// [`Manifest::hash`] in hex.
    pub fn hash_hex(&self) -> String {
        blake3::Hash::from_bytes(self.hash()).to_hex().to_string()
    }
}

/// Documents with a name and a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// Sorted by name.
    pub documents: Vec<Document>,
    /// Describes exactly these documents.
    pub manifest: Manifest,
}

impl Corpus {
    /// Sorts the documents by name and writes their manifest.
    pub fn new(name: &str, mut documents: Vec<Document>) -> Self {
        documents.sort_by(|a, b| a.name.cmp(&b.name));
        let entries = documents.iter().map(|d| Entry {
            name: d.name.clone(),
            bytes: d.bytes.len() as u64,
            blake3: blake3::hash(&d.bytes).to_hex().to_string(),
        });
        let manifest = Manifest { name: name.to_owned(), normaliser: NORMALISER, documents: entries.collect() };
        Self { documents, manifest }
    }

    /// Total size of all documents.
    pub fn bytes(&self) -> u64 {
        self.documents.iter().map(|d| d.bytes.len() as u64).sum()
    }

    /// All documents, concatenated.
    pub fn text(&self) -> Vec<u8> {
        let documents = self.documents.iter();
        documents.flat_map(|d| d.bytes.iter().copied()).collect()
    }

    /// Writes the corpus to `path`, atomically.
    pub fn save(&self, path: &Path) -> Result<(), DataError> {
        let (hash, json) = (self.manifest.hash_hex(), self.manifest.json());
        let mut parts: Vec<&[u8]> = vec![hash.as_bytes(), b"\n", json.as_bytes(), b"\n"];
        parts.extend(self.documents.iter().map(|d| d.bytes.as_slice()));
        Ok(cache::write(path, &parts)?)
    }

    /// Reads a file of [`Corpus::save`], and checks every document against the manifest.
    pub fn load(name: &str, path: &Path) -> Result<Self, DataError> {
        let file = fs::read(path).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
        let corrupt = |what| DataError::Corrupt { name: name.to_owned(), path: path.to_owned(), what };
        let mut lines = file.splitn(3, |&b| b == b'\n');
        let mut part = || lines.next().ok_or(corrupt("no manifest"));
        let (hash, json, mut rest) = (part()?, part()?, part()?);
        let manifest: Manifest = serde_json::from_slice(json).map_err(|_| corrupt("not a manifest"))?;
        let mut documents = Vec::new();
        for entry in &manifest.documents {
            let length = usize::try_from(entry.bytes).map_err(|_| corrupt("a length"))?;
            let (bytes, after) = rest.split_at_checked(length).ok_or(corrupt("bytes are missing"))?;
            documents.push(Document { name: entry.name.clone(), bytes: bytes.to_vec() });
            rest = after;
        }
        let corpus = Self::new(name, documents);
        if !rest.is_empty() || corpus.manifest != manifest || hash != manifest.hash_hex().as_bytes() {
            return Err(corrupt("its documents do not hash to its manifest"));
        }
        Ok(corpus)
    }
}

/// Path of the corpus `name` in the cache.
pub fn path(cache: &Path, name: &str) -> PathBuf {
    cache.join("corpora").join(format!("{name}.corpus"))
}

/// Names of the corpora in the cache, sorted.
pub fn names(cache: &Path) -> Result<Vec<String>, DataError> {
    let folder = cache.join("corpora");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let failed = |source| DataError::Io { path: folder.clone(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let file = entry.map_err(failed)?.file_name();
        let name = file.to_str().and_then(|file| file.strip_suffix(".corpus"));
        names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Checks a name, which becomes a file name: 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit.
pub fn check_name(name: &str) -> Result<(), DataError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let starts_well = name.bytes().next().is_some_and(plain);
    if starts_well && name.len() <= 64 && name.bytes().all(|b| plain(b) || b == b'-' || b == b'_') {
        Ok(())
    } else {
        Err(DataError::Name(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Corpus {
        let document = |name: &str, bytes: &[u8]| Document { name: name.into(), bytes: bytes.to_vec() };
        Corpus::new("two", vec![document("b", b"\xff\n"), document("a", b"to be")])
    }

    #[test]
    fn golden_manifest() {
        let manifest = two().manifest;
        assert_eq!(
            manifest.json(),
            format!(
                r#"{{"name":"two","normaliser":1,"documents":[{{"name":"a","bytes":5,"blake3":"{}"}},{{"name":"b","bytes":2,"blake3":"{}"}}]}}"#,
                blake3::hash(b"to be"),
                blake3::hash(b"\xff\n")
            )
        );
        assert_eq!(manifest.hash_hex(), "7f9ac0c556527f0da5ad9544264c238f33553d30e5f91eb4facf7275e8246e7f");
    }

    #[test]
    fn a_manifest_is_the_json_of_its_fields() {
        let entry = Entry { name: "a \"b\"\n\u{1}é\\".into(), bytes: u64::MAX, blake3: "0".into() };
        for documents in [vec![], vec![entry.clone()], vec![entry.clone(), entry]] {
            let manifest = Manifest { name: "é\t".into(), normaliser: 1, documents };
            assert_eq!(manifest.json(), serde_json::to_string(&manifest).unwrap());
        }
    }

    #[test]
    fn round_trip_and_every_flipped_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "two");
        two().save(&path).unwrap();
        assert_eq!(Corpus::load("two", &path).unwrap(), two());
        assert_eq!(names(folder.path()).unwrap(), ["two"]);
        let good = fs::read(&path).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(Corpus::load("two", &path).is_err(), "byte {i}");
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(matches!(Corpus::load("two", &path), Err(DataError::Corrupt { .. })));
    }

    #[test]
    fn names_are_plain_file_names() {
        for bad in ["", "-a", "a/b", "..", "A", "a.b", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("tiny-stories_2").is_ok());
    }
}
