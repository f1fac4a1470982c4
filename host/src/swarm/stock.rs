//! The streams and buckets of a swarm. The coordinator makes those that are missing; what is in them outlives it and
//! the server.

use crate::record::key::ExperimentKey;
use crate::swarm::blobs::Blobs;
use crate::swarm::contributor::{Contributor, Known};
use crate::swarm::error::SwarmError;
use crate::swarm::link::Link;
use crate::swarm::names::{CONTRIBUTORS, Kind, LEASE, Lane, MACHINES};
use async_nats::jetstream::consumer::{self, AckPolicy};
use async_nats::jetstream::stream::{Config, DirectGetErrorKind, DiscardPolicy, RetentionPolicy, Stream};
use async_nats::jetstream::{kv, object_store};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_stream::StreamExt;

/// A job comes back when its machine has been silent for this long.
pub const ACK_WAIT: Duration = Duration::from_secs(20);
/// Who has not said for this long that it coordinates does not.
pub const LEASE_TTL: Duration = Duration::from_secs(15);
/// What nobody took in this time is dropped.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Largest job or receipt in bytes.
pub const MAX_MESSAGE_BYTES: i32 = 64 << 10;
const MOST_MESSAGES: i64 = 100_000;
/// Receipts that a contributor may leave, and bytes of their results, for each of its runs at the same time.
const RECEIPTS_OF_RUN: i64 = 4;
const RESULTS_OF_RUN: i64 = 256 << 20;
/// Most contributors of a swarm.
pub const MOST_CONTRIBUTORS: usize = 1000;

/// What the coordinator works with, beside the stalls.
#[derive(Clone)]
pub struct Stock {
    pub lease: kv::Store,
    contributors: kv::Store,
}

/// The streams and buckets of one lane.
#[derive(Clone)]
pub struct Stall {
    pub lane: Lane,
    link: Link,
    pub jobs: Stream,
    pub receipts: Stream,
    pub inputs: Blobs,
    pub results: Blobs,
}

impl Stock {
    /// Opens all, and makes what is missing.
    pub async fn open(link: &Link) -> Result<Self, SwarmError> {
        let bucket = async |name: &str, max_age| match link.jetstream.get_key_value(name).await {
            Ok(bucket) => Ok(bucket),
            Err(_) => {
                let config = kv::Config { bucket: name.into(), max_age, ..kv::Config::default() };
                link.jetstream.create_key_value(config).await.map_err(SwarmError::server("a bucket"))
            }
        };
        Ok(Self { lease: bucket(LEASE, LEASE_TTL).await?, contributors: bucket(CONTRIBUTORS, Duration::ZERO).await? })
    }

    /// Changes whenever something of a contributor does.
    pub async fn edition(&self) -> Result<u64, SwarmError> {
        let info = self.contributors.stream.get_info().await;
        Ok(info.map_err(SwarmError::server("the list of contributors"))?.state.last_sequence)
    }

    /// All contributors, also those that are out.
    pub async fn contributors(&self) -> Result<BTreeMap<Contributor, Known>, SwarmError> {
        let failed = SwarmError::server("the list of contributors");
        let mut names = self.contributors.keys().await.map_err(failed)?;
        let mut known = BTreeMap::new();
        while let Some(name) = names.next().await {
            let name: Contributor = match name.map_err(SwarmError::server("the list of contributors"))?.parse() {
                Ok(name) => name,
                Err(_) => continue,
            };
            if let Some(what) = self.contributor(&name).await? {
                known.insert(name, what);
            }
        }
        Ok(known)
    }

    pub async fn contributor(&self, name: &Contributor) -> Result<Option<Known>, SwarmError> {
        let value = self.contributors.get(name.as_str()).await;
        let value = value.map_err(SwarmError::server("the list of contributors"))?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    pub async fn remember(&self, name: &Contributor, known: &Known) -> Result<(), SwarmError> {
        let value = serde_json::to_vec(known).map_err(SwarmError::server("the list of contributors"))?;
        let put = self.contributors.put(name.as_str(), value.into()).await;
        put.map(drop).map_err(SwarmError::server("the list of contributors"))
    }
}

impl Stall {
    /// Opens all of a lane, and makes what is missing. A contributor has room for what its runs need.
    pub async fn open(link: &Link, lane: Lane, known: Option<&Known>) -> Result<Self, SwarmError> {
        let jetstream = &link.jetstream;
        let runs = known.map(|known| i64::from(known.runs.max(1)));
        let each_once = |name: String, subject: String, max_messages| Config {
            name,
            subjects: vec![subject],
            max_messages_per_subject: 1,
            max_messages,
            max_message_size: MAX_MESSAGE_BYTES,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            allow_direct: true,
            ..Config::default()
        };
        let jobs = each_once(lane.jobs(), lane.any_job(), MOST_MESSAGES);
        let jobs = Config { retention: RetentionPolicy::WorkQueue, ..jobs };
        let jobs = jetstream.get_or_create_stream(jobs).await.map_err(SwarmError::server("the stream of jobs"))?;
        let machines = consumer::pull::Config {
            durable_name: Some(MACHINES.into()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MOST_MESSAGES,
            ..consumer::pull::Config::default()
        };
        let made = jobs.get_or_create_consumer(MACHINES, machines).await;
        made.map_err(SwarmError::server("the consumer of jobs"))?;
        let most = runs.map_or(MOST_MESSAGES, |runs| runs * RECEIPTS_OF_RUN);
        let receipts = Config { max_age: KEPT, ..each_once(lane.receipts(), lane.any(Kind::Receipt), most) };
        let receipts = jetstream.get_or_create_stream(receipts).await;
        let receipts = receipts.map_err(SwarmError::server("the stream of receipts"))?;
        // The coordinator removes what no job needs any more.
        let most = runs.map_or(-1, |runs| runs * RESULTS_OF_RUN);
        for (bucket, max_age, max_bytes) in
            [(lane.inputs().to_string(), Duration::ZERO, -1), (lane.results(), KEPT, most)]
        {
            if jetstream.get_object_store(&bucket).await.is_err() {
                let config = object_store::Config { bucket, max_age, max_bytes, ..Default::default() };
                jetstream.create_object_store(config).await.map_err(SwarmError::server("a bucket"))?;
            }
        }
        let inputs = Blobs::open(jetstream, lane.inputs()).await?;
        let results = Blobs::open(jetstream, &lane.results()).await?;
        Ok(Self { lane, link: link.clone(), jobs, receipts, inputs, results })
    }

    /// The receipt for an experiment, if one is there.
    pub async fn receipt(&self, experiment: &ExperimentKey) -> Result<Option<Vec<u8>>, SwarmError> {
        last(&self.receipts, self.lane.receipt(experiment)).await
    }

    /// The job of an experiment, if nobody has finished it.
    pub async fn job(&self, experiment: &ExperimentKey) -> Result<Option<Vec<u8>>, SwarmError> {
        last(&self.jobs, self.lane.job(experiment)).await
    }

    /// Removes a job, which nobody can take then, and stops who has taken it. Who does not hear it makes a run that
    /// nobody needs.
    pub async fn take_back(&self, experiment: &ExperimentKey) -> Result<(), SwarmError> {
        for subject in [self.lane.job(experiment), self.lane.second_job(experiment)] {
            let purged = self.jobs.purge().filter(subject).await;
            purged.map_err(SwarmError::server("the stream of jobs"))?;
        }
        let told = self.link.client.publish(self.lane.stop(), experiment.to_string().into()).await;
        told.map_err(SwarmError::server("a message"))
    }

    pub async fn remove_receipt(&self, experiment: &ExperimentKey) -> Result<(), SwarmError> {
        let purged = self.receipts.purge().filter(self.lane.receipt(experiment)).await;
        purged.map(drop).map_err(SwarmError::server("the stream of receipts"))
    }

    /// Forgets jobs and receipts.
    pub async fn empty(&self) -> Result<(), SwarmError> {
        for stream in [&self.jobs, &self.receipts] {
            stream.purge().await.map_err(SwarmError::server("a stream"))?;
        }
        Ok(())
    }

    /// Removes all that a contributor has of its own on the server.
    pub async fn close(self) {
        let results = format!("OBJ_{}", self.lane.results());
        for stream in [self.lane.jobs(), self.lane.receipts(), results] {
            // What cannot be removed now is in nobody's way.
            let _ = self.link.jetstream.delete_stream(stream).await;
        }
    }
}

async fn last(stream: &Stream, subject: String) -> Result<Option<Vec<u8>>, SwarmError> {
    match stream.direct_get_last_for_subject(subject).await {
        Ok(message) => Ok(Some(message.payload.to_vec())),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(SwarmError::server("a stream")(error)),
    }
}

/// Publishes to a stream that holds one message for each subject. Returns whether it is there now because of this call.
pub async fn publish_once(link: &Link, subject: String, message: Vec<u8>) -> Result<bool, SwarmError> {
    let published = link.jetstream.publish(subject, message.into()).await.map_err(SwarmError::server("a message"))?;
    match published.await {
        Ok(_) => Ok(true),
        Err(error) if is_there_already(&error) => Ok(false),
        Err(error) => Err(SwarmError::server("a message")(error)),
    }
}

/// The server names a refusal for each reason, and has a sentence alone for this one.
fn is_there_already(error: &async_nats::jetstream::context::PublishError) -> bool {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    source.contains("maximum messages per subject exceeded")
}
