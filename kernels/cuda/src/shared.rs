//! One device for several executors, which take turns.

use crate::device::{At, Device, Given};
use crate::plan::Product;
use kernels::fault::Fault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle of a device. The device ends with the last one.
pub struct Shared<D>(Arc<Mutex<D>>);

impl<D> Shared<D> {
    /// The first handle.
    pub fn new(device: D) -> Self {
        Self(Arc::new(Mutex::new(device)))
    }

    fn turn(&self) -> MutexGuard<'_, D> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D> Clone for Shared<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Device> Device for Shared<D> {
    type Memory = D::Memory;

    fn allocate(&mut self, bytes: u64) -> Result<D::Memory, Fault> {
        self.turn().allocate(bytes)
    }

    fn upload(&mut self, bytes: &[u8], to: At<'_, D::Memory>) -> Result<(), Fault> {
        self.turn().upload(bytes, to)
    }

    fn download(&mut self, from: At<'_, D::Memory>, bytes: &mut [u8]) -> Result<(), Fault> {
        self.turn().download(from, bytes)
    }

    fn fill(&mut self, memory: &D::Memory, bytes: u64) -> Result<(), Fault> {
        self.turn().fill(memory, bytes)
    }

    fn copy(&mut self, from: At<'_, D::Memory>, to: At<'_, D::Memory>, bytes: u64) -> Result<(), Fault> {
        self.turn().copy(from, to, bytes)
    }

    fn launch(&mut self, kernel: &str, grid: [u32; 3], arguments: &[Given<'_, D::Memory>]) -> Result<(), Fault> {
        self.turn().launch(kernel, grid, arguments)
    }

    fn product(&mut self, product: &Product, places: [At<'_, D::Memory>; 3]) -> Result<(), Fault> {
        self.turn().product(product, places)
    }

    fn class(&self) -> &'static str {
        self.turn().class()
    }
}
