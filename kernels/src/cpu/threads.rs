//! The thread pool. What is spread over it are disjoint pieces of the outputs, so the number of threads never shows.
//! The only file here that knows of rayon.

use super::path::Path;
use crate::fault::Fault;
use rayon::prelude::*;
use std::sync::Arc;

/// Elements of output in one piece of elementwise work: some microseconds, more than it takes to wake a thread.
pub const PIECE: usize = 65_536;

/// Threads and the instructions they use; clones share the threads.
#[derive(Clone, Debug)]
pub struct Threads {
    pool: Arc<rayon::ThreadPool>,
    /// Instructions to use.
    pub path: Path,
}

impl Threads {
    /// A pool of its own.
    pub fn new(threads: usize, path: Path) -> Result<Self, Fault> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .build()
            .map_err(|e| Fault::Executor(format!("no thread pool: {e}; allow the process more threads")))?;
        Ok(Self { pool: Arc::new(pool), path })
    }

    /// Does `work` as one of the pool's threads, so that spreading parts of it costs no hand-over.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// Calls `work` once for each item, in any order.
    pub fn each<T: Send>(&self, items: impl Iterator<Item = T>, work: impl Fn(T) + Send + Sync) {
        let items: Vec<T> = items.collect();
        if items.len() < 2 || self.pool.current_num_threads() == 1 {
            items.into_iter().for_each(work);
        } else {
            self.pool.install(|| items.into_par_iter().with_max_len(1).for_each(work));
        }
    }

    /// Calls `work` with the offset of each piece of `out` and the piece.
    pub fn pieces<T: Send>(&self, out: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Send + Sync) {
        let size = size.max(1);
        self.each(out.chunks_mut(size).enumerate(), |(i, piece)| work(i * size, piece));
    }
}
