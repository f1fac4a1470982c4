//! Corpora by name: the built-in ones, the ones in the cache, and the choice for a policy. A new built-in corpus is a
//! file beside this one and a row in [`open`].

use crate::data::compress::{self, Compressors};
use crate::data::corpus::{self, Corpus, Manifest};
use crate::data::error::DataError;
use crate::data::local::{self, LeftOut};
use crate::data::split::Splits;
use crate::data::{fetch, rust_src, split, split_cache};
use crate::system::cache;
use std::path::{Path, PathBuf};

/// The built-in corpora, in order of preference. They need no `host data add`.
pub const BUILT_IN: [&str; 2] = [fetch::NAME, rust_src::NAME];

/// The corpus chosen from a preference list.
#[derive(Debug)]
pub struct Pick {
    pub corpus: Corpus,
    /// Preferred corpora that are not available, as (name, reason).
    pub passed_over: Vec<(String, String)>,
}

/// The first available corpus of `names`. `progress` receives a line before slow work.
pub fn pick(names: &[String], progress: &mut dyn FnMut(&str)) -> Result<Pick, DataError> {
    let cache = cache::cache_dir()?;
    pick_with(names, |name| open(name, &cache, progress))
}

fn pick_with(names: &[String], mut open: impl FnMut(&str) -> Result<Corpus, DataError>) -> Result<Pick, DataError> {
    let mut passed_over = Vec::new();
    for name in names {
        match open(name) {
            Ok(corpus) => {
                return Ok(Pick { corpus, passed_over });
            }
            Err(e) => passed_over.push((name.clone(), e.to_string())),
        }
    }
    Err(DataError::NoneLeft(passed_over))
}

/// Makes a built-in corpus, and reports slow work in words.
type Maker = fn(&mut dyn FnMut(&str)) -> Result<Corpus, DataError>;

/// The built-in corpus in the cache, if it is intact and of this version.
fn kept(name: &str, path: &Path) -> Result<Option<Corpus>, DataError> {
    if !path.exists() {
        return Ok(None);
    }
    let corpus = Corpus::load(name, path)?;
    let is_current = Some(corpus.manifest.hash_hex().as_str()) == pinned(name);
    Ok(is_current.then_some(corpus))
}

/// Opens the corpus `name` from the cache, which may be read-only. A built-in corpus is made and cached first. One
/// process at a time.
pub fn open(name: &str, cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Corpus, DataError> {
    corpus::check_name(name)?;
    let path = corpus::path(cache, name);
    let make: Maker = match name {
        fetch::NAME => fetch::shakespeare,
        rust_src::NAME => rust_src::rust_src,
        _ if path.exists() => return Corpus::load(name, &path),
        _ => return Err(DataError::Unknown(name.to_owned())),
    };
    if let Ok(Some(corpus)) = kept(name, &path) {
        return Ok(corpus);
    }
    let _held = cache::lock(&path.with_extension("lock"))?;
    // Another process may have made it in the meantime.
    match kept(name, &path) {
        Ok(Some(corpus)) => return Ok(corpus),
        Ok(None) if path.exists() => {
            progress(&format!("{name}: the cached copy is of another version; making it again"));
        }
        Ok(None) => {}
        Err(_) => progress(&format!("{name}: the cached copy is corrupt; making it again")),
    }
    let corpus = make(progress)?;
    if let Some(pinned) = pinned(name).filter(|pinned| *pinned != corpus.manifest.hash_hex()) {
        return Err(DataError::WrongHash { name: name.to_owned(), got: corpus.manifest.hash_hex(), pinned });
    }
    corpus.save(&path)?;
    Ok(corpus)
}

/// Whether [`open`] can find the corpus: it is built in, or was added here.
pub fn is_known(name: &str, cache: &Path) -> bool {
    BUILT_IN.contains(&name) || (corpus::check_name(name).is_ok() && corpus::path(cache, name).exists())
}

/// The manifest hash that a built-in corpus must have.
fn pinned(name: &str) -> Option<&'static str> {
    match name {
        fetch::NAME => Some(fetch::MANIFEST),
        rust_src::NAME => Some(rust_src::MANIFEST),
        _ => None,
    }
}

/// A corpus in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// Path of its file, if it is in the cache.
    pub path: Option<PathBuf>,
    /// Facts about the cached file, or what is wrong with it. The text itself is not read.
    pub facts: Result<Option<Facts>, String>,
}

/// Facts about a corpus that need no splitting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Total size of all documents.
    pub bytes: u64,
    /// Number of documents.
    pub documents: u64,
    /// Manifest hash, hex.
    pub hash: String,
}

impl Facts {
    fn of(manifest: &Manifest) -> Self {
        Self { bytes: manifest.bytes(), documents: manifest.count(), hash: manifest.hash_hex() }
    }
}

/// All corpora that are built in or were added, by name. Downloads nothing.
pub fn list_all(cache: &Path) -> Result<Vec<Listed>, DataError> {
    let mut names: std::collections::BTreeSet<String> = BUILT_IN.iter().map(|&name| name.to_owned()).collect();
    names.extend(corpus::names(cache)?);
    let listed = names.into_iter().map(|name| {
        let path = Some(corpus::path(cache, &name)).filter(|path| path.exists());
        let facts = match &path {
            Some(path) => corpus::manifest(&name, path).map(|m| Some(Facts::of(&m))).map_err(|e| e.to_string()),
            None => Ok(None),
        };
        Listed { name, path, facts }
    });
    Ok(listed.collect())
}

/// A corpus in detail.
#[derive(Clone, Debug)]
pub struct Shown {
    pub path: PathBuf,
    /// Size, documents, hash.
    pub facts: Facts,
    /// How it is split, with the sizes.
    pub report: split::Report,
    /// The first 400 bytes of the training split, as text.
    pub sample: String,
    /// Results of compressors on the first [`COMPRESSED`] bytes of the corpus.
    pub compressors: Compressors,
}

/// Compressors are measured on this many bytes of a corpus. They take about a second for 2 MB.
pub const COMPRESSED: usize = 8 << 20;

/// Opens the corpus `name` (a built-in one is made first), splits it and describes it.
pub fn show(name: &str, cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Shown, DataError> {
    let corpus = open(name, cache, progress)?;
    let splits = split_cache::splits(&corpus, None, cache, progress)?;
    let mut head = Vec::new();
    for section in splits.train.iter().take(400) {
        head.extend_from_slice(&section.text(&corpus));
        head.truncate(400);
    }
    let mut text = Vec::new();
    for document in &corpus.documents {
        text.extend(document.bytes.iter().take(COMPRESSED - text.len()));
    }
    Ok(Shown {
        path: corpus::path(cache, name),
        facts: Facts::of(&corpus.manifest),
        report: splits.report,
        sample: String::from_utf8_lossy(&head).into_owned(),
        compressors: compress::cached(&text, cache)?,
    })
}

/// A corpus that was added.
#[derive(Clone, Debug)]
pub struct Added {
    /// Size, documents, hash.
    pub facts: Facts,
    /// How it is split, with the sizes.
    pub report: split::Report,
    /// Files that are not part of it.
    pub left_out: LeftOut,
    /// Largest `context` that a policy may have with this corpus, in tokens.
    pub longest_context: u64,
    /// Hash of the corpus that had this name before, if it was another one.
    pub replaced: Option<String>,
}

/// Smallest `context` that a policy may have.
const SHORTEST_CONTEXT: u64 = 8;

/// Reads the file or folder `source` ([`local::read`]), splits it, and puts it into the cache as the corpus `name`. It
/// takes the place of an existing corpus of that name only when it is complete, checked, and fit to train on.
pub fn add(
    name: &str,
    source: &Path,
    field: &str,
    cache: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Added, DataError> {
    corpus::check_name(name)?;
    if BUILT_IN.contains(&name) {
        return Err(DataError::Taken(name.to_owned()));
    }
    let path = corpus::path(cache, name);
    let _held = cache::lock(&path.with_extension("lock"))?;
    let (corpus, left_out) = local::read(name, source, field, progress)?;
    let Splits { report, .. } = split_cache::splits(&corpus, None, cache, progress)?;
    let longest_context = longest_context(&corpus, &report)?;
    let facts = Facts::of(&corpus.manifest);
    let before = corpus::manifest(name, &path).ok().map(|before| before.hash_hex());
    corpus.save(&path)?;
    let replaced = before.filter(|before| *before != facts.hash);
    Ok(Added { facts, report, left_out, longest_context, replaced })
}

/// The longest context for which each split has a chunk.
fn longest_context(corpus: &Corpus, report: &split::Report) -> Result<u64, DataError> {
    // Each section ends with a boundary. A chunk holds one token more than the context.
    let contexts = report.sizes.map(|(sections, bytes)| (bytes + sections as u64).saturating_sub(1));
    let names = ["train", "search", "confirm", "test"];
    match names.into_iter().zip(contexts).min_by_key(|(_, context)| *context) {
        Some((_, context)) if context >= SHORTEST_CONTEXT => Ok(context),
        shortest => {
            let (split, _) = shortest.unwrap_or_default();
            let why = format!(
                "nothing is left for the {split} split after {} identical documents and {} bytes of repeated passages \
                 were removed",
                report.identical, report.bytes_removed
            );
            Err(DataError::TooSmall { name: corpus.manifest.name.clone(), bytes: corpus.bytes(), why })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_through_with_reasons() {
        let names = ["absent".to_owned(), "here".to_owned()];
        let open = |name: &str| match name {
            "here" => Ok(Corpus::new("here", vec![])),
            _ => Err(DataError::Unknown(name.to_owned())),
        };
        let pick = pick_with(&names, open).unwrap();
        assert_eq!(pick.corpus.manifest.name, "here");
        assert_eq!(pick.passed_over[0].0, "absent");
        let error = pick_with(&names[..1], open).unwrap_err().to_string();
        assert!(error.contains("absent: no corpus") && error.contains("host data add"), "{error}");
    }

    #[test]
    fn a_corrupt_copy_of_a_built_in_corpus_is_made_again() {
        let cache = tempfile::tempdir().unwrap();
        let path = corpus::path(cache.path(), rust_src::NAME);
        let opened = || {
            let mut said = Vec::new();
            let corpus = open(rust_src::NAME, cache.path(), &mut |line| said.push(line.to_owned())).unwrap();
            assert_eq!(corpus.manifest.hash_hex(), rust_src::MANIFEST);
            said
        };
        assert_eq!(opened().len(), 1);
        assert!(opened().is_empty());
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let said = opened();
        assert!(said[0].contains("corrupt") && said.len() == 2, "{said:?}");
        assert!(opened().is_empty());
    }

    #[test]
    fn lists_what_is_built_in_added_or_broken() {
        let cache = tempfile::tempdir().unwrap();
        let document = corpus::Document { name: "a".into(), bytes: b"text".to_vec() };
        Corpus::new("mine", vec![document]).save(&corpus::path(cache.path(), "mine")).unwrap();
        cache::write(&corpus::path(cache.path(), "broken"), &[b"nonsense"]).unwrap();
        let listed = list_all(cache.path()).unwrap();
        let names: Vec<_> = listed.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["broken", "mine", "rust-src", "shakespeare"]);
        assert!(listed[0].facts.is_err());
        assert_eq!(listed[1].facts.as_ref().unwrap().as_ref().unwrap().bytes, 4);
        assert_eq!(listed[2].path, None);
    }

    fn folder(texts: &[Vec<u8>]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (i, text) in texts.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{i}.txt")), text).unwrap();
        }
        folder
    }

    fn numbers(from: u32) -> Vec<u8> {
        (from..from + 900).map(|i| format!("{i}\n")).collect::<String>().into_bytes()
    }

    /// Whatever a failing `add` meets, the corpus of that name is the old one.
    #[test]
    fn a_failing_add_leaves_the_old_corpus() {
        let cache = tempfile::tempdir().unwrap();
        let good = folder(&(0..10).map(|i| numbers(i * 9_000)).collect::<Vec<_>>());
        let add = |source: &Path| super::add("mine", source, "text", cache.path(), &mut |_| {});
        let first = add(good.path()).unwrap();
        assert_eq!((first.facts.documents, &first.replaced), (10, &None));
        let bad = [
            folder(&[]),
            folder(&[b"x".to_vec()]),
            folder(&[b"PAR1".to_vec()]),
            folder(&vec![b"the same ".repeat(900); 40]),
            folder(&[b"\x1f\x8b\x08 no gzip".to_vec()]),
        ];
        for source in &bad {
            assert!(add(source.path()).is_err());
            let mine = open("mine", cache.path(), &mut |_| {}).unwrap();
            assert_eq!(mine.manifest.hash_hex(), first.facts.hash);
        }
        assert_eq!(add(good.path()).unwrap().replaced, None);
        let other = folder(&(0..10).map(|i| numbers(i * 7_000)).collect::<Vec<_>>());
        assert_eq!(add(other.path()).unwrap().replaced, Some(first.facts.hash));
        let left: Vec<_> = std::fs::read_dir(cache.path().join("corpora")).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(matches!(
            super::add("shakespeare", good.path(), "text", cache.path(), &mut |_| {}),
            Err(DataError::Taken(_))
        ));
    }

    #[test]
    fn text_that_only_repeats_itself_is_refused_with_the_reason() {
        let cache = tempfile::tempdir().unwrap();
        let line = b"There is nothing either good or bad, but thinking makes it so: to me it is a prison; ";
        for (text, why) in [(line.repeat(2_000), "are copies"), (line[..83].repeat(2_003), "repeated passages")] {
            let source = folder(&[text]);
            let error = add("mine", source.path(), "text", cache.path(), &mut |_| {}).unwrap_err().to_string();
            assert!(error.contains("too few") && error.contains(why), "{error}");
        }
    }
}
