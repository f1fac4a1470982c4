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
    /// Absent where one thread is enough: the caller's, so that targets without threads work too.
    pool: Option<Arc<rayon::ThreadPool>>,
    /// Instructions to use.
    pub path: Path,
}

impl Threads {
    /// A pool of its own; none for one thread, which is the caller's.
    pub fn new(threads: usize, path: Path) -> Result<Self, Fault> {
        if threads <= 1 {
            return Ok(Self { pool: None, path });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|e| Fault::Executor(format!("no thread pool: {e}; allow the process more threads")))?;
        Ok(Self { pool: Some(Arc::new(pool)), path })
    }

    /// Does `work` as one of the pool's threads, so that spreading parts of it costs no hand-over.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Calls `work` once for each item, in any order.
    pub fn each<T: Send>(&self, items: impl Iterator<Item = T>, work: impl Fn(T) + Send + Sync) {
        let items: Vec<T> = items.collect();
        match &self.pool {
            Some(pool) if items.len() > 1 => {
                pool.install(|| items.into_par_iter().with_max_len(1).for_each(work));
            }
            _ => items.into_iter().for_each(work),
        }
    }

    /// Calls `work` with the offset of each piece of `out` and the piece.
    pub fn pieces<T: Send>(&self, out: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Send + Sync) {
        let size = size.max(1);
        self.each(out.chunks_mut(size).enumerate(), |(i, piece)| work(i * size, piece));
    }
}
