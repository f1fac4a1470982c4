//! Blobs between machines, named by their hash: chunked by the server's object store, checked on arrival, and kept in
//! memory or on disk by whoever took them.

use crate::record::key::Hash;
use crate::swarm::error::SwarmError;
use async_nats::jetstream::Context;
use async_nats::jetstream::object_store::{InfoErrorKind, ObjectInfo, ObjectMetadata, ObjectStore};
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

/// Bytes of a chunk. The server takes messages of 1 MB.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes with which a blob's buffer begins, whatever it announces.
const FIRST_BYTES: u64 = 1 << 20;

/// A bucket of blobs.
#[derive(Clone)]
pub struct Blobs {
    store: ObjectStore,
    /// The stream behind the bucket.
    stream: Stream,
    bucket: String,
}

impl Blobs {
    pub async fn open(jetstream: &Context, bucket: &str) -> Result<Self, SwarmError> {
        let store = jetstream.get_object_store(bucket).await.map_err(SwarmError::server("a bucket"))?;
        let stream = jetstream.get_stream(format!("OBJ_{bucket}")).await.map_err(SwarmError::server("a bucket"))?;
        Ok(Self { store, stream, bucket: bucket.into() })
    }

    /// Puts a blob, unless it is there.
    pub async fn put(&self, bytes: &[u8]) -> Result<Hash, SwarmError> {
        self.put_as(Hash::of(bytes), bytes).await
    }

    /// Puts a blob whose hash is known, unless it is there.
    pub async fn put_as(&self, hash: Hash, bytes: &[u8]) -> Result<Hash, SwarmError> {
        if self.has(&hash).await? {
            return Ok(hash);
        }
        let metadata =
            ObjectMetadata { name: hash.to_string(), chunk_size: Some(CHUNK_BYTES), ..ObjectMetadata::default() };
        let mut bytes = bytes;
        self.store.put(metadata, &mut bytes).await.map_err(SwarmError::server("a blob"))?;
        Ok(hash)
    }

    async fn has(&self, hash: &Hash) -> Result<bool, SwarmError> {
        self.find(hash).await.map(|info| info.is_some())
    }

    async fn find(&self, hash: &Hash) -> Result<Option<ObjectInfo>, SwarmError> {
        match self.store.info(hash.to_string()).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(None),
            Err(error) => Err(SwarmError::server("a blob")(error)),
        }
    }

    /// Takes a blob of at most `cap` bytes; `None` if it is not there, or not what its name says.
    pub async fn get(&self, hash: &Hash, cap: u64) -> Result<Option<Vec<u8>>, SwarmError> {
        let Some(info) = self.find(hash).await? else { return Ok(None) };
        let mut bytes = Vec::with_capacity((info.size as u64).min(cap).min(FIRST_BYTES) as usize);
        let (chunks, mut next) = (format!("$O.{}.C.{}", self.bucket, info.nuid), None);
        for _ in 0..info.chunks {
            let chunk = match self.stream.direct_get_next_for_subject(chunks.clone(), next).await {
                Ok(chunk) => chunk,
                // It was removed or changed meanwhile, or what its maker says of it is wrong.
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => break,
                Err(error) if error.kind() == DirectGetErrorKind::InvalidSubject => break,
                Err(error) => return Err(SwarmError::server("a blob")(error)),
            };
            next = Some(chunk.sequence.saturating_add(1));
            bytes.extend_from_slice(&chunk.payload);
            if bytes.len() as u64 > cap {
                return Ok(None);
            }
        }
        Ok((Hash::of(&bytes) == *hash).then_some(bytes))
    }

    /// Removes a blob; one that is gone already is no error. It leaves no mark of the removal, as the store's own way
    /// does: only the coordinator may write over one.
    pub async fn remove(&self, hash: &Hash) -> Result<(), SwarmError> {
        let Some(info) = self.find(hash).await? else { return Ok(()) };
        let name = URL_SAFE.encode(hash.to_string());
        for part in [format!("$O.{}.M.{name}", self.bucket), format!("$O.{}.C.{}", self.bucket, info.nuid)] {
            self.stream.purge().filter(part).await.map_err(SwarmError::server("a blob"))?;
        }
        Ok(())
    }
}
