//! Room that a kernel needs while it runs: kept by each thread and used again, so that a training step asks the system
//! for nothing. Aligned to cache lines, contents arbitrary.

use std::cell::RefCell;

/// One cache line of elements.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    static IDLE: RefCell<Vec<Scratch>> = const { RefCell::new(Vec::new()) };
}

/// A piece of room that grows as asked.
#[derive(Debug, Default)]
pub struct Scratch(Vec<Line>);

impl Scratch {
    /// `len` elements with arbitrary contents.
    pub fn slice(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(16);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; 16]));
        }
        // SAFETY: lines are contiguous f32 without padding, and there are at least `len` of them.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }
}

/// Room that nobody on this thread uses, to be given back.
pub fn take() -> Scratch {
    IDLE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives room back to this thread.
pub fn give(scratch: Scratch) {
    IDLE.with_borrow_mut(|idle| idle.push(scratch));
}
