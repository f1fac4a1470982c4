//! Splits that are kept in the cache: comparing a long training text with the held-out text takes a while. A kept split
//! is a file: its hash, then the split in postcard's encoding.

use crate::data::corpus::Corpus;
use crate::data::error::DataError;
use crate::data::split::{self, Splits};
use crate::record::secret::SplitSecret;
use crate::system::cache;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// BLAKE3 key-derivation context of kept splits. A change of [`split::split`] or of its types needs a new one.
const CONTEXT: &str = "host 2026 kept split v1";

/// The splits of `corpus`: from the folder `cache`, else made and kept there. Those of a secret are made each time and
/// kept nowhere. `progress` receives lines during slow work.
pub fn splits(
    corpus: &Corpus,
    secret: Option<&SplitSecret>,
    cache: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Splits, DataError> {
    if secret.is_some() {
        return split::split(corpus, secret, progress);
    }
    let path = path(corpus, cache);
    let name = &corpus.manifest.name;
    match fs::read(&path) {
        Ok(bytes) => {
            if let Some(kept) = decode(&bytes).filter(|splits| splits.fit(corpus)) {
                return Ok(kept);
            }
            progress(&format!("{name}: the kept split is corrupt; making it again"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => progress(&format!("{name}: {}: {error}; making the split again", path.display())),
    }
    let made = split::split(corpus, None, progress)?;
    if let Err(error) = cache::write(&path, &[&encode(&made)?]) {
        progress(&format!("{name}: the split can't be kept, and is made again next time: {error}"));
    }
    Ok(made)
}

fn path(corpus: &Corpus, cache: &Path) -> PathBuf {
    cache.join("splits").join(format!("{}.split", corpus.manifest.hash_hex()))
}

fn encode(splits: &Splits) -> Result<Vec<u8>, DataError> {
    let split = postcard::to_stdvec(splits)
        .map_err(|error| DataError::Io { path: PathBuf::from("split"), source: io::Error::other(error) })?;
    Ok([&blake3::derive_key(CONTEXT, &split)[..], &split].concat())
}

fn decode(bytes: &[u8]) -> Option<Splits> {
    let (hash, split) = bytes.split_first_chunk::<32>()?;
    if *hash != blake3::derive_key(CONTEXT, split) {
        return None;
    }
    postcard::from_bytes(split).ok()
}

#[cfg(test)]
mod tests {
    use super::super::corpus::Document;
    use super::*;

    fn corpus() -> Corpus {
        let document = |i: u32| Document { name: i.to_string(), bytes: i.to_string().repeat(99).into_bytes() };
        Corpus::packed("x", (10..40).map(document).collect())
    }

    #[test]
    fn a_split_is_made_once_and_again_if_its_file_is_damaged() {
        let cache = tempfile::tempdir().unwrap();
        let corpus = corpus();
        let mut said = Vec::new();
        let made = splits(&corpus, None, cache.path(), &mut |line| said.push(line.to_owned())).unwrap();
        let file = path(&corpus, cache.path());
        let kept = fs::read(&file).unwrap();
        fs::write(&file, encode(&Splits { train: vec![], ..made.clone() }).unwrap()).unwrap();
        assert!(splits(&corpus, None, cache.path(), &mut |_| {}).unwrap().train.is_empty());
        for i in [0, 31, 32, kept.len() - 1] {
            let mut bad = kept.clone();
            bad[i] ^= 1;
            fs::write(&file, bad).unwrap();
            assert_eq!(splits(&corpus, None, cache.path(), &mut |line| said.push(line.to_owned())).unwrap(), made);
            assert!(said.pop().unwrap().contains("corrupt"));
        }
        assert!(said.is_empty());
    }

    #[test]
    fn the_splits_of_a_secret_are_kept_nowhere() {
        let cache = tempfile::tempdir().unwrap();
        let secret = SplitSecret::new([7; 32]);
        splits(&corpus(), Some(&secret), cache.path(), &mut |_| {}).unwrap();
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_cache_that_cannot_be_used_is_told() {
        let cache = tempfile::tempdir().unwrap();
        fs::write(cache.path().join("splits"), "a file in the way").unwrap();
        let corpus = corpus();
        let mut said = Vec::new();
        splits(&corpus, None, cache.path(), &mut |line| said.push(line.to_owned())).unwrap();
        assert!(said[0].contains("making the split again") && said[1].contains("can't be kept"), "{said:?}");
    }
}
