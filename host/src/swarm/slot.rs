//! One place of a machine: takes a job, makes the run, answers, and takes the next.

use crate::community::{FormError, Signed};
use crate::experiment::ended::Ended;
use crate::record::key::{ExperimentKey, Hash};
use crate::record::outcome::{HostFault, Status};
use crate::sandbox::Progress;
use crate::swarm::error::SwarmError;
use crate::swarm::job::{Job, JobFault};
use crate::swarm::names::{self, MACHINES};
use crate::swarm::receipt::{End, Receipt};
use crate::swarm::said::Said;
use crate::swarm::stock::{ACK_WAIT, publish_once};
use crate::swarm::worker::{Told, Worker};
use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::{AckKind, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_stream::StreamExt;

/// How long one request for a job waits on the server.
const LONG_POLL: Duration = Duration::from_secs(2);
/// Time between two tries of what the server did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// Time between two words on a run.
const SAY: Duration = Duration::from_millis(500);
/// A job whose run failed waits for this long before another try.
const PAUSE: Duration = Duration::from_secs(2);
/// How often machines take a job before its failure is its answer.
const MOST_TRIES: i64 = 4;

/// Works until the machine drains or stops.
///
/// # Errors
/// A job that this program cannot run, nor others of the same night.
pub async fn work(machine: Arc<Worker>) -> Result<(), SwarmError> {
    let mut consumer = None;
    while !machine.is_draining.load(Ordering::Relaxed) && !machine.is_stopped.load(Ordering::Relaxed) {
        match next(&machine, &mut consumer).await {
            Ok(Some(message)) => Taken::new(&machine, message).work().await?,
            Ok(None) => {}
            Err(_) => {
                // The server is away, or another one now.
                consumer = None;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    Ok(())
}

/// The next job, if one comes within a while.
async fn next(
    machine: &Worker,
    consumer: &mut Option<Consumer<pull::Config>>,
) -> Result<Option<Message>, async_nats::Error> {
    let consumer = match consumer {
        Some(consumer) => consumer,
        None => {
            consumer.insert(machine.link.jetstream.get_consumer_from_stream(MACHINES, machine.lane().jobs()).await?)
        }
    };
    let mut batch = consumer.batch().max_messages(1).expires(LONG_POLL).messages().await?;
    batch.next().await.transpose()
}

/// A job that this machine took, until it has answered.
struct Taken<'a> {
    machine: &'a Arc<Worker>,
    message: Message,
    /// How often a machine took it, with this time.
    tries: i64,
}

impl<'a> Taken<'a> {
    fn new(machine: &'a Arc<Worker>, message: Message) -> Self {
        let tries = message.info().map_or(1, |info| info.delivered);
        Self { machine, message, tries }
    }

    async fn work(self) -> Result<(), SwarmError> {
        let machine = self.machine;
        let job = match Job::read(&self.message.payload, &machine.link.pass.coordinator) {
            Ok(job) => job,
            Err(JobFault::Form(error)) => return self.refuse(&error).await,
            Err(fault) => {
                // Another machine may have the right version.
                self.acknowledge(AckKind::Nak(None)).await;
                return Err(fault.into());
            }
        };
        let experiment = job.experiment();
        let is_taken_back = Arc::new(AtomicBool::new(false));
        if !machine.begins(experiment, &is_taken_back) {
            // It came back while this machine was away, or another machine shall make it too.
            self.acknowledge(AckKind::Nak(Some(PAUSE))).await;
            return Ok(());
        }
        let worked = match self.tries > MOST_TRIES {
            true => self.give_up(&job).await,
            false => self.make(&job, is_taken_back).await,
        };
        machine.ends(&experiment);
        worked
    }

    /// A job that nobody comes to an end with has failed. One that is there for one more machine can go.
    async fn give_up(&self, job: &Job) -> Result<(), SwarmError> {
        if names::is_second(&self.message.subject) {
            self.acknowledge(AckKind::Term).await;
            return Ok(());
        }
        let words = format!("{MOST_TRIES} machines took it, and none came to an end");
        self.answer_fault(job, HostFault::Killed, &words).await
    }

    /// Makes the run and answers. Meanwhile it says again and again that it is at work.
    async fn make(&self, job: &Job, is_taken_back: Arc<AtomicBool>) -> Result<(), SwarmError> {
        self.machine.tells(Told::Begun { experiment: job.experiment() });
        // From now on the coordinator counts its time.
        self.says(&job.experiment(), 0.0, 0, None).await;
        let (progress, mut heard) = watch::channel(None);
        let run = self.run(job, is_taken_back.clone(), progress);
        tokio::pin!(run);
        let (mut acks, mut says) = (tokio::time::interval(ACK_WAIT / 4), tokio::time::interval(SAY));
        let ended = loop {
            tokio::select! {
                ended = &mut run => break ended,
                _ = acks.tick() => drop(self.message.ack_with(AckKind::Progress).await),
                _ = says.tick() => self.say(&job.experiment(), &mut heard).await,
            }
        };
        let (machine, experiment) = (self.machine, job.experiment());
        if is_taken_back.load(Ordering::Relaxed) {
            machine.tells(Told::TakenBack { experiment });
            self.acknowledge(AckKind::Term).await;
            return Ok(());
        }
        machine.tells(Told::Ended { experiment, status: ended.outcome.status.name() });
        match &ended.outcome.status {
            Status::HostFault { kind: HostFault::Interrupted, .. } => {
                self.acknowledge(AckKind::Nak(None)).await;
                Ok(())
            }
            Status::HostFault { kind, message } if self.tries >= MOST_TRIES => {
                self.answer_fault(job, *kind, message).await
            }
            status @ Status::HostFault { .. } => {
                machine.tells(Told::Note { text: format!("{}: {status}; it is tried again", experiment.short()) });
                self.acknowledge(AckKind::Nak(Some(PAUSE))).await;
                Ok(())
            }
            Status::Completed | Status::GuestFault { .. } => self.answer(job, &ended).await,
        }
    }

    async fn run(&self, job: &Job, is_taken_back: Arc<AtomicBool>, progress: watch::Sender<Option<Progress>>) -> Ended {
        let machine = self.machine.clone();
        let prepared = match machine.bench.prepare(job).await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(status)) => return Ended::without_result(status),
            Err(error) => return Ended::without_result(Status::host(HostFault::System, error.to_string())),
        };
        let run = tokio::task::spawn_blocking(move || {
            let stopped = || machine.is_stopped.load(Ordering::Relaxed) || is_taken_back.load(Ordering::Relaxed);
            let mut say = |said: Progress| {
                // Checkpoints stay here and are dropped.
                if let Progress::Step { .. } = said {
                    progress.send_replace(Some(said));
                }
            };
            prepared.run(&machine.bench.sandbox, &mut say, &stopped)
        });
        run.await.unwrap_or_else(|panic| {
            Ended::without_result(Status::host(HostFault::Crashed, format!("a thread: {panic}")))
        })
    }

    async fn say(&self, experiment: &ExperimentKey, heard: &mut watch::Receiver<Option<Progress>>) {
        if heard.has_changed().unwrap_or(false)
            && let Some(Progress::Step { progress, steps, loss }) = heard.borrow_and_update().clone()
        {
            self.says(experiment, progress, steps, loss).await;
        }
    }

    async fn says(&self, experiment: &ExperimentKey, progress: f64, steps: u64, loss: Option<f64>) {
        let said = Said { machine: self.machine.id.clone(), progress, steps, loss };
        // A lost one is followed by the next.
        let _ = self.machine.link.client.publish(self.machine.lane().said(experiment), said.write().into()).await;
    }

    async fn answer(&self, job: &Job, ended: &Ended) -> Result<(), SwarmError> {
        let outcome = ended.outcome.encode();
        let words = match &ended.outcome.status {
            Status::Completed => "",
            Status::GuestFault { message, .. } | Status::HostFault { message, .. } => message,
        };
        let causality = ended.evaluation.map(|evaluation| evaluation.causality);
        let results = &self.machine.results;
        let put = async || {
            let state = match &ended.state {
                Some(state) => Some(results.put(state).await?),
                None => None,
            };
            Ok(End::Result { outcome: results.put(&outcome).await?, state, causality })
        };
        // Whoever takes the job meanwhile comes to the same result.
        let Some(end) = self.patiently(put).await else { return Ok(()) };
        self.publish(job, end, words).await
    }

    async fn answer_fault(&self, job: &Job, kind: HostFault, words: &str) -> Result<(), SwarmError> {
        self.publish(job, End::Fault(kind), words).await
    }

    async fn publish(&self, job: &Job, end: End, words: &str) -> Result<(), SwarmError> {
        let link = &self.machine.link;
        let receipt = Receipt::new(Hash::of(&self.message.payload), job, self.machine.id.clone(), end, words);
        let signed = Signed::sign(receipt, &link.pass.key).to_bytes();
        let subject = self.machine.lane().receipt(&job.experiment());
        if self.patiently(async || publish_once(link, subject.clone(), signed.clone()).await).await.is_some() {
            self.acknowledge(AckKind::Ack).await;
        }
        Ok(())
    }

    /// Tries until the server answers; `None` if this machine is stopped before.
    async fn patiently<T>(&self, work: impl AsyncFn() -> Result<T, SwarmError>) -> Option<T> {
        loop {
            match work().await {
                Ok(done) => return Some(done),
                Err(_) if self.machine.is_stopped.load(Ordering::Relaxed) => return None,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// A job that does not read is nobody's.
    async fn refuse(&self, error: &FormError) -> Result<(), SwarmError> {
        self.machine.tells(Told::Note { text: format!("a job is refused: {error}") });
        self.acknowledge(AckKind::Term).await;
        Ok(())
    }

    /// If this is lost, the job comes back, and whoever takes it comes to the same result.
    async fn acknowledge(&self, kind: AckKind) {
        let _ = self.message.ack_with(kind).await;
    }
}
