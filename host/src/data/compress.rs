//! The result of common compressors on the same text, for comparison with bits per byte. It is shown beside a score and
//! is not part of any hash.

use crate::data::error::DataError;
use crate::system::cache;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bits per byte of a text under each compressor at its best level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compressors {
    /// gzip -9.
    pub gzip: f64,
    /// xz -9.
    pub xz: f64,
    /// bzip2 -9.
    pub bzip2: f64,
}

/// Compresses `text`; takes about a second per 2 MB. All 0 for an empty text.
pub fn compressors(text: &[u8]) -> Result<Compressors, DataError> {
    let bpb = |encoder: &mut dyn Read| -> Result<f64, DataError> {
        let failed = |source| DataError::Io { path: PathBuf::from("compressor"), source };
        let bytes = io::copy(encoder, &mut io::sink()).map_err(failed)?;
        Ok(if text.is_empty() { 0.0 } else { bytes as f64 * 8.0 / text.len() as f64 })
    };
    Ok(Compressors {
        gzip: bpb(&mut flate2::read::GzEncoder::new(text, flate2::Compression::best()))?,
        xz: bpb(&mut liblzma::read::XzEncoder::new(text, 9))?,
        bzip2: bpb(&mut bzip2::read::BzEncoder::new(text, bzip2::Compression::best()))?,
    })
}

/// Like [`compressors`], but cached in `cache` under the hash of the text.
pub fn cached(text: &[u8], cache: &Path) -> Result<Compressors, DataError> {
    let path = cache.join("compressors").join(format!("{}.json", blake3::hash(text)));
    let failed = |source| DataError::Io { path: path.clone(), source };
    match fs::read(&path) {
        // A cache file that cannot be read is made again.
        Ok(json) => {
            if let Ok(found) = serde_json::from_slice(&json) {
                return Ok(found);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let found = compressors(text)?;
    let json = serde_json::to_vec(&found).map_err(|error| failed(io::Error::from(error)))?;
    // A cache that cannot be written costs seconds each time, and nothing else.
    let _ = cache::write(&path, &[&json]);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_compresses_and_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let text = b"the same again ".repeat(2_000);
        let found = cached(&text, folder.path()).unwrap();
        for bpb in [found.gzip, found.xz, found.bzip2] {
            assert!(bpb > 0.0 && bpb < 0.1, "{bpb}");
        }
        let path = folder.path().join(format!("compressors/{}.json", blake3::hash(&text)));
        fs::write(path, r#"{"gzip":1.0,"xz":2.0,"bzip2":3.0}"#).unwrap();
        assert_eq!(cached(&text, folder.path()).unwrap(), Compressors { gzip: 1.0, xz: 2.0, bzip2: 3.0 });
        assert_eq!(compressors(b"").unwrap().xz, 0.0);
    }
}
