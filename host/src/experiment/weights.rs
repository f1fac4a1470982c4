//! The model of a finished experiment: from the store, or trained once more if the store let it go; and its graph.

use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::runner::{Experiment, Stopped};
use crate::experiment::runtime::settings;
use crate::guest::component::Component;
use crate::record::key::Hash;
use crate::record::outcome::{HostFault, Status, encode_state};
use crate::record::store::{ExperimentRecord, Model};
use crate::sandbox::Progress;
use kernels::graph::Graph;
use kernels::session::NamedState;
use std::ops::ControlFlow;

impl Bench {
    /// The model of an experiment on this bench. If it was let go, it is made again and put back into the store, which
    /// keeps it for a while. `watch` receives the progress of that training.
    ///
    /// # Errors
    /// A status if there is no model, or if it could not be made again.
    pub fn model(
        &self,
        component: &Component,
        record: &ExperimentRecord,
        watch: &mut dyn FnMut(&Progress),
        stopped: &Stopped,
    ) -> Result<Result<NamedState, Status>, BenchError> {
        let hash = match self.store.model(record)? {
            Model::Kept(state) => return Ok(Ok(state)),
            Model::Never => return Ok(Err(Status::host(HostFault::System, "the run left no model"))),
            Model::LetGo(hash) => hash,
        };
        let experiment = Experiment { component, random_seed: record.manifest.random_seed };
        let (state, bytes) = match self.train_again(&experiment, hash, watch, stopped) {
            Ok(made) => made,
            Err(status) => return Ok(Err(status)),
        };
        match self.store.restore_model(record, &bytes) {
            // The model is of use without its copy in the store, which may be full or belong to somebody else.
            Err(error) if !error.is_of_the_machine() => Err(error.into()),
            Ok(()) | Err(_) => Ok(Ok(state)),
        }
    }

    /// The model of an experiment as a graph of ops; `None` if its guest reads values in `forward`.
    ///
    /// # Errors
    /// The status of the failed run.
    pub fn graph(
        &self,
        component: &Component,
        record: &ExperimentRecord,
        model: &NamedState,
        stopped: &Stopped,
    ) -> Result<Option<Graph>, Status> {
        let mut go_on = || if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let spec = settings(&self.spec, component, record.manifest.random_seed);
        self.sandbox.graph(component.bytes(), model, &spec, &mut go_on)
    }

    /// Trains once more, and compares the model with the hash of the one that was let go.
    fn train_again(
        &self,
        experiment: &Experiment,
        hash: Hash,
        watch: &mut dyn FnMut(&Progress),
        stopped: &Stopped,
    ) -> Result<(NamedState, Vec<u8>), Status> {
        let trained = self.runner(1).train(experiment.component, experiment.random_seed, None, &mut |progress| {
            watch(&progress);
            if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let differs = || {
            let words = "a model that was let go came out otherwise when it was made again; `host replay` tells more";
            Status::host(HostFault::System, words)
        };
        match (trained.status, trained.state) {
            (Status::Completed, Some(state)) => {
                let bytes = encode_state(&state)
                    .map_err(|error| Status::host(HostFault::Protocol, format!("the child's state: {error}")))?;
                if Hash::of(&bytes) == hash { Ok((state, bytes)) } else { Err(differs()) }
            }
            (Status::HostFault { kind, message }, _) => Err(Status::HostFault { kind, message }),
            (Status::Completed | Status::GuestFault { .. }, _) => Err(differs()),
        }
    }
}
