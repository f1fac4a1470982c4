//! A device as the backend of a child: all executors share it, and the count of what they move.

use cuda_kernels::{CudaExecutor, Device, Pool, Shared, Traffic};
use kernels::exec::Executor;
use nightlab::sandbox::backend::{self, Backend, Share};
use std::sync::Arc;

/// Bytes beside tensors that every guest may have: what operations need for themselves, and tables.
const SCRATCH_BYTES: u64 = 1 << 30;

/// A device that was started.
pub struct OnDevice<D: Device> {
    device: Shared<Pool<D>>,
    class: String,
    traffic: Arc<Traffic>,
}

impl<D: Device> OnDevice<D> {
    /// The device, whose results are of this numerics class. The session counts tensors against the policy's limit; the
    /// pool's is as far beyond it as that of a child's own memory.
    pub fn new(device: D, class: String, share: Share) -> Self {
        let limit = share.tensor_bytes.saturating_mul(2).saturating_add(SCRATCH_BYTES);
        Self { device: Shared::new(Pool::new(device, limit)), class, traffic: Arc::default() }
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
