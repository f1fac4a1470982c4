//! The state of a machine that works: what its tasks share, and how it says that it is there.

use crate::record::key::ExperimentKey;
use crate::sandbox::Sandbox;
use crate::swarm::blobs::Blobs;
use crate::swarm::cache::Cache;
use crate::swarm::error::SwarmError;
use crate::swarm::link::{Link, patiently};
use crate::swarm::machine::{MachineId, Offer};
use crate::swarm::names::Lane;
use crate::swarm::run::Workbench;
use crate::system::environment::host_name;
use serde::Serialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedSender;

/// What a machine tells its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Told {
    /// It is let in, under this name.
    Ready {
        machine: MachineId,
    },
    Begun {
        experiment: ExperimentKey,
    },
    Ended {
        experiment: ExperimentKey,
        /// Name of its status.
        status: &'static str,
    },
    /// The coordinator does not need it any more.
    TakenBack {
        experiment: ExperimentKey,
    },
    Note {
        text: String,
    },
}

/// What the tasks of a machine share.
pub struct Worker {
    pub link: Link,
    pub id: MachineId,
    pub bench: Workbench,
    pub results: Blobs,
    pub jobs: u32,
    pub is_draining: AtomicBool,
    /// Runs stop, and their jobs go to others.
    pub is_stopped: AtomicBool,
    /// Runs under way, and whether each was taken back.
    pub under_way: Mutex<BTreeMap<ExperimentKey, Arc<AtomicBool>>>,
    pub tell: UnboundedSender<Told>,
}

impl Worker {
    pub async fn open(
        link: Link,
        sandbox: Sandbox,
        jobs: NonZeroUsize,
        threads: u32,
        tell: UnboundedSender<Told>,
    ) -> Result<Self, SwarmError> {
        let jobs = u32::try_from(jobs.get()).unwrap_or(u32::MAX);
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(SwarmError::server("the system's random numbers"))?;
        let bench = Workbench {
            sandbox,
            inputs: patiently(async || Blobs::open(&link.jetstream, link.pass.lane.inputs()).await).await?,
            cache: Cache::open()?,
            threads: (threads / jobs).max(1),
            at_once: jobs,
            lesson: Mutex::new(None),
        };
        let results = patiently(async || Blobs::open(&link.jetstream, &link.pass.lane.results()).await).await?;
        Ok(Self {
            link,
            id: MachineId::of(&host_name(), u32::from_le_bytes(random)),
            bench,
            results,
            jobs,
            is_draining: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            under_way: Mutex::new(BTreeMap::new()),
            tell,
        })
    }

    /// Whose machine this is.
    pub fn lane(&self) -> &Lane {
        &self.link.pass.lane
    }

    /// Notes that a run is under way. Returns whether it was not already.
    pub fn begins(&self, experiment: ExperimentKey, is_taken_back: &Arc<AtomicBool>) -> bool {
        let Ok(mut under_way) = self.under_way.lock() else { return false };
        if under_way.contains_key(&experiment) {
            return false;
        }
        under_way.insert(experiment, is_taken_back.clone());
        true
    }

    pub fn ends(&self, experiment: &ExperimentKey) {
        if let Ok(mut under_way) = self.under_way.lock() {
            under_way.remove(experiment);
        }
    }

    fn busy(&self) -> u32 {
        self.under_way.lock().map_or(0, |under_way| u32::try_from(under_way.len()).unwrap_or(u32::MAX))
    }

    /// Says that it is there: to who asked, or to all.
    pub async fn beat(&self, to: Option<async_nats::Subject>) {
        let offer = Offer {
            machine: self.id.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            numerics: kernels::cpu::CLASS.into(),
            jobs: self.jobs,
            busy: self.busy(),
            is_draining: self.is_draining.load(Ordering::Relaxed),
        };
        let to = to.unwrap_or_else(|| self.lane().beat(&self.id).into());
        let offer = serde_json::to_vec(&offer).unwrap_or_default();
        // A lost one is followed by the next.
        let _ = self.link.client.publish(to, offer.into()).await;
    }

    pub fn tells(&self, event: Told) {
        let _ = self.tell.send(event);
    }
}
