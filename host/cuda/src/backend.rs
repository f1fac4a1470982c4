//! A device as the backend of a child: all executors share it, and the count of what they move.

use cuda_kernels::{CudaExecutor, Device, Shared, Traffic};
use kernels::exec::Executor;
use nightlab::sandbox::backend::{self, Backend};
use std::sync::Arc;

/// A device that was started.
pub struct OnDevice<D: Device> {
    device: Shared<D>,
    class: String,
    traffic: Arc<Traffic>,
}

impl<D: Device> OnDevice<D> {
    /// The device, whose results are of this numerics class.
    pub fn new(device: D, class: String) -> Self {
        Self { device: Shared::new(device), class, traffic: Arc::default() }
    }
}

impl<D: Device + 'static> Backend for OnDevice<D> {
    fn executor(&self, random_seed: u64) -> Box<dyn Executor> {
        Box::new(CudaExecutor::counting(self.device.clone(), random_seed, Arc::clone(&self.traffic)))
    }

    fn class(&self) -> String {
        self.class.clone()
    }

    fn traffic(&self) -> Option<backend::Traffic> {
        Some(backend::Traffic {
            round_trips: self.traffic.round_trips(),
            reads: self.traffic.reads(),
            uploads: self.traffic.uploads(),
        })
    }
}
