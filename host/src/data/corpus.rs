//! Documents, and the manifest that pins them. A corpus is one file in the cache: a line with the hash of the manifest,
//! a line with the manifest as JSON, then the bytes of the documents. May use the cache's file operations.
//!
//! There are two kinds. In a corpus of whole documents ([`WHOLE`]: the built-in ones, and those added by old versions)
//! each entry of the manifest is a document. In a packed corpus ([`PACKED`]) an entry is a file of the user, and may
//! hold many documents with a [`BOUNDARY`] between them. `split` and `task` treat the two kinds differently.

use crate::data::error::DataError;
use crate::system::atomic_file::{folder_of, sync_folder};
use crate::system::cache::CacheError;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// [`Manifest::normaliser`] of a corpus of whole documents.
pub const WHOLE: u32 = 1;
/// [`Manifest::normaliser`] of a packed corpus.
pub const PACKED: u32 = 2;

/// Between two documents of a packed corpus. Text has no zero byte: files that hold one are left out.
pub const BOUNDARY: u8 = 0;

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
    /// Number of documents in it, in a packed corpus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<u64>,
}

/// Pins the content of a corpus. [`Manifest::json`] is its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    /// How the text of the documents was prepared: [`WHOLE`] or [`PACKED`].
    pub normaliser: u32,
    /// The documents, sorted by name.
    pub documents: Vec<Entry>,
}

impl Manifest {
    /// Canonical JSON: keys in order of declaration, no blanks, one line.
    pub fn json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let entry = |Entry { name, bytes, blake3, documents }: &Entry| {
            let documents = documents.map(|count| format!(r#","documents":{count}"#)).unwrap_or_default();
            format!(r#"{{"name":{},"bytes":{bytes},"blake3":{}{documents}}}"#, quoted(name), quoted(blake3))
        };
        let Self { name, normaliser, documents } = self;
        let documents = documents.iter().map(entry).collect::<Vec<_>>().join(",");
        format!(r#"{{"name":{},"normaliser":{normaliser},"documents":[{documents}]}}"#, quoted(name))
    }

    /// Total size of all documents.
    pub fn bytes(&self) -> u64 {
        self.documents.iter().map(|entry| entry.bytes).sum()
    }

    /// Number of documents.
    pub fn count(&self) -> u64 {
        self.documents.iter().map(|entry| entry.documents.unwrap_or(1)).sum()
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
    /// A corpus of whole documents. Sorts them by name and writes their manifest.
    pub fn new(name: &str, documents: Vec<Document>) -> Self {
        Self::with(name, WHOLE, documents)
    }

    /// A packed corpus. Each of `files` holds documents with a [`BOUNDARY`] between them.
    pub fn packed(name: &str, files: Vec<Document>) -> Self {
        Self::with(name, PACKED, files)
    }

    fn with(name: &str, normaliser: u32, mut documents: Vec<Document>) -> Self {
        documents.sort_by(|a, b| a.name.cmp(&b.name));
        let entries = documents.iter().map(|d| Entry {
            name: d.name.clone(),
            bytes: d.bytes.len() as u64,
            blake3: blake3::hash(&d.bytes).to_hex().to_string(),
            documents: (normaliser == PACKED).then(|| d.bytes.split(|&b| b == BOUNDARY).count() as u64),
        });
        let manifest = Manifest { name: name.to_owned(), normaliser, documents: entries.collect() };
        Self { documents, manifest }
    }

    /// Whether this is a packed corpus.
    pub fn is_packed(&self) -> bool {
        self.manifest.normaliser == PACKED
    }

    /// Total size of all documents.
    pub fn bytes(&self) -> u64 {
        self.manifest.bytes()
    }

    /// Writes the corpus beside `path`, reads it back, and only then lets it take its place. Only one process at a time
    /// may save a corpus of this name. What it leaves if it is killed, the next one overwrites.
    pub fn save(&self, path: &Path) -> Result<(), DataError> {
        let aside = path.with_extension("new");
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        let folder = folder_of(path).map_err(at(path))?;
        fs::create_dir_all(folder).map_err(at(folder))?;
        let saved = self.write(&aside).map_err(at(&aside)).map_err(DataError::from);
        if let Err(error) = saved.and_then(|()| Stored::open(&self.manifest.name, &aside)?.check()) {
            // What cannot be removed, the next one overwrites.
            let _ = fs::remove_file(&aside);
            return Err(error);
        }
        fs::rename(&aside, path).map_err(at(path))?;
        Ok(sync_folder(folder).map_err(at(folder))?)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        writeln!(file, "{}\n{}", self.manifest.hash_hex(), self.manifest.json())?;
        self.documents.iter().try_for_each(|document| file.write_all(&document.bytes))?;
        file.sync_all()
    }

    /// Reads a file of [`Corpus::save`], and checks every document against the manifest.
    pub fn load(name: &str, path: &Path) -> Result<Self, DataError> {
        let mut file = Stored::open(name, path)?;
        let mut documents = Vec::new();
        for entry in &file.manifest.documents {
            let length = usize::try_from(entry.bytes).map_err(|_| file.corrupt("a length"))?;
            let mut bytes = vec![0; length];
            file.rest.read_exact(&mut bytes).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
            documents.push(Document { name: entry.name.clone(), bytes });
        }
        let corpus = Self::with(name, file.manifest.normaliser, documents);
        if corpus.manifest != file.manifest {
            return Err(file.corrupt("its documents do not hash to its manifest"));
        }
        Ok(corpus)
    }
}

/// The manifest of the corpus file `path`. Checks it and the file's length, but not the documents.
pub fn manifest(name: &str, path: &Path) -> Result<Manifest, DataError> {
    Ok(Stored::open(name, path)?.manifest)
}

/// A corpus file whose manifest was read and fits its length.
struct Stored<'a> {
    name: &'a str,
    path: &'a Path,
    manifest: Manifest,
    /// The bytes of the documents.
    rest: BufReader<File>,
}

impl<'a> Stored<'a> {
    fn open(name: &'a str, path: &'a Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Io { path: path.to_owned(), source };
        let corrupt = |what| DataError::Corrupt { name: name.to_owned(), path: path.to_owned(), what };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut rest = BufReader::with_capacity(1 << 16, file);
        let mut head = 0;
        let mut line = || {
            let mut line = Vec::new();
            head += rest.read_until(b'\n', &mut line).map_err(failed)? as u64;
            line.pop().filter(|&end| end == b'\n').ok_or_else(|| corrupt("no manifest"))?;
            Ok::<_, DataError>(line)
        };
        let (hash, json) = (line()?, line()?);
        let manifest: Manifest = serde_json::from_slice(&json).map_err(|_| corrupt("not a manifest"))?;
        let described = manifest.documents.iter().try_fold(head, |sum, entry| sum.checked_add(entry.bytes));
        if hash != manifest.hash_hex().as_bytes() || manifest.name != name {
            return Err(corrupt("its manifest has another hash or name"));
        }
        if !matches!(manifest.normaliser, WHOLE | PACKED) {
            return Err(corrupt("a newer version of host made it"));
        }
        if described != Some(length) {
            return Err(corrupt("its length is not that of its documents"));
        }
        Ok(Self { name, path, manifest, rest })
    }

    /// Reads the documents, and compares them with the manifest.
    fn check(mut self) -> Result<(), DataError> {
        for entry in &self.manifest.documents {
            let mut hasher = blake3::Hasher::new();
            let read = hasher.update_reader((&mut self.rest).take(entry.bytes));
            read.map_err(|source| DataError::Io { path: self.path.to_owned(), source })?;
            if hasher.finalize().to_hex().as_str() != entry.blake3 {
                return Err(self.corrupt("its documents do not hash to its manifest"));
            }
        }
        Ok(())
    }

    fn corrupt(&self, what: &'static str) -> DataError {
        DataError::Corrupt { name: self.name.to_owned(), path: self.path.to_owned(), what }
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
        let entry = Entry { name: "a \"b\"\n\u{1}é\\".into(), bytes: u64::MAX, blake3: "0".into(), documents: None };
        let packed = Entry { documents: Some(7), ..entry.clone() };
        for documents in [vec![], vec![entry.clone()], vec![entry, packed]] {
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
    fn a_packed_corpus_counts_the_documents_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "lines");
        let file = |name: &str, bytes: &[u8]| Document { name: name.into(), bytes: bytes.to_vec() };
        let corpus = Corpus::packed("lines", vec![file("a", b"one\0two\0three"), file("b", b"four")]);
        assert_eq!((corpus.manifest.count(), corpus.manifest.normaliser), (4, PACKED));
        corpus.save(&path).unwrap();
        assert_eq!(Corpus::load("lines", &path).unwrap(), corpus);
        assert_eq!(manifest("lines", &path).unwrap(), corpus.manifest);
    }

    #[test]
    fn names_are_plain_file_names() {
        for bad in ["", "-a", "a/b", "..", "A", "a.b", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("tiny-stories_2").is_ok());
    }
}
