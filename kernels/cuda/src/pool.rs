//! Memory of a device that is kept when it is given back, up to a limit. All is used in the order of one stream, so
//! what was given back can be given out at once.

use crate::device::{At, Device, Given};
use crate::plan::Product;
use kernels::fault::Fault;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The smallest block in bytes.
const SMALLEST: u64 = 512;
/// Blocks are an eighth of a power of two apart, so that few sizes serve all.
const STEPS: u64 = 8;

/// A device whose memory is kept.
pub struct Pool<D: Device> {
    device: D,
    /// Of bytes that are in use, as they were asked for, so that every card passes it at the same place.
    limit: u64,
    books: Arc<Mutex<Books<D::Memory>>>,
}

/// What is there of a pool.
struct Books<M> {
    /// Blocks that nobody uses, by size.
    free: BTreeMap<u64, Vec<M>>,
    /// Bytes in use, as they were asked for.
    used: u64,
    /// Bytes of the device, in use or kept.
    held: u64,
}

/// A block in use. It goes back to its pool.
pub struct Pooled<M> {
    /// None only while it is dropped.
    memory: Option<M>,
    bytes: u64,
    books: Arc<Mutex<Books<M>>>,
}

fn locked<M>(books: &Mutex<Books<M>>) -> MutexGuard<'_, Books<M>> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M> Drop for Pooled<M> {
    fn drop(&mut self) {
        let mut books = locked(&self.books);
        books.used -= self.bytes;
        if let Some(memory) = self.memory.take() {
            books.free.entry(block(self.bytes)).or_default().push(memory);
        }
    }
}

/// The size of the block that holds so many bytes.
fn block(bytes: u64) -> u64 {
    let bytes = bytes.max(SMALLEST);
    let step = (bytes.next_power_of_two() / (2 * STEPS)).max(SMALLEST);
    bytes.next_multiple_of(step)
}

impl<D: Device> Pool<D> {
    /// The device, of which at most so many bytes are used.
    pub fn new(device: D, limit: u64) -> Self {
        let books = Books { free: BTreeMap::new(), used: 0, held: 0 };
        Self { device, limit, books: Arc::new(Mutex::new(books)) }
    }

    /// A block of the device. If it has no room, all that nobody uses goes back to it, and it is asked once more.
    fn take(&mut self, books: &Mutex<Books<D::Memory>>, size: u64) -> Result<D::Memory, Fault> {
        if let Some(memory) = locked(books).free.get_mut(&size).and_then(Vec::pop) {
            return Ok(memory);
        }
        let memory = match self.device.allocate(size) {
            Err(Fault::NoRoom { .. }) => {
                let mut books = locked(books);
                let unused = std::mem::take(&mut books.free);
                books.held -= unused.iter().map(|(size, blocks)| size * blocks.len() as u64).sum::<u64>();
                drop(unused);
                let held = books.held;
                let no_room = |fault| match fault {
                    Fault::NoRoom { wanted, .. } => Fault::NoRoom { wanted, held },
                    other => other,
                };
                self.device.allocate(size).map_err(no_room)?
            }
            done => done?,
        };
        locked(books).held += size;
        Ok(memory)
    }
}

fn within<M>(at: At<'_, Pooled<M>>) -> Result<At<'_, M>, Fault> {
    let gone = || Fault::Executor("memory that was given back".to_owned());
    Ok(At { memory: at.memory.memory.as_ref().ok_or_else(gone)?, start: at.start })
}

impl<D: Device> Device for Pool<D> {
    type Memory = Pooled<D::Memory>;

    fn allocate(&mut self, bytes: u64) -> Result<Self::Memory, Fault> {
        let books = Arc::clone(&self.books);
        let live = locked(&books).used;
        if bytes > self.limit.saturating_sub(live) {
            return Err(Fault::TensorLimit { op: "memory", live, wanted: bytes, limit: self.limit });
        }
        let memory = self.take(&books, block(bytes))?;
        locked(&books).used += bytes;
        Ok(Pooled { memory: Some(memory), bytes, books })
    }

    fn upload(&mut self, bytes: &[u8], to: At<'_, Self::Memory>) -> Result<(), Fault> {
        self.device.upload(bytes, within(to)?)
    }

    fn download(&mut self, from: At<'_, Self::Memory>, bytes: &mut [u8]) -> Result<(), Fault> {
        self.device.download(within(from)?, bytes)
    }

    fn fill(&mut self, memory: &Self::Memory, bytes: u64) -> Result<(), Fault> {
        self.device.fill(within(At::start_of(memory))?.memory, bytes)
    }

    fn copy(&mut self, from: At<'_, Self::Memory>, to: At<'_, Self::Memory>, bytes: u64) -> Result<(), Fault> {
        self.device.copy(within(from)?, within(to)?, bytes)
    }

    fn launch(&mut self, kernel: &str, grid: [u32; 3], arguments: &[Given<'_, Self::Memory>]) -> Result<(), Fault> {
        let given = arguments.iter().map(|argument| match argument {
            Given::Pointer(at) => Ok(Given::Pointer(within(*at)?)),
            Given::Value(bytes) => Ok(Given::Value(bytes)),
        });
        self.device.launch(kernel, grid, &given.collect::<Result<Vec<_>, Fault>>()?)
    }

    fn product(&mut self, product: &Product, [a, b, c]: [At<'_, Self::Memory>; 3]) -> Result<(), Fault> {
        self.device.product(product, [within(a)?, within(b)?, within(c)?])
    }

    fn class(&self) -> &'static str {
        self.device.class()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn pool(room: u64, limit: u64) -> (Pool<Fake>, Arc<AtomicU64>, Arc<AtomicU64>) {
        let card = Fake::new(room);
        let (room, allocations) = (Arc::clone(&card.room), Arc::clone(&card.allocations));
        (Pool::new(card, limit), room, allocations)
    }

    #[test]
    fn blocks_are_few_and_waste_little() {
        for bytes in [0, 1, 4, 511, 512, 513, 4096, 5000, 65_536, 1_000_000, 12_345_678, 1 << 40] {
            let size = block(bytes);
            assert!(size >= bytes && size.is_multiple_of(SMALLEST), "{bytes}: {size}");
            assert!(size <= (bytes + bytes / 8).max(bytes + SMALLEST), "{bytes}: {size}");
        }
        let sizes: std::collections::BTreeSet<u64> = (1 << 20..1 << 21).step_by(999).map(block).collect();
        assert!(sizes.len() <= 9, "{sizes:?}");
    }

    #[test]
    fn what_is_given_back_is_given_out_again() {
        let (mut pool, room, allocations) = pool(1 << 20, u64::MAX);
        for _ in 0..100 {
            let both = [pool.allocate(1000).unwrap(), pool.allocate(70_000).unwrap()];
            drop(both);
        }
        assert_eq!(allocations.load(Ordering::Relaxed), 2);
        drop(pool);
        assert_eq!(room.load(Ordering::Relaxed), 1 << 20);
    }

    #[test]
    fn the_limit_is_exact_and_of_what_was_asked_for() {
        let (mut pool, _, _) = pool(1 << 20, 1000);
        let first = pool.allocate(600).unwrap();
        let fault = pool.allocate(401).err().unwrap();
        assert_eq!(fault, Fault::TensorLimit { op: "memory", live: 600, wanted: 401, limit: 1000 });
        let second = pool.allocate(400).unwrap();
        drop((first, second));
        assert!(pool.allocate(1000).is_ok());
    }

    #[test]
    fn a_full_card_takes_back_what_is_kept_and_is_then_named() {
        let (mut pool, _, _) = pool(8192, u64::MAX);
        drop(pool.allocate(4096).unwrap());
        let large = pool.allocate(8192).unwrap();
        assert_eq!(pool.allocate(512).err(), Some(Fault::NoRoom { wanted: 512, held: 8192 }));
        drop(large);
        assert!(pool.allocate(512).is_ok());
    }
}
