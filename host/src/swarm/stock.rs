//! The streams and buckets of a swarm. The coordinator makes those that are missing; what is in them outlives it and
//! the server.

use crate::record::key::ExperimentKey;
use crate::swarm::blobs::Blobs;
use crate::swarm::error::SwarmError;
use crate::swarm::link::Link;
use crate::swarm::names::{
    ANY_JOB, ANY_RECEIPT, INPUTS, JOBS, LEASE, MACHINES, RECEIPTS, RESULTS, job, receipt, second_job,
};
use async_nats::jetstream::consumer::{self, AckPolicy};
use async_nats::jetstream::stream::{Config, DirectGetErrorKind, DiscardPolicy, RetentionPolicy, Stream};
use async_nats::jetstream::{kv, object_store};
use std::time::Duration;

/// A job comes back when its machine has been silent for this long.
pub const ACK_WAIT: Duration = Duration::from_secs(20);
/// Who has not said for this long that it coordinates does not.
pub const LEASE_TTL: Duration = Duration::from_secs(15);
/// What nobody took in this time is dropped.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Largest job or receipt in bytes.
pub const MAX_MESSAGE_BYTES: i32 = 64 << 10;
const MOST_MESSAGES: i64 = 100_000;

/// What the coordinator works with.
#[derive(Clone)]
pub struct Stock {
    pub jobs: Stream,
    pub receipts: Stream,
    pub inputs: Blobs,
    pub results: Blobs,
    pub lease: kv::Store,
}

impl Stock {
    /// Opens all, and makes what is missing.
    pub async fn open(link: &Link) -> Result<Self, SwarmError> {
        let jetstream = &link.jetstream;
        let each_once = |name: &str, subject: &str| Config {
            name: name.into(),
            subjects: vec![subject.into()],
            max_messages_per_subject: 1,
            max_messages: MOST_MESSAGES,
            max_message_size: MAX_MESSAGE_BYTES,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            allow_direct: true,
            ..Config::default()
        };
        let jobs = Config { retention: RetentionPolicy::WorkQueue, ..each_once(JOBS, ANY_JOB) };
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
        let receipts = Config { max_age: KEPT, ..each_once(RECEIPTS, ANY_RECEIPT) };
        let receipts = jetstream.get_or_create_stream(receipts).await;
        let receipts = receipts.map_err(SwarmError::server("the stream of receipts"))?;
        // The coordinator removes what no job needs any more.
        for (bucket, max_age) in [(INPUTS, Duration::ZERO), (RESULTS, KEPT)] {
            let config = object_store::Config { bucket: bucket.into(), max_age, ..Default::default() };
            if jetstream.get_object_store(bucket).await.is_err() {
                jetstream.create_object_store(config).await.map_err(SwarmError::server("a bucket"))?;
            }
        }
        let lease = kv::Config { bucket: LEASE.into(), max_age: LEASE_TTL, ..kv::Config::default() };
        let lease = match jetstream.get_key_value(LEASE).await {
            Ok(lease) => lease,
            Err(_) => jetstream.create_key_value(lease).await.map_err(SwarmError::server("the lease"))?,
        };
        let (inputs, results) = (Blobs::open(jetstream, INPUTS).await?, Blobs::open(jetstream, RESULTS).await?);
        Ok(Self { jobs, receipts, inputs, results, lease })
    }

    /// The receipt for an experiment, if one is there.
    pub async fn receipt(&self, experiment: &ExperimentKey) -> Result<Option<Vec<u8>>, SwarmError> {
        last(&self.receipts, receipt(experiment)).await
    }

    /// The job of an experiment, if nobody has finished it.
    pub async fn job(&self, experiment: &ExperimentKey) -> Result<Option<Vec<u8>>, SwarmError> {
        last(&self.jobs, job(experiment)).await
    }

    /// Removes a job, which nobody can take then.
    pub async fn remove_job(&self, experiment: &ExperimentKey) -> Result<(), SwarmError> {
        for subject in [job(experiment), second_job(experiment)] {
            let purged = self.jobs.purge().filter(subject).await;
            purged.map_err(SwarmError::server("the stream of jobs"))?;
        }
        Ok(())
    }

    pub async fn remove_receipt(&self, experiment: &ExperimentKey) -> Result<(), SwarmError> {
        let purged = self.receipts.purge().filter(receipt(experiment)).await;
        purged.map(drop).map_err(SwarmError::server("the stream of receipts"))
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
