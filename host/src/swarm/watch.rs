//! Looks at a swarm from outside, and gives orders to its machines.

use crate::swarm::error::SwarmError;
use crate::swarm::lease;
use crate::swarm::link::Link;
use crate::swarm::machine::{MachineId, Offer};
use crate::swarm::names::{self, MACHINES, ROLL};
use crate::swarm::pass::Pass;
use crate::swarm::stock::Stock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_stream::StreamExt;

/// How long machines have to answer.
const PATIENCE: Duration = Duration::from_millis(1500);
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
    /// In order of name.
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
        let mut stock = Stock::open(&link).await?;
        let machines = machines(&link).await?;
        let failed = SwarmError::server("a stream");
        let consumer = stock.jobs.consumer_info(MACHINES).await.map_err(SwarmError::server("the consumer of jobs"))?;
        let receipts = stock.receipts.info().await.map_err(failed)?.state.messages;
        Ok(Status {
            coordinator: lease::holder_of(&stock.lease).await?,
            waiting: consumer.num_pending,
            under_way: consumer.num_ack_pending as u64,
            receipts,
            machines,
        })
    })
}

/// Gives an order to a machine, named by the start of its name. Returns its whole name.
pub fn order(url: &str, pass: Pass, machine: &str, order: Order) -> Result<MachineId, SwarmError> {
    alone(async move {
        let link = Link::connect(url, pass, |_| {}).await?;
        let mut named = machines(&link).await?.into_iter().map(|offer| offer.machine);
        let named = named.find(|id| id.as_str().starts_with(machine));
        let named = named.filter(|_| !machine.is_empty()).ok_or_else(|| SwarmError::NoMachine(machine.into()))?;
        let asked = link.client.request(names::order(&named), order.name().into());
        asked.await.map_err(|_| SwarmError::Silent(named.to_string()))?;
        Ok(named)
    })
}

/// The machines that answer, in order of name.
async fn machines(link: &Link) -> Result<Vec<Offer>, SwarmError> {
    let failed = SwarmError::server("a subscription");
    let inbox = link.client.new_inbox();
    let mut answers = link.client.subscribe(inbox.clone()).await.map_err(failed)?;
    let asked = link.client.publish_with_reply(ROLL, inbox, Vec::new().into()).await;
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(SwarmError::server("a thread"))?.block_on(work)
}
