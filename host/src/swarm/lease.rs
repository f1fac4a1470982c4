//! The lease: who coordinates. One at a time, and no longer than it says so.

use crate::swarm::error::SwarmError;
use crate::swarm::stock::LEASE_TTL;
use async_nats::jetstream::kv::{CreateErrorKind, Store, UpdateErrorKind};
use std::time::{Duration, Instant};

const KEY: &str = "coordinator";
/// Time between two tries to take it.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Lease {
    store: Store,
    holder: String,
    revision: u64,
}

impl Lease {
    /// Takes the lease. One that a killed coordinator left behind ends by itself meanwhile.
    pub async fn take(store: Store, holder: String) -> Result<Self, SwarmError> {
        let since = Instant::now();
        loop {
            match store.create(KEY, holder.clone().into()).await {
                Ok(revision) => return Ok(Self { store, holder, revision }),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
                Err(error) => return Err(SwarmError::server("the lease")(error)),
            }
            if since.elapsed() > LEASE_TTL + 3 * AGAIN {
                let holder = holder_of(&store).await?.unwrap_or_else(|| "somebody".into());
                return Err(SwarmError::Held { holder, seconds: LEASE_TTL.as_secs() });
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Says again that this process coordinates. Returns whether it still may: a server that cannot be reached says
    /// nothing about that.
    pub async fn renew(&mut self) -> bool {
        match self.store.update(KEY, self.holder.clone().into(), self.revision).await {
            Ok(revision) => self.revision = revision,
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => return self.take_again().await,
            Err(_) => {}
        }
        true
    }

    /// The lease ran out while the server or this process was away, or a renewal was heard and its answer got lost.
    async fn take_again(&mut self) -> bool {
        if let Ok(revision) = self.store.create(KEY, self.holder.clone().into()).await {
            self.revision = revision;
            return true;
        }
        match self.store.entry(KEY).await {
            Ok(Some(entry)) if entry.value == self.holder.as_bytes() => self.revision = entry.revision,
            Ok(Some(_)) => return false,
            // Free, or not to be known now.
            Ok(None) | Err(_) => {}
        }
        true
    }

    /// Lets others coordinate at once.
    pub async fn give_back(self) {
        // If this fails, the lease runs out.
        let _ = self.store.delete_expect_revision(KEY, Some(self.revision)).await;
    }
}

/// Who coordinates, if anybody does.
pub async fn holder_of(store: &Store) -> Result<Option<String>, SwarmError> {
    let value = store.get(KEY).await.map_err(SwarmError::server("the lease"))?;
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}
