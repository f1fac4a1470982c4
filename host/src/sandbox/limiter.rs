//! One limit for everything that a guest can grow: memories and tables together.

use crate::sandbox::engine::is_of_the_system;
use wasmtime::ResourceLimiter;

/// Size of a table element in the host, in bytes.
const ELEMENT_BYTES: usize = 16;

/// The guest exceeded its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{used} bytes of memory and tables and {wanted} more exceed the limit of {limit}")]
pub struct MemoryLimit {
    used: usize,
    wanted: usize,
    limit: usize,
}

/// Counts and limits the bytes of all memories and tables of a store. Growth beyond the limit traps: if a guest could
/// see growth fail, it could behave differently on different hosts.
#[derive(Debug)]
pub struct Limiter {
    used: usize,
    /// Of these, the bytes of a runtime that cost nothing.
    runtime: usize,
    limit: usize,
}

impl Limiter {
    /// Limits growth to `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { used: 0, runtime: 0, limit: usize::try_from(limit).unwrap_or(usize::MAX) }
    }

    /// Bytes in use by the guest, without its runtime's.
    pub fn used(&self) -> u64 {
        (self.used - self.runtime) as u64
    }

    /// What is in use now is the runtime's, up to `most` bytes.
    pub fn leave_out_the_runtime(&mut self, most: u64) {
        self.runtime = self.used.min(usize::try_from(most).unwrap_or(usize::MAX));
    }

    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        match self.used.checked_add(bytes).filter(|&total| total <= self.limit) {
            Some(total) => {
                self.used = total;
                Ok(true)
            }
            None => Err(MemoryLimit { used: self.used, wanted: bytes, limit: self.limit }.into()),
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        refused_growth(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(ELEMENT_BYTES))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        refused_growth(error)
    }

    fn instances(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        4
    }
}

/// Growth beyond the maximum that the module itself declares fails in the guest's sight, as WASM says. Where the system
/// has no memory, the run ends: the guest must not behave differently on a machine that is short of it.
fn refused_growth(error: wasmtime::Error) -> wasmtime::Result<()> {
    if is_of_the_system(&error) { Err(error) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = Limiter::new(1024);
        assert!(limiter.memory_growing(0, 512, None).unwrap());
        assert!(limiter.table_growing(0, 32, None).unwrap(), "exactly at the limit");
        let error = limiter.table_growing(32, 33, None).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&MemoryLimit { used: 1024, wanted: 16, limit: 1024 }));
    }

    #[test]
    fn a_guest_never_sees_that_the_machine_is_short_of_memory() {
        let mut limiter = Limiter::new(1024);
        let refused = std::io::Error::from_raw_os_error(libc::ENOMEM);
        assert!(limiter.memory_grow_failed(refused.into()).is_err());
        assert!(limiter.memory_grow_failed(wasmtime::Error::msg("memory maximum size exceeded")).is_ok());
    }

    #[test]
    fn memory_beyond_what_a_runtime_needs_is_the_guests() {
        let mut limiter = Limiter::new(1024);
        assert!(limiter.memory_growing(0, 512, None).unwrap());
        limiter.leave_out_the_runtime(0);
        assert_eq!(limiter.used(), 512);
        limiter.leave_out_the_runtime(200);
        assert_eq!(limiter.used(), 312);
        limiter.leave_out_the_runtime(4096);
        assert!(limiter.memory_growing(512, 600, None).unwrap());
        assert_eq!(limiter.used(), 88);
    }

    #[test]
    fn growth_that_overflows_is_refused() {
        let mut limiter = Limiter::new(u64::MAX);
        assert!(limiter.memory_growing(0, usize::MAX, None).unwrap());
        assert!(limiter.memory_growing(0, 1, None).is_err());
    }
}
