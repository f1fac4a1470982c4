//! Blobs that this machine took from a swarm, on its disk: read again instead of sent again. A file is believed by its
//! hash alone.

use crate::record::key::Hash;
use crate::swarm::blobs::Blobs;
use crate::swarm::error::SwarmError;
use crate::system::cache;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// Bytes that the cache may hold; the files that were read longest ago make room.
const MOST_BYTES: u64 = 2 << 30;

#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub fn open() -> Result<Self, SwarmError> {
        let folder = cache::cache_dir().map_err(SwarmError::server("the cache"))?;
        Ok(Self { folder: folder.join("swarm") })
    }

    /// A blob of at most `cap` bytes, from the disk or from the bucket; `None` if neither has it.
    pub async fn get(&self, blobs: &Blobs, hash: &Hash, cap: u64) -> Result<Option<Vec<u8>>, SwarmError> {
        let path = self.folder.join(hash.to_string());
        let is_small = fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= cap);
        if let Some(bytes) = is_small.then(|| fs::read(&path).ok()).flatten()
            && Hash::of(&bytes) == *hash
        {
            // So that it is not the next to go. A failure costs a transfer at most.
            let _ = fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(Some(bytes));
        }
        let Some(bytes) = blobs.get(hash, cap).await? else { return Ok(None) };
        self.make_room(bytes.len() as u64);
        // What cannot be kept is sent again.
        let _ = cache::write(&path, &[&bytes]);
        Ok(Some(bytes))
    }

    fn make_room(&self, bytes: u64) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let file = |entry: fs::DirEntry| {
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        };
        let mut files: Vec<_> = entries.filter_map(file).collect();
        files.sort();
        let mut held = files.iter().map(|(_, length, _)| length).sum::<u64>().saturating_add(bytes);
        for (_, length, path) in files {
            if held <= MOST_BYTES {
                break;
            }
            if fs::remove_file(path).is_ok() {
                held = held.saturating_sub(length);
            }
        }
    }
}
