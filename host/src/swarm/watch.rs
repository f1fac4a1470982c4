//! Looks at a swarm from outside, gives orders to its machines, and invites contributors.

use crate::community::PrivateKey;
use crate::swarm::contributor::{Contributor, Known};
use crate::swarm::error::SwarmError;
use crate::swarm::lease;
use crate::swarm::link::{Link, runtime};
use crate::swarm::machine::Offer;
use crate::swarm::names::{Lane, MACHINES};
use crate::swarm::pass::{Pass, Role};
use crate::swarm::stock::{Stall, Stock};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

/// How long machines have to answer.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a server may take to hear of a new contributor, and the time between two tries.
const LONG_PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(300);
/// Most machines that are listed.
const MOST_MACHINES: usize = 10_000;

/// What a swarm looks like at a moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Who coordinates, if anybody does.
    pub coordinator: Option<String>,
    /// Jobs that no machine has taken.
    pub waiting: u64,
    /// Jobs that a machine has taken and not acknowledged.
    pub under_way: u64,
    /// Receipts that no night has stored.
    pub receipts: u64,
    /// Those of the swarm's owner, in order of name.
    pub machines: Vec<Offer>,
    /// In order of name, also those that are out.
    pub contributors: Vec<Contributing>,
}

/// A contributor, and its record.
#[derive(Clone, Debug, Serialize)]
pub struct Contributing {
    pub name: Contributor,
    /// Runs that it may have at the same time.
    pub runs: u32,
    /// Runs that were made again with the same result.
    pub agreed: u64,
    /// The share of its runs that is made again.
    pub share: f64,
    /// Why it gets no more runs, if so.
    pub is_out: Option<String>,
    pub machines: Vec<Offer>,
}

/// What a machine is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Finish what is under way, and take no more.
    Drain,
    /// Stop at once. The jobs go to others.
    Kick,
}

impl Order {
    const ALL: [Self; 2] = [Self::Drain, Self::Kick];

    const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Kick => "kick",
        }
    }

    pub const fn words(self) -> &'static str {
        match self {
            Self::Drain => "finish what is under way, and take no more",
            Self::Kick => "stop now",
        }
    }

    /// Reads an order from a message.
    pub fn read(message: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.name().as_bytes() == message)
    }
}

/// Asks the server and all machines.
pub fn status(url: &str, pass: Pass) -> Result<Status, SwarmError> {
    alone(async move {
        let link = Link::connect(url, pass, |_| {}).await?;
        let (stock, mut own) = (Stock::open(&link).await?, Stall::open(&link, Lane::OWN, None).await?);
        let known = stock.contributors().await?;
        let mut asked = JoinSet::new();
        let lanes = known.iter().filter(|(_, known)| known.is_out.is_none()).map(|(name, _)| Lane::of(name));
        for lane in lanes.chain([Lane::OWN]) {
            let link = link.clone();
            asked.spawn(async move { machines(&link, &lane).await.map(|machines| (lane, machines)) });
        }
        let mut machines = BTreeMap::new();
        while let Some(answered) = asked.join_next().await {
            let (lane, offers) = answered.map_err(SwarmError::server("a thread"))??;
            machines.insert(lane, offers);
        }
        let failed = SwarmError::server("a stream");
        let consumer = own.jobs.consumer_info(MACHINES).await.map_err(SwarmError::server("the consumer of jobs"))?;
        let receipts = own.receipts.info().await.map_err(failed)?.state.messages;
        let contributing = |(name, known): (Contributor, Known)| Contributing {
            runs: known.runs,
            agreed: known.agreed,
            share: known.share(),
            is_out: known.is_out,
            machines: machines.remove(&Lane::of(&name)).unwrap_or_default(),
            name,
        };
        let contributors = known.into_iter().map(contributing).collect();
        Ok(Status {
            coordinator: lease::holder_of(&stock.lease).await?,
            waiting: consumer.num_pending,
            under_way: consumer.num_ack_pending as u64,
            receipts,
            machines: machines.remove(&Lane::OWN).unwrap_or_default(),
            contributors,
        })
    })
}

/// Gives an order to a machine of the owner, named by the start of its name, and returns its whole name. A contributor,
/// named in full, can be kicked: its pass is of no use from then on, and its runs go to others.
pub fn order(url: &str, pass: Pass, who: &str, order: Order) -> Result<String, SwarmError> {
    alone(async move {
        let link = Link::connect(url, pass, |_| {}).await?;
        if let (Order::Kick, Ok(name)) = (order, who.parse::<Contributor>()) {
            let stock = Stock::open(&link).await?;
            if let Some(known) = stock.contributor(&name).await?.filter(|known| known.is_out.is_none()) {
                stock.remember(&name, &Known { is_out: Some("its owner kicked it".into()), ..known }).await?;
                return Ok(name.to_string());
            }
        }
        let mut named = machines(&link, &Lane::OWN).await?.into_iter().map(|offer| offer.machine);
        let named = named.find(|id| id.as_str().starts_with(who));
        let named = named.filter(|_| !who.is_empty()).ok_or_else(|| SwarmError::NoMachine(who.into()))?;
        let asked = link.client.request(Lane::OWN.order(&named), order.name().into());
        asked.await.map_err(|_| SwarmError::Silent(named.to_string()))?;
        Ok(named.to_string())
    })
}

/// Writes the pass of a new contributor, and waits until the server lets it in.
pub fn invite(url: &str, pass: Pass, name: &Contributor, runs: u32, path: &Path) -> Result<(), SwarmError> {
    alone(async move {
        let link = Link::connect(url, pass.clone(), |_| {}).await?;
        let stock = Stock::open(&link).await?;
        if stock.contributor(name).await?.is_some_and(|known| known.is_out.is_none()) {
            return Err(SwarmError::Invited(name.to_string()));
        }
        let key = PrivateKey::draw().map_err(|source| SwarmError::Io { path: path.to_owned(), source })?;
        let pass = Pass { role: Role::Contributor, lane: Lane::of(name), key, ..pass };
        pass.write(path)?;
        let known = Known::new(&pass.key.public(), pass.login()?.public_key(), runs);
        Stall::open(&link, pass.lane.clone(), Some(&known)).await?;
        stock.remember(name, &known).await?;
        let since = Instant::now();
        loop {
            match Link::connect(url, pass.clone(), |_| {}).await {
                Ok(_) => return Ok(()),
                Err(SwarmError::NotLetIn { .. }) if since.elapsed() < LONG_PATIENCE => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error),
            }
        }
    })
}

/// The machines of a lane that answer, in order of name.
async fn machines(link: &Link, lane: &Lane) -> Result<Vec<Offer>, SwarmError> {
    let failed = SwarmError::server("a subscription");
    let inbox = link.client.new_inbox();
    let mut answers = link.client.subscribe(inbox.clone()).await.map_err(failed)?;
    let asked = link.client.publish_with_reply(lane.roll(), inbox, Vec::new().into()).await;
    asked.map_err(SwarmError::server("a message"))?;
    let mut machines = BTreeMap::new();
    let until = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
        if let Some(offer) = Offer::read(&answer.payload).filter(|_| machines.len() < MOST_MACHINES) {
            machines.insert(offer.machine.clone(), offer);
        }
    }
    Ok(machines.into_values().collect())
}

fn alone<T>(work: impl Future<Output = Result<T, SwarmError>>) -> Result<T, SwarmError> {
    runtime()?.block_on(work)
}
