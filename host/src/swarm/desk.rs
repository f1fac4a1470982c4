//! The coordinator's side of the wire: publishes jobs, hears machines, takes receipts in. What it holds in memory can
//! be lost: jobs and receipts are on the server until the night's store has the result.

use crate::community::Signed;
use crate::experiment::ended::Ended;
use crate::experiment::fleet::{Heard, Order};
use crate::experiment::replay::first_difference;
use crate::record::key::{ExperimentKey, Hash};
use crate::record::outcome::{HostFault, Status};
use crate::swarm::asked::{Claim, Inputs, Open};
use crate::swarm::board::{Board, Machines};
use crate::swarm::contributor::Contributor;
use crate::swarm::crowd::Crowd;
use crate::swarm::error::SwarmError;
use crate::swarm::intake::{Intake, Taken};
use crate::swarm::job::Job;
use crate::swarm::lease::Lease;
use crate::swarm::link::{Link, patiently};
use crate::swarm::machine::Offer;
use crate::swarm::names::{self, ANY_OF_CONTRIBUTORS, Kind, Lane};
use crate::swarm::pace::Pace;
use crate::swarm::pass::Pass;
use crate::swarm::said::Said;
use crate::swarm::stock::{Stall, Stock, publish_once};
use async_nats::{Message, Subscriber};
use std::collections::{BTreeMap, BTreeSet};
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
    /// A receipt was checked that came on this lane.
    Checked(ExperimentKey, Lane, Box<Result<Taken, SwarmError>>),
    /// This contributor lied, as the night found out.
    ShutOut(Contributor),
}

pub struct Desk {
    link: Link,
    stock: Stock,
    /// Of the owner's machines.
    own: Stall,
    lease: Option<Lease>,
    inputs: Inputs,
    board: Arc<Board>,
    machines: Machines,
    crowd: Crowd,
    pace: Pace,
    open: BTreeMap<ExperimentKey, Open>,
    /// Blobs of results that the night has, and may not have stored yet.
    taken: BTreeMap<ExperimentKey, (Lane, Vec<Hash>)>,
    commands: WeakUnboundedSender<Command>,
    /// Whether it was said that no machine is there, or none of the owner's.
    is_alone: bool,
    waits_for_own: bool,
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
        let link = Link::connect_patiently(url, pass, move |text| told.note(text)).await?;
        let stock = patiently(async || Stock::open(&link).await).await?;
        let own = patiently(async || Stall::open(&link, Lane::OWN, None).await).await?;
        let lease = patiently(async || Lease::take(stock.lease.clone(), names::holder()).await).await?;
        let mut crowd = Crowd::default();
        // What fails now is done at the next look.
        let _ = crowd.refresh(&link, &stock, &board).await;
        Ok(Self {
            link,
            stock,
            own,
            lease: Some(lease),
            inputs,
            board,
            machines: Machines::default(),
            crowd,
            pace: Pace::default(),
            open: BTreeMap::new(),
            taken: BTreeMap::new(),
            commands,
            is_alone: false,
            waits_for_own: false,
            started: Instant::now(),
        })
    }

    /// Works until nobody can send commands any more.
    pub async fn work(mut self, mut commands: UnboundedReceiver<Command>) {
        let [mut receipts, mut said, mut beats, mut strange] = match self.listen().await {
            Ok(subscribers) => subscribers,
            Err(error) => return self.board.note(error.to_string()),
        };
        // Machines that are there need not wait for their next beat.
        let _ = self.link.client.publish(Lane::OWN.roll(), Vec::new().into()).await;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                Some(message) = receipts.next() => self.look_at(&Lane::OWN, &message),
                Some(message) = said.next() => self.hear_said(&Lane::OWN, &message),
                Some(message) = beats.next() => self.hear_beat(&Lane::OWN, &message),
                Some(message) = strange.next() => self.hear_contributor(&message).await,
                _ = ticks.tick() => self.tick().await,
            }
        }
        self.end().await;
    }

    async fn listen(&self) -> Result<[Subscriber; 4], SwarmError> {
        let client = &self.link.client;
        let hear =
            async |subject: String| client.subscribe(subject).await.map_err(SwarmError::server("a subscription"));
        let [receipts, said, beats] = Kind::ALL.map(|kind| Lane::OWN.any(kind));
        let all =
            [hear(receipts).await?, hear(said).await?, hear(beats).await?, hear(ANY_OF_CONTRIBUTORS.into()).await?];
        Ok(all)
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Ask { order, number, tell } => self.ask(*order, number, tell).await,
            Command::TakeBack(experiment, number) => self.take_back(experiment, number).await,
            Command::Stored(experiment) => self.forget(experiment).await,
            Command::Checked(experiment, lane, taken) => self.take_in(experiment, lane, *taken).await,
            Command::ShutOut(name) => self.shut_out(&name, "it lied").await,
        }
    }

    fn stall(&self, lane: &Lane) -> Option<&Stall> {
        match lane.contributor() {
            None => Some(&self.own),
            Some(name) => self.crowd.get(name).map(|member| &member.stall),
        }
    }

    /// A stall for each bucket of inputs: all contributors share one.
    fn stalls_with_inputs(&self) -> impl Iterator<Item = &Stall> {
        std::iter::once(&self.own).chain(self.crowd.any_stall())
    }

    async fn ask(&mut self, order: Order, number: u64, tell: Sender<Heard>) {
        if self.lease.is_none() {
            let _ = tell.send(another_coordinates());
            return;
        }
        let experiment = order.manifest.key();
        let is_for_trusted = order.is_for_trusted;
        let open = self.open.entry(experiment).or_insert_with(|| Open::new(order));
        open.order.is_for_trusted |= is_for_trusted;
        open.listeners.push((number, tell));
        // What fails now is done at the next look.
        let _ = self.look_after(experiment).await;
    }

    /// Which machines shall make a run: the owner's, as long as one of them is free, and then those of contributors.
    /// These never see text that a secret has chosen.
    fn place(&self, order: &Order) -> Lane {
        let load = |lane: &Lane| self.open.values().filter(|open| open.at.contains(lane)).count();
        let is_secret = self.inputs.task.task.commitment.is_some();
        if order.is_for_trusted || is_secret || self.machines.room() > load(&Lane::OWN) {
            return Lane::OWN;
        }
        self.crowd.freest(load).unwrap_or(Lane::OWN)
    }

    /// Sees to it that a run is under way: its receipt is there, or its job.
    async fn look_after(&mut self, experiment: ExperimentKey) -> Result<(), SwarmError> {
        let Some(open) = self.open.get(&experiment).filter(|open| !open.is_being_checked) else { return Ok(()) };
        let is_new = open.at.is_empty();
        // A night that was killed may have asked own machines for it.
        let lanes = if is_new { BTreeSet::from([Lane::OWN]) } else { open.at.clone() };
        for lane in lanes {
            let Some(stall) = self.stall(&lane).cloned() else { continue };
            if let Some(receipt) = stall.receipt(&experiment).await? {
                self.check(experiment, &lane, receipt);
                return Ok(());
            }
            if stall.job(&experiment).await?.is_some() {
                if let Some(open) = self.open.get_mut(&experiment) {
                    open.at.insert(lane);
                }
                return Ok(());
            }
            // A machine publishes its receipt before it acknowledges the job.
            if let Some(receipt) = stall.receipt(&experiment).await? {
                self.check(experiment, &lane, receipt);
                return Ok(());
            }
        }
        let Some(open) = self.open.get_mut(&experiment) else { return Ok(()) };
        // A contributor that lets a job go without an answer is not asked for it again.
        open.order.is_for_trusted |= open.at.iter().any(|lane| lane.contributor().is_some());
        open.at.clear();
        let order = open.order.clone();
        let lane = self.place(&order);
        let Some(stall) = self.stall(&lane).cloned() else { return Ok(()) };
        if let Some(open) = self.open.get_mut(&experiment) {
            open.at.insert(lane.clone());
        }
        let signed = self.sign(&order, &stall).await?;
        publish_once(&self.link, lane.job(&experiment), signed).await.map(drop)
    }

    /// The signed job of a run, once what it names is on the server.
    async fn sign(&self, order: &Order, stall: &Stall) -> Result<Vec<u8>, SwarmError> {
        let Inputs { lesson: (lesson, text), profile: (profile, rates), .. } = &self.inputs;
        let job = Job {
            component: stall.inputs.put(order.component.bytes()).await?,
            lesson: stall.inputs.put_as(*lesson, text).await?,
            profile: stall.inputs.put_as(*profile, rates).await?,
            manifest: order.manifest.clone(),
            probe_seed: order.probe_seed,
        };
        Ok(Signed::sign(job, &self.link.pass.key).to_bytes())
    }

    /// Asks one more machine for a run that takes much longer than others, if one of the owner's is free.
    async fn double(&mut self) -> Result<(), SwarmError> {
        let mut free = self.machines.free();
        let is_slow = |open: &Open| {
            let wall = open.begun.map(|begun| begun.elapsed()).unwrap_or_default();
            !open.is_doubled && self.pace.is_slow(open.order.manifest.budget_ps, wall)
        };
        let slow: Vec<_> = self.open.iter().filter(|(_, open)| is_slow(open)).map(|(key, _)| *key).collect();
        for experiment in slow {
            let Some(open) = self.open.get(&experiment).filter(|_| free > 0) else { break };
            let machine = open.machine.clone();
            let is_own = open.at.contains(&Lane::OWN);
            let signed = self.sign(&open.order, &self.own).await?;
            let subject = if is_own { Lane::OWN.second_job(&experiment) } else { Lane::OWN.job(&experiment) };
            publish_once(&self.link, subject, signed).await?;
            let who = machine.map_or_else(|| "a machine".into(), |machine| machine.to_string());
            self.board.note(format!("{who} is slow with {}: another machine makes it too", experiment.short()));
            if let Some(open) = self.open.get_mut(&experiment) {
                open.is_doubled = true;
                open.at.insert(Lane::OWN);
            }
            free -= 1;
        }
        Ok(())
    }

    fn look_at(&mut self, lane: &Lane, message: &Message) {
        if let Some(experiment) = names::last(&message.subject) {
            self.check(experiment, lane, message.payload.to_vec());
        }
    }

    /// Checks a receipt beside other work, as its blobs take time.
    fn check(&mut self, experiment: ExperimentKey, lane: &Lane, receipt: Vec<u8>) {
        let signer = match lane.contributor() {
            None => Some(self.link.pass.machines),
            Some(name) => self.crowd.get(name).and_then(|member| member.known.public_key()),
        };
        let results = self.stall(lane).map(|stall| stall.results.clone());
        let Some(open) = self.open.get_mut(&experiment).filter(|open| !open.is_being_checked) else { return };
        let Some(commands) = self.commands.upgrade() else { return };
        // A contributor answers for what it was asked for, and the owner's machines for everything.
        let is_asked = lane.contributor().is_none() || open.at.contains(lane);
        let (Some(signer), Some(results), true) = (signer, results, is_asked) else { return };
        open.is_being_checked = true;
        let intake = Intake {
            results,
            task: self.inputs.task.clone(),
            key: self.link.pass.key.clone(),
            signer,
            order: open.order.clone(),
            inputs: (self.inputs.lesson.0, self.inputs.profile.0),
            wall: open.begun.map(|begun| begun.elapsed()).unwrap_or_default(),
        };
        let lane = lane.clone();
        tokio::spawn(async move {
            let taken = intake.take(&receipt).await;
            let _ = commands.send(Command::Checked(experiment, lane, Box::new(taken)));
        });
    }

    async fn take_in(&mut self, experiment: ExperimentKey, lane: Lane, taken: Result<Taken, SwarmError>) {
        let Some(open) = self.open.get_mut(&experiment) else { return };
        open.is_being_checked = false;
        // The server is away: the next look tries again.
        let Ok(taken) = taken else { return };
        if let Some(name) = lane.contributor().cloned() {
            self.take_in_from(experiment, &name, taken).await;
            let _ = self.look_after(experiment).await;
            return;
        }
        let (ended, blobs) = match taken {
            Taken::Ended { ended, blobs } => (*ended, blobs),
            Taken::Refused(why) => {
                open.refused += 1;
                self.board.note(format!("a receipt for {} is refused: {why}", experiment.short()));
                let is_hopeless = open.refused >= MOST_REFUSED;
                let _ = self.own.remove_receipt(&experiment).await;
                if !is_hopeless {
                    let _ = self.look_after(experiment).await;
                    return;
                }
                let why = format!("{MOST_REFUSED} receipts for it were refused, the last one because {why}");
                (Ended::without_result(Status::host(HostFault::Protocol, why)), Vec::new())
            }
        };
        if !ended.outcome.status.is_result() {
            // It counts for this try alone.
            let _ = self.own.remove_receipt(&experiment).await;
        } else if let Some(claim) = open.claim.take() {
            self.compare(experiment, &claim, &ended).await;
        }
        self.deliver(experiment, lane, ended, blobs).await;
    }

    /// Takes in what a contributor says: it counts, or it is made again. What is wrong or no result goes to others.
    async fn take_in_from(&mut self, experiment: ExperimentKey, name: &Contributor, taken: Taken) {
        let (lane, short) = (Lane::of(name), experiment.short());
        let Some(stall) = self.stall(&lane).cloned() else { return };
        let Some(open) = self.open.get_mut(&experiment) else { return };
        let mut refused = None;
        match taken {
            Taken::Ended { ended, blobs } if ended.outcome.status.is_result() => {
                let known = self.crowd.get(name).map(|member| &member.known);
                if known.is_some_and(|known| !known.is_made_again(&experiment, &self.link.pass.key)) {
                    let ended = Ended { word: Some(name.to_string()), ..*ended };
                    return self.deliver(experiment, lane, ended, blobs).await;
                }
                open.claim = Some(Claim { by: name.clone(), ended: *ended, blobs });
            }
            Taken::Ended { ended, .. } => {
                self.board.note(format!("{name} has no result for {short}: {}", ended.outcome.status));
            }
            // A machine that is honest sends none.
            Taken::Refused(why) => refused = Some(format!("its receipt for {short} is refused: {why}")),
        }
        open.at.remove(&lane);
        open.order.is_for_trusted = true;
        open.begun = None;
        let _ = stall.remove_receipt(&experiment).await;
        let _ = stall.take_back(&experiment).await;
        if let Some(why) = refused {
            self.shut_out(name, &why).await;
        }
    }

    /// Holds what a contributor said against what an own machine found.
    async fn compare(&mut self, experiment: ExperimentKey, claim: &Claim, found: &Ended) {
        if let Some(stall) = self.stall(&Lane::of(&claim.by)).cloned() {
            for blob in &claim.blobs {
                let _ = stall.results.remove(blob).await;
            }
        }
        match first_difference(&claim.ended.outcome, &found.outcome) {
            None => self.crowd.agrees(&claim.by, &self.stock).await,
            Some(what) => self.shut_out(&claim.by, &format!("it lied about {}: {what}", experiment.short())).await,
        }
    }

    /// Hands a result on, and all that was asked for with it ends.
    async fn deliver(&mut self, experiment: ExperimentKey, lane: Lane, ended: Ended, blobs: Vec<Hash>) {
        let Some(open) = self.open.remove(&experiment) else { return };
        let gone = self.crowd.take_gone();
        for (_, listener) in &open.listeners {
            for name in &gone {
                let _ = listener.send(Heard::Lied(name.to_string()));
            }
            let _ = listener.send(Heard::Ended(Box::new(ended.clone())));
        }
        if let (Some(begun), true) = (open.begun, ended.outcome.status.is_result()) {
            self.pace.ended(open.order.manifest.budget_ps, begun.elapsed());
        }
        if open.is_doubled || open.at.len() > 1 {
            // The machine that is not the first stops.
            self.withdraw(experiment, &open).await;
        }
        self.release(&open.order).await;
        self.taken.insert(experiment, (lane, blobs));
    }

    /// Takes its job back, wherever it is.
    async fn withdraw(&self, experiment: ExperimentKey, open: &Open) {
        for stall in open.at.iter().filter_map(|lane| self.stall(lane)) {
            let _ = stall.take_back(&experiment).await;
        }
    }

    async fn take_back(&mut self, experiment: ExperimentKey, number: u64) {
        let Some(open) = self.open.get_mut(&experiment) else { return };
        open.listeners.retain(|(other, _)| *other != number);
        if !open.listeners.is_empty() {
            return;
        }
        if let Some(open) = self.open.remove(&experiment) {
            self.withdraw(experiment, &open).await;
            self.release(&open.order).await;
        }
    }

    async fn shut_out(&mut self, name: &Contributor, why: &str) {
        self.crowd.shut_out(name, why, &self.stock, &self.board).await;
        self.leave_gone();
    }

    /// What is at a contributor that is out goes to others.
    fn leave_gone(&mut self) {
        for open in self.open.values_mut() {
            let before = open.at.len();
            open.at.retain(|lane| lane.contributor().is_none_or(|name| self.crowd.get(name).is_some()));
            if open.at.len() < before {
                open.begun = None;
            }
        }
    }

    /// Removes a component that no other open run needs.
    async fn release(&self, order: &Order) {
        let is_needed = self.open.values().any(|open| open.order.component.key() == order.component.key());
        if !is_needed {
            for stall in self.stalls_with_inputs() {
                let _ = stall.inputs.remove(&Hash::of(order.component.bytes())).await;
            }
        }
    }

    async fn forget(&mut self, experiment: ExperimentKey) {
        let Some((lane, blobs)) = self.taken.remove(&experiment) else { return };
        // What cannot be removed now goes by its age.
        let Some(stall) = self.stall(&lane) else { return };
        let _ = stall.remove_receipt(&experiment).await;
        for blob in blobs {
            let _ = stall.results.remove(&blob).await;
        }
    }

    /// Hears one message of a contributor. Who says more than anybody needs is out.
    async fn hear_contributor(&mut self, message: &Message) {
        let Some((name, kind)) = names::said_by(&message.subject) else { return };
        if self.crowd.counts(&name) {
            return self.shut_out(&name, "it floods").await;
        }
        let lane = Lane::of(&name);
        match kind {
            Kind::Receipt => self.look_at(&lane, message),
            Kind::Said => self.hear_said(&lane, message),
            Kind::Beat => self.hear_beat(&lane, message),
        }
    }

    fn hear_said(&mut self, lane: &Lane, message: &Message) {
        let Some(open) = names::last(&message.subject).and_then(|experiment| self.open.get_mut(&experiment)) else {
            return;
        };
        let Some(said) = Said::read(&message.payload).filter(|_| open.at.contains(lane)) else { return };
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

    fn hear_beat(&mut self, lane: &Lane, message: &Message) {
        let Some(offer) = Offer::read(&message.payload) else { return };
        let machines = match lane.contributor() {
            None => Some(&mut self.machines),
            Some(name) => self.crowd.get_mut(name).map(|member| &mut member.machines),
        };
        if let Some(machines) = machines {
            machines.hear(offer, Instant::now(), &self.board);
            self.board.set_room(self.machines.room() + self.crowd.room());
            self.is_alone = false;
        }
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        self.machines.forget(now, &self.board);
        self.crowd.look(now, &self.board);
        // What fails now is done at the next look.
        let _ = self.crowd.refresh(&self.link, &self.stock, &self.board).await;
        self.leave_gone();
        let room = self.machines.room() + self.crowd.room();
        self.board.set_room(room);
        if room == 0 && !self.is_alone && self.started.elapsed() > TICK {
            self.is_alone = true;
            self.board.note("no machine offers its cores: runs wait for `host work` on one".into());
        }
        let waits = self.machines.room() == 0 && room > 0 && self.open.values().any(|open| open.order.is_for_trusted);
        if waits && !self.waits_for_own {
            self.board.note("a run of a contributor has to be made again: it waits for a machine of yours".into());
        }
        self.waits_for_own = waits;
        if let Some(lease) = &mut self.lease
            && !lease.renew().await
        {
            self.lease = None;
            self.board.note("another `host run` coordinates this swarm now".into());
            for open in std::mem::take(&mut self.open).into_values() {
                open.listeners.iter().for_each(|(_, listener)| drop(listener.send(another_coordinates())));
            }
        }
        self.move_on().await;
        let due = |open: &Open| now.saturating_duration_since(open.asked) > LOOK_AFTER;
        let due: Vec<_> = self.open.iter().filter(|(_, open)| due(open)).map(|(experiment, _)| *experiment).collect();
        for experiment in due {
            if self.look_after(experiment).await.is_err() {
                // The server is away, and says so in a note of its own.
                return;
            }
        }
        let _ = self.double().await;
    }

    /// Takes jobs back from where no machine is that could make them, if there is one elsewhere. The next look places
    /// them.
    async fn move_on(&mut self) {
        let has_room = |lane: &Lane| match lane.contributor() {
            None => self.machines.room() > 0,
            Some(name) => self.crowd.get(name).is_some_and(|member| member.room() > 0),
        };
        let is_stuck = |open: &Open| {
            let can_move = !open.is_being_checked && !open.order.is_for_trusted && !open.at.is_empty();
            let is_elsewhere = || !open.at.contains(&Lane::OWN) || self.place(&open.order) != Lane::OWN;
            can_move && !open.at.iter().any(has_room) && is_elsewhere()
        };
        let stuck: Vec<_> = self.open.iter().filter(|(_, open)| is_stuck(open)).map(|(key, _)| *key).collect();
        for experiment in stuck {
            let Some(open) = self.open.get(&experiment) else { continue };
            self.withdraw(experiment, open).await;
            if let Some(open) = self.open.get_mut(&experiment) {
                open.at.clear();
                open.begun = None;
            }
        }
    }

    /// Takes back what is open, and lets others coordinate.
    async fn end(mut self) {
        for (experiment, open) in std::mem::take(&mut self.open) {
            self.withdraw(experiment, &open).await;
            self.release(&open.order).await;
        }
        if let Some(lease) = self.lease.take() {
            for stall in self.stalls_with_inputs() {
                for (input, _) in [&self.inputs.lesson, &self.inputs.profile] {
                    let _ = stall.inputs.remove(input).await;
                }
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
