//! The thread pool: helpers that join a job of the calling thread. They wait for the next job awake for a moment, since
//! jobs follow each other closely in training, then asleep.

use crate::fault::Fault;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a helper stays awake after a job: longer than a guest takes to submit the next step's first operations.
const AWAKE: Duration = Duration::from_micros(200);

/// Threads that work together; clones share them. One job runs at a time, others wait for their turn.
#[derive(Clone, Debug)]
pub struct Threads(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    shared: Arc<Shared>,
    count: usize,
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Shared {
    /// The present job; helpers take it while `open`.
    job: Mutex<Option<Job>>,
    started: Condvar,
    /// Number of jobs so far.
    epoch: AtomicU64,
    /// Helpers inside the job.
    inside: AtomicUsize,
    closing: AtomicBool,
}

/// A job, without its lifetime: `run` does not return before every thread has left it.
#[derive(Clone, Copy, Debug)]
struct Job(*const (dyn Fn() + Sync));

// SAFETY: what it points to is Sync, and outlives its use (see `Threads::run`).
unsafe impl Send for Job {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Threads {
    /// A pool of `count` threads, the calling one included: with a count of one no thread is started, so that targets
    /// without threads will do.
    pub fn new(count: usize) -> Result<Self, Fault> {
        let count = count.max(1);
        let shared = Arc::new(Shared {
            job: Mutex::new(None),
            started: Condvar::new(),
            epoch: AtomicU64::new(0),
            inside: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        });
        for i in 1..count {
            let shared = shared.clone();
            let helper = std::thread::Builder::new().name(format!("kernels-{i}")).spawn(move || shared.help());
            helper.map_err(|e| Fault::Executor(format!("no thread: {e}; allow the process more threads")))?;
        }
        Ok(Self(Arc::new(Pool { shared, count, turn: Mutex::new(()) })))
    }

    /// Number of threads.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// Has every thread that is free call `work`, this one at least; returns when all have returned. `work` must return
    /// when nothing is left to do, and must not panic.
    pub fn run(&self, work: &(dyn Fn() + Sync)) {
        let _turn = lock(&self.0.turn);
        if self.0.count == 1 {
            return work();
        }
        let shared = &self.0.shared;
        // SAFETY: only the lifetime changes. Helpers enter while the job is set; it is taken back below before this
        // function waits until nobody is inside, and only then returns.
        let job = Job(unsafe { std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const (dyn Fn() + Sync)>(work) });
        *lock(&shared.job) = Some(job);
        shared.epoch.fetch_add(1, Ordering::Release);
        shared.started.notify_all();
        work();
        *lock(&shared.job) = None;
        while shared.inside.load(Ordering::Acquire) > 0 {
            std::hint::spin_loop();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        let _job = lock(&self.shared.job);
        self.shared.started.notify_all();
    }
}

impl Shared {
    fn help(&self) {
        let mut seen = 0;
        while let Some(epoch) = self.next(seen) {
            seen = epoch;
            let job = {
                let job = lock(&self.job);
                if job.is_some() {
                    self.inside.fetch_add(1, Ordering::AcqRel);
                }
                *job
            };
            if let Some(Job(work)) = job {
                // SAFETY: `run` waits for `inside`, which was raised while the job was set.
                unsafe { (*work)() };
                self.inside.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// Waits for a job after `seen`; `None` when the pool closes.
    fn next(&self, seen: u64) -> Option<u64> {
        let changed = || self.epoch.load(Ordering::Acquire) != seen || self.closing.load(Ordering::Acquire);
        let asleep_at = Instant::now() + AWAKE;
        while !changed() && Instant::now() < asleep_at {
            for _ in 0..64 {
                std::hint::spin_loop();
            }
        }
        let mut job = lock(&self.job);
        while !changed() {
            job = self.started.wait(job).unwrap_or_else(PoisonError::into_inner);
        }
        drop(job);
        if self.closing.load(Ordering::Acquire) { None } else { Some(self.epoch.load(Ordering::Acquire)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once_and_left_by_all() {
        let threads = Threads::new(3).unwrap();
        for n in [0usize, 1, 5, 1000] {
            let (next, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
            threads.run(&|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= n {
                        return;
                    }
                    sum.fetch_add(i + 1, Ordering::Relaxed);
                }
            });
            assert_eq!(sum.load(Ordering::Relaxed), n * (n + 1) / 2);
            std::thread::sleep(AWAKE * (n as u32 % 3));
        }
    }

    #[test]
    fn jobs_of_several_callers_take_turns() {
        let threads = Threads::new(2).unwrap();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        threads.run(&|| {
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2);
    }
}
