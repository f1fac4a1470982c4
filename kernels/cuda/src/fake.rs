//! A device of unit tests: it has memory of a size and does nothing, but remembers what it was told to launch.

use crate::device::{At, Device, Given};
use crate::plan::Product;
use kernels::fault::Fault;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub struct Fake {
    /// Bytes that nobody has.
    pub room: Arc<AtomicU64>,
    pub allocations: Arc<AtomicU64>,
    pub launches: Arc<Mutex<Vec<String>>>,
}

/// A size, and where it goes back to.
pub struct Block(u64, Arc<AtomicU64>);

impl Drop for Block {
    fn drop(&mut self) {
        self.1.fetch_add(self.0, Ordering::Relaxed);
    }
}

impl Fake {
    pub fn new(room: u64) -> Self {
        Self { room: Arc::new(AtomicU64::new(room)), allocations: Arc::default(), launches: Arc::default() }
    }
}

impl Device for Fake {
    type Memory = Block;

    fn allocate(&mut self, bytes: u64) -> Result<Block, Fault> {
        let left = self.room.load(Ordering::Relaxed).checked_sub(bytes);
        self.room.store(left.ok_or(Fault::NoRoom { wanted: bytes, held: 0 })?, Ordering::Relaxed);
        self.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(Block(bytes, Arc::clone(&self.room)))
    }

    fn upload(&mut self, _: &[u8], _: At<'_, Block>) -> Result<(), Fault> {
        Ok(())
    }

    fn download(&mut self, _: At<'_, Block>, _: &mut [u8]) -> Result<(), Fault> {
        Ok(())
    }

    fn fill(&mut self, _: &Block, _: u64) -> Result<(), Fault> {
        Ok(())
    }

    fn copy(&mut self, _: At<'_, Block>, _: At<'_, Block>, _: u64) -> Result<(), Fault> {
        Ok(())
    }

    fn launch(&mut self, kernel: &str, _: [u32; 3], _: &[Given<'_, Block>]) -> Result<(), Fault> {
        if let Ok(mut launches) = self.launches.lock() {
            launches.push(kernel.to_owned());
        }
        Ok(())
    }

    fn product(&mut self, _: &Product, _: [At<'_, Block>; 3]) -> Result<(), Fault> {
        Ok(())
    }

    fn class(&self) -> &'static str {
        "none"
    }
}
