//! Runs a plan: each thread takes a part whose predecessors are done, and goes on with the same part of the next node,
//! which finds its operands in that thread's cache. The order in which parts run never shows in a result.

use super::call::Machine;
use super::node::Node;
use super::run;
use super::threads::Threads;
use crate::fault::Fault;
use smallvec::SmallVec;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A node and one of its parts.
type Part = (u32, u32);

struct Graph<'a> {
    machine: Machine,
    nodes: &'a [Node],
    /// By node: where its parts' counters start in `waits`.
    starts: Vec<u32>,
    /// By part: nodes that it still waits for.
    waits: Vec<AtomicU32>,
    /// By node: parts that are not done.
    left: Vec<AtomicU32>,
    /// Parts that are not done.
    remaining: AtomicUsize,
    /// Parts that can run; the next is at the end.
    ready: Mutex<Vec<Part>>,
    /// Length of `ready`, for a look without the lock.
    waiting: AtomicUsize,
    /// The fault of the earliest record, and of its first part that has one.
    fault: Mutex<Option<((u64, u32), Fault)>>,
}

/// Runs all nodes, which are in an order in which they could run one by one.
///
/// # Safety
/// The nodes must come from a planner, the blocks that they use must live, and nothing else may use them meanwhile.
pub unsafe fn run(threads: &Threads, machine: Machine, nodes: &[Node]) -> Result<(), Fault> {
    let graph = Graph::new(machine, nodes);
    threads.run(&|| graph.work());
    match graph.fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, fault)) => Err(fault),
        None => Ok(()),
    }
}

impl<'a> Graph<'a> {
    fn new(machine: Machine, nodes: &'a [Node]) -> Self {
        let mut starts = Vec::with_capacity(nodes.len());
        let (mut waits, mut ready) = (Vec::new(), Vec::new());
        for (node, id) in nodes.iter().zip(0..) {
            starts.push(waits.len() as u32);
            waits.extend((0..node.cut.parts).map(|_| AtomicU32::new(node.waits)));
            if node.waits == 0 {
                ready.extend((0..node.cut.parts).map(|part| (id, part)));
            }
        }
        ready.reverse();
        Self {
            machine,
            nodes,
            starts,
            left: nodes.iter().map(|node| AtomicU32::new(node.cut.parts)).collect(),
            remaining: AtomicUsize::new(waits.len()),
            waits,
            waiting: AtomicUsize::new(ready.len()),
            ready: Mutex::new(ready),
            fault: Mutex::new(None),
        }
    }

    /// The work of one thread until nothing is left.
    fn work(&self) {
        let mut next = None;
        while self.remaining.load(Ordering::Acquire) > 0 {
            let Some(part) = next.take().or_else(|| self.pop()) else {
                std::hint::spin_loop();
                continue;
            };
            self.execute(part);
            next = self.complete(part);
        }
    }

    fn pop(&self) -> Option<Part> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let part = ready.pop();
        self.waiting.store(ready.len(), Ordering::Release);
        part
    }

    /// A fault does not stop the other parts: the record that is reported must not depend on their order.
    fn execute(&self, (id, part): Part) {
        let node = &self.nodes[id as usize];
        let done = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: a part is taken once, by one thread, after the last part that it waits for; the caller of `run`
            // keeps the blocks live.
            unsafe { run::part(&self.machine, node, part) }
        }));
        let done = done.unwrap_or_else(|_| Err(Fault::Executor(format!("a kernel failed in {:?}", node.work))));
        if let Err(fault) = done {
            let mut first = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            let here = (node.index, part);
            if first.as_ref().is_none_or(|(there, _)| here < *there) {
                *first = Some((here, fault));
            }
        }
    }

    /// Counts down the parts that waited for this one; returns one that can run now.
    fn complete(&self, (id, part): Part) -> Option<Part> {
        let node = &self.nodes[id as usize];
        let mut free: SmallVec<[Part; 16]> = SmallVec::new();
        if self.left[id as usize].fetch_sub(1, Ordering::AcqRel) == 1 {
            for &later in node.all.iter().rev() {
                let parts = (0..self.nodes[later as usize].cut.parts).rev();
                free.extend(parts.map(|part| (later, part)).filter(|part| self.arrive(*part)));
            }
        }
        free.extend(node.same.iter().rev().map(|&later| (later, part)).filter(|part| self.arrive(*part)));
        let next = free.pop();
        if !free.is_empty() {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.extend(free);
            self.waiting.store(ready.len(), Ordering::Release);
        }
        self.remaining.fetch_sub(1, Ordering::AcqRel);
        next
    }

    /// Counts one wait less; true if it was the last.
    fn arrive(&self, (id, part): Part) -> bool {
        self.waits[(self.starts[id as usize] + part) as usize].fetch_sub(1, Ordering::AcqRel) == 1
    }
}
