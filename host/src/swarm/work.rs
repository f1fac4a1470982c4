//! A machine's side: takes jobs as long as it has free cores, makes the runs, and says what came out. It runs nothing
//! but sandboxed guests, and reads nothing but what jobs name.

use crate::record::key::ExperimentKey;
use crate::sandbox::Sandbox;
use crate::swarm::error::SwarmError;
use crate::swarm::link::{Link, patiently, runtime};
use crate::swarm::names::MACHINES;
use crate::swarm::pass::Pass;
use crate::swarm::slot;
use crate::swarm::watch::Order;
use crate::swarm::worker::{Told, Worker};
use async_nats::Subscriber;
use async_nats::jetstream::consumer::PullConsumer;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::StreamExt;

/// Time between two words that this machine is there.
const BEAT: Duration = Duration::from_secs(5);
/// Time between two looks at whether the user stopped it.
const TICK: Duration = Duration::from_millis(200);

/// What a machine offers.
pub struct Work {
    pub url: String,
    pub pass: Pass,
    /// Runs at the same time.
    pub jobs: NonZeroUsize,
    /// Threads, which they share.
    pub threads: u32,
}

/// Whether the user wants it to take no more runs, or to stop at once.
pub struct Stops<'a> {
    pub soon: &'a dyn Fn() -> bool,
    pub now: &'a dyn Fn() -> bool,
}

/// Works until the user or an order ends it.
///
/// # Errors
/// It is not let in, or cannot make runs of this swarm.
pub fn work(work: Work, stops: &Stops, tell: &mut dyn FnMut(Told)) -> Result<(), SwarmError> {
    let sandbox = Sandbox::new(None);
    let walls = sandbox.walls(&[]).map_err(|status| SwarmError::Sandbox(status.to_string()))?;
    if !walls.hold() {
        return Err(SwarmError::Walls(walls.to_string()));
    }
    let runtime = runtime()?;
    // The tasks of a machine live on this thread.
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let (send, mut told) = unbounded_channel();
        let notes = send.clone();
        let note = move |text| drop(notes.send(Told::Note { text }));
        let link = Link::connect_patiently(&work.url, work.pass, note).await?;
        let machine = Arc::new(Worker::open(link, sandbox, work.jobs, work.threads, send).await?);
        let ears = Ears::open(&machine).await?;
        // Who asks for it from now on has an answer.
        tell(Told::Ready { machine: machine.id.clone() });
        let hears = tokio::spawn(ears.listen(machine.clone()));
        let beats = tokio::spawn(beat(machine.clone()));
        let mut slots: tokio::task::JoinSet<Result<(), SwarmError>> = tokio::task::JoinSet::new();
        for _ in 0..work.jobs.get() {
            slots.spawn_local(slot::work(machine.clone()));
        }
        let mut ticks = tokio::time::interval(TICK);
        let mut ended = Ok(());
        loop {
            tokio::select! {
                Some(event) = told.recv() => tell(event),
                slot = slots.join_next() => match slot {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => {
                        // What one job cannot be run for, the others cannot either.
                        machine.is_draining.store(true, Ordering::Relaxed);
                        ended = ended.and(Err(error));
                    }
                    Some(Err(panic)) => ended = ended.and(Err(SwarmError::server("a thread")(panic))),
                },
                _ = ticks.tick() => {
                    machine.is_draining.fetch_or((stops.soon)(), Ordering::Relaxed);
                    machine.is_stopped.fetch_or((stops.now)(), Ordering::Relaxed);
                }
            }
        }
        hears.abort();
        beats.abort();
        machine.is_draining.store(true, Ordering::Relaxed);
        machine.beat(None).await;
        let _ = machine.link.client.flush().await;
        while let Ok(event) = told.try_recv() {
            tell(event);
        }
        ended
    })
}

async fn beat(machine: Arc<Worker>) {
    let mut beats = tokio::time::interval(BEAT);
    loop {
        beats.tick().await;
        machine.beat(None).await;
    }
}

/// Hears what is taken back, who asks, and orders.
struct Ears {
    stops: Subscriber,
    rolls: Subscriber,
    orders: Subscriber,
}

impl Ears {
    /// Returns when the server knows that this machine listens.
    async fn open(machine: &Worker) -> Result<Self, SwarmError> {
        let (client, lane, failed) = (&machine.link.client, machine.lane(), SwarmError::server("a subscription"));
        let stops = client.subscribe(lane.stop()).await.map_err(&failed)?;
        let rolls = client.subscribe(lane.roll()).await.map_err(&failed)?;
        let orders = client.subscribe(lane.order(&machine.id)).await.map_err(&failed)?;
        // Whatever the server answers now, it has heard of these before.
        patiently(async || {
            let jetstream = &machine.link.jetstream;
            let jobs: Result<PullConsumer, _> = jetstream.get_consumer_from_stream(MACHINES, lane.jobs()).await;
            jobs.map(drop).map_err(SwarmError::server("the consumer of jobs"))
        })
        .await?;
        Ok(Self { stops, rolls, orders })
    }

    async fn listen(mut self, machine: Arc<Worker>) {
        loop {
            tokio::select! {
                Some(message) = self.stops.next() => {
                    let experiment = std::str::from_utf8(&message.payload).ok().and_then(|key| key.parse().ok());
                    if let (Some(experiment), Ok(under_way)) = (experiment, machine.under_way.lock())
                        && let Some(is_taken_back) = under_way.get::<ExperimentKey>(&experiment)
                    {
                        is_taken_back.store(true, Ordering::Relaxed);
                    }
                }
                Some(message) = self.rolls.next() => machine.beat(message.reply).await,
                Some(message) = self.orders.next() => {
                    if let Some(order) = Order::read(&message.payload) {
                        machine.is_draining.store(true, Ordering::Relaxed);
                        machine.is_stopped.fetch_or(order == Order::Kick, Ordering::Relaxed);
                        machine.tells(Told::Note { text: format!("the coordinator says: {}", order.words()) });
                        if let Some(to) = message.reply {
                            machine.beat(Some(to)).await;
                        }
                    }
                }
                else => return,
            }
        }
    }
}
