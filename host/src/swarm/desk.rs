//! The coordinator's side of the wire: publishes jobs, hears machines, takes receipts in. What it holds in memory can
//! be lost: jobs and receipts are on the server until the night's store has the result.

use crate::community::Signed;
use crate::data::task::PreparedTask;
use crate::experiment::ended::Ended;
use crate::experiment::fleet::{Heard, Order};
use crate::record::key::{ExperimentKey, Hash};
use crate::record::outcome::{HostFault, Status};
use crate::swarm::board::{Board, Machines};
use crate::swarm::error::SwarmError;
use crate::swarm::intake::{Intake, Taken};
use crate::swarm::job::Job;
use crate::swarm::lease::Lease;
use crate::swarm::link::{Link, patiently};
use crate::swarm::machine::{MachineId, Offer};
use crate::swarm::names::{self, ANY_BEAT, ANY_RECEIPT, ANY_SAID, STOP};
use crate::swarm::pace::Pace;
use crate::swarm::pass::Pass;
use crate::swarm::said::Said;
use crate::swarm::stock::{Stock, publish_once};
use async_nats::{Message, Subscriber};
use kernels::cost::Profile;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio_stream::StreamExt;

/// Time between two renewals of the lease, and between two looks at what was asked for.
const TICK: Duration = Duration::from_secs(4);
/// A run is looked for on the server when it was asked for this long ago.
const LOOK_AFTER: Duration = Duration::from_secs(3);
/// Words on a run are handed on as often as this.
const SAID_EVERY: Duration = Duration::from_millis(400);
/// Receipts for one run that are refused before the night hears of it.
const MOST_REFUSED: u32 = 3;

/// What the night's thread wants.
pub enum Command {
    Ask {
        order: Box<Order>,
        number: u64,
        tell: Sender<Heard>,
    },
    /// Who asked with this number does not need the run any more.
    TakeBack(ExperimentKey, u64),
    /// The night's store has the result.
    Stored(ExperimentKey),
    /// A receipt was checked.
    Checked(ExperimentKey, Box<Result<Taken, SwarmError>>),
}

/// What all jobs of a night name.
pub struct Inputs {
    task: Arc<PreparedTask>,
    lesson: Vec<u8>,
    profile: Vec<u8>,
}

impl Inputs {
    pub fn new(task: &PreparedTask, profile: &Profile) -> Result<Self, SwarmError> {
        let profile = serde_json::to_vec(profile).map_err(SwarmError::server("the profile"))?;
        Ok(Self { lesson: task.lesson()?, profile, task: Arc::new(task.clone()) })
    }
}

/// A run that was asked for and has not ended.
struct Open {
    order: Order,
    listeners: Vec<(u64, Sender<Heard>)>,
    asked: Instant,
    /// When a machine first said something of it.
    begun: Option<Instant>,
    is_being_checked: bool,
    refused: u32,
    /// When a word on it was last handed on.
    heard: Option<Instant>,
    /// Who said last that it makes the run.
    machine: Option<MachineId>,
    /// Another machine was asked for it too.
    is_doubled: bool,
}

pub struct Desk {
    link: Link,
    stock: Stock,
    lease: Option<Lease>,
    inputs: Inputs,
    board: Arc<Board>,
    machines: Machines,
    pace: Pace,
    open: BTreeMap<ExperimentKey, Open>,
    /// Blobs of results that the night has, and may not have stored yet.
    taken: BTreeMap<ExperimentKey, Vec<Hash>>,
    commands: WeakUnboundedSender<Command>,
    /// Whether it was said that no machine is there.
    is_alone: bool,
    started: Instant,
}

impl Desk {
    pub async fn open(
        url: &str,
        pass: Pass,
        inputs: Inputs,
        board: Arc<Board>,
        commands: WeakUnboundedSender<Command>,
    ) -> Result<Self, SwarmError> {
        let told = board.clone();
        let link = Link::connect(url, pass, move |text| told.note(text)).await?;
        let stock = patiently(async || Stock::open(&link).await).await?;
        let lease = patiently(async || Lease::take(stock.lease.clone(), names::holder()).await).await?;
        Ok(Self {
            link,
            stock,
            lease: Some(lease),
            inputs,
            board,
            machines: Machines::default(),
            pace: Pace::default(),
            open: BTreeMap::new(),
            taken: BTreeMap::new(),
            commands,
            is_alone: false,
            started: Instant::now(),
        })
    }

    /// Works until nobody can send commands any more.
    pub async fn work(mut self, mut commands: UnboundedReceiver<Command>) {
        let (mut receipts, mut said, mut beats) = match self.listen().await {
            Ok(subscribers) => subscribers,
            Err(error) => return self.board.note(error.to_string()),
        };
        // Machines that are there need not wait for their next beat.
        let _ = self.link.client.publish(names::ROLL, Vec::new().into()).await;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                Some(message) = receipts.next() => self.look_at(&message),
                Some(message) = said.next() => self.hear_said(&message),
                Some(message) = beats.next() => self.hear_beat(&message),
                _ = ticks.tick() => self.tick().await,
            }
        }
        self.end().await;
    }

    async fn listen(&self) -> Result<(Subscriber, Subscriber, Subscriber), SwarmError> {
        let client = &self.link.client;
        let failed = SwarmError::server("a subscription");
        let receipts = client.subscribe(ANY_RECEIPT).await.map_err(&failed)?;
        let said = client.subscribe(ANY_SAID).await.map_err(&failed)?;
        let beats = client.subscribe(ANY_BEAT).await.map_err(&failed)?;
        Ok((receipts, said, beats))
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Ask { order, number, tell } => self.ask(*order, number, tell).await,
            Command::TakeBack(experiment, number) => self.take_back(experiment, number).await,
            Command::Stored(experiment) => self.forget(experiment).await,
            Command::Checked(experiment, taken) => self.take_in(experiment, *taken).await,
        }
    }

    async fn ask(&mut self, order: Order, number: u64, tell: Sender<Heard>) {
        if self.lease.is_none() {
            let _ = tell.send(another_coordinates());
            return;
        }
        let experiment = order.manifest.key();
        let open = self.open.entry(experiment).or_insert_with(|| Open {
            order,
            listeners: Vec::new(),
            asked: Instant::now(),
            begun: None,
            is_being_checked: false,
            refused: 0,
            heard: None,
            machine: None,
            is_doubled: false,
        });
        open.listeners.push((number, tell));
        // What fails now is done at the next look.
        let _ = self.look_after(experiment).await;
    }

    /// Sees to it that a run is under way: its receipt is there, or its job.
    async fn look_after(&mut self, experiment: ExperimentKey) -> Result<(), SwarmError> {
        let Some(open) = self.open.get(&experiment).filter(|open| !open.is_being_checked) else { return Ok(()) };
        let order = open.order.clone();
        if let Some(receipt) = self.stock.receipt(&experiment).await? {
            self.check(experiment, receipt);
            return Ok(());
        }
        if self.stock.job(&experiment).await?.is_some() {
            return Ok(());
        }
        // A machine publishes its receipt before it acknowledges the job.
        if let Some(receipt) = self.stock.receipt(&experiment).await? {
            self.check(experiment, receipt);
            return Ok(());
        }
        let signed = self.sign(order).await?;
        publish_once(&self.link, names::job(&experiment), signed).await.map(drop)
    }

    /// The signed job of a run, once what it names is on the server.
    async fn sign(&self, order: Order) -> Result<Vec<u8>, SwarmError> {
        let job = Job {
            component: self.stock.inputs.put(order.component.bytes()).await?,
            lesson: self.stock.inputs.put(&self.inputs.lesson).await?,
            profile: self.stock.inputs.put(&self.inputs.profile).await?,
            manifest: order.manifest,
            probe_seed: order.probe_seed,
        };
        Ok(Signed::sign(job, &self.link.pass.key).to_bytes())
    }

    /// Asks one more machine for a run that takes much longer than others, if one is free.
    async fn double(&mut self) -> Result<(), SwarmError> {
        let mut free = self.machines.free();
        let is_slow = |open: &Open| {
            let wall = open.begun.map(|begun| begun.elapsed()).unwrap_or_default();
            !open.is_doubled && self.pace.is_slow(open.order.manifest.budget_ps, wall)
        };
        let slow: Vec<_> = self.open.iter().filter(|(_, open)| is_slow(open)).map(|(key, _)| *key).collect();
        for experiment in slow {
            let Some(open) = self.open.get(&experiment).filter(|_| free > 0) else { break };
            let (order, machine) = (open.order.clone(), open.machine.clone());
            let signed = self.sign(order).await?;
            publish_once(&self.link, names::second_job(&experiment), signed).await?;
            let who = machine.map_or_else(|| "a machine".into(), |machine| machine.to_string());
            self.board.note(format!("{who} is slow with {}: another machine makes it too", experiment.short()));
            if let Some(open) = self.open.get_mut(&experiment) {
                open.is_doubled = true;
            }
            free -= 1;
        }
        Ok(())
    }

    fn look_at(&mut self, message: &Message) {
        if let Some(experiment) = names::last(&message.subject) {
            self.check(experiment, message.payload.to_vec());
        }
    }

    /// Checks a receipt beside other work, as its blobs take time.
    fn check(&mut self, experiment: ExperimentKey, receipt: Vec<u8>) {
        let Some(open) = self.open.get_mut(&experiment).filter(|open| !open.is_being_checked) else { return };
        let Some(commands) = self.commands.upgrade() else { return };
        open.is_being_checked = true;
        let intake = Intake {
            results: self.stock.results.clone(),
            task: self.inputs.task.clone(),
            key: self.link.pass.key.clone(),
            machines: self.link.pass.machines,
            order: open.order.clone(),
            inputs: (Hash::of(&self.inputs.lesson), Hash::of(&self.inputs.profile)),
            wall: open.begun.map(|begun| begun.elapsed()).unwrap_or_default(),
        };
        tokio::spawn(async move {
            let taken = intake.take(&receipt).await;
            let _ = commands.send(Command::Checked(experiment, Box::new(taken)));
        });
    }

    async fn take_in(&mut self, experiment: ExperimentKey, taken: Result<Taken, SwarmError>) {
        let Some(open) = self.open.get_mut(&experiment) else { return };
        open.is_being_checked = false;
        let (ended, blobs) = match taken {
            Ok(Taken::Ended { ended, blobs }) => (*ended, blobs),
            Ok(Taken::Refused(why)) => {
                open.refused += 1;
                self.board.note(format!("a receipt for {} is refused: {why}", experiment.short()));
                let is_hopeless = open.refused >= MOST_REFUSED;
                let _ = self.stock.remove_receipt(&experiment).await;
                if !is_hopeless {
                    let _ = self.look_after(experiment).await;
                    return;
                }
                let why = format!("{MOST_REFUSED} receipts for it were refused, the last one because {why}");
                (Ended::without_result(Status::host(HostFault::Protocol, why)), Vec::new())
            }
            // The server is away: the next look tries again.
            Err(_) => return,
        };
        if !ended.outcome.status.is_result() {
            // It counts for this try alone.
            let _ = self.stock.remove_receipt(&experiment).await;
        }
        if let Some(open) = self.open.remove(&experiment) {
            for (_, listener) in &open.listeners {
                let _ = listener.send(Heard::Ended(Box::new(ended.clone())));
            }
            if let (Some(begun), true) = (open.begun, ended.outcome.status.is_result()) {
                self.pace.ended(open.order.manifest.budget_ps, begun.elapsed());
            }
            if open.is_doubled {
                // The machine that is not the first stops.
                let _ = self.stock.remove_job(&experiment).await;
                let _ = self.link.client.publish(STOP, experiment.to_string().into()).await;
            }
            self.release(&open.order).await;
            self.taken.insert(experiment, blobs);
        }
    }

    async fn take_back(&mut self, experiment: ExperimentKey, number: u64) {
        let Some(open) = self.open.get_mut(&experiment) else { return };
        open.listeners.retain(|(other, _)| *other != number);
        if !open.listeners.is_empty() {
            return;
        }
        if let Some(open) = self.open.remove(&experiment) {
            let _ = self.stock.remove_job(&experiment).await;
            // Who does not hear it makes a run that nobody needs.
            let _ = self.link.client.publish(STOP, experiment.to_string().into()).await;
            self.release(&open.order).await;
        }
    }

    /// Removes a component that no other open run needs.
    async fn release(&self, order: &Order) {
        let is_needed = self.open.values().any(|open| open.order.component.key() == order.component.key());
        if !is_needed {
            let _ = self.stock.inputs.remove(&Hash::of(order.component.bytes())).await;
        }
    }

    async fn forget(&mut self, experiment: ExperimentKey) {
        let Some(blobs) = self.taken.remove(&experiment) else { return };
        // What cannot be removed now goes by its age.
        let _ = self.stock.remove_receipt(&experiment).await;
        for blob in blobs {
            let _ = self.stock.results.remove(&blob).await;
        }
    }

    fn hear_said(&mut self, message: &Message) {
        let Some(open) = names::last(&message.subject).and_then(|experiment| self.open.get_mut(&experiment)) else {
            return;
        };
        let Some(said) = Said::read(&message.payload) else { return };
        open.begun.get_or_insert_with(Instant::now);
        // Whoever says more is not heard: what the night has not taken yet is held in memory.
        if open.heard.is_some_and(|heard| heard.elapsed() < SAID_EVERY) {
            return;
        }
        open.heard = Some(Instant::now());
        open.machine = Some(said.machine.clone());
        for (_, listener) in &open.listeners {
            let _ = listener.send(Heard::Progress(said.progress()));
        }
    }

    fn hear_beat(&mut self, message: &Message) {
        if let Some(offer) = Offer::read(&message.payload) {
            self.machines.hear(offer, Instant::now(), &self.board);
            self.is_alone = false;
        }
    }

    async fn tick(&mut self) {
        if self.machines.forget(Instant::now(), &self.board) && !self.is_alone && self.started.elapsed() > TICK {
            self.is_alone = true;
            self.board.note("no machine offers its cores: runs wait for `host work` on one".into());
        }
        if let Some(lease) = &mut self.lease
            && !lease.renew().await
        {
            self.lease = None;
            self.board.note("another `host run` coordinates this swarm now".into());
            for open in std::mem::take(&mut self.open).into_values() {
                open.listeners.iter().for_each(|(_, listener)| drop(listener.send(another_coordinates())));
            }
        }
        let now = Instant::now();
        let due = |open: &Open| now.saturating_duration_since(open.asked) > LOOK_AFTER;
        let due: Vec<_> = self.open.iter().filter(|(_, open)| due(open)).map(|(experiment, _)| *experiment).collect();
        for experiment in due {
            if self.look_after(experiment).await.is_err() {
                // The server is away, and says so in a note of its own.
                return;
            }
        }
        // What fails now is done at the next look.
        let _ = self.double().await;
    }

    /// Takes back what is open, and lets others coordinate.
    async fn end(mut self) {
        for (experiment, open) in std::mem::take(&mut self.open) {
            if self.stock.remove_job(&experiment).await.is_err() {
                return;
            }
            let _ = self.link.client.publish(STOP, experiment.to_string().into()).await;
            self.release(&open.order).await;
        }
        if let Some(lease) = self.lease.take() {
            for input in [&self.inputs.lesson, &self.inputs.profile] {
                let _ = self.stock.inputs.remove(&Hash::of(input)).await;
            }
            lease.give_back().await;
        }
        let _ = self.link.client.flush().await;
    }
}

fn another_coordinates() -> Heard {
    let status = Status::host(HostFault::System, "another `host run` coordinates this swarm now");
    Heard::Ended(Box::new(Ended::without_result(status)))
}
