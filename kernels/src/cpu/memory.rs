//! Memory of tensors: blocks aligned to cache lines, reused by exact size without zeroing after a rest, the one that
//! lay idle longest first. Blocks are handed out as addresses, since several threads write parts of one; the plan
//! decides which part may be read and written when.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::{BTreeMap, VecDeque};

/// Bytes of a cache line.
const LINE: usize = 64;
/// Bytes of a huge page. Blocks that hold one ask for them: products walk through tensors with strides of a page, and a
/// training step is 6% faster where the processor finds them (256 wide, 6 layers).
const HUGE: usize = 2 << 20;

/// Idle blocks go when they and the rest take more than this times the most that was in use, in percent …
const MOST_PERCENT: usize = 125;
/// … and this many bytes more than that.
const MOST_SPARE: usize = 32 << 20;
/// Idle blocks of each size that are left alone while there is room for a new one. An op that takes an idle block waits
/// for the ops that still read its old contents; with a new block it runs beside them (Muon's products, one matrix
/// after the other).
const RESTING: usize = 12;
/// There is room while no more than this many bytes are held beyond the most that was in use: fewer than what makes
/// idle blocks go, or resting ones would drive out those that the next step needs.
const RESTING_SPARE: usize = 16 << 20;

/// Plain numbers: every pattern of bits is a value.
pub trait Element: Copy + Send + Sync + 'static {}

impl Element for f32 {}
impl Element for u32 {}
impl Element for i64 {}
impl Element for u16 {}
impl Element for u8 {}

/// A block of memory, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockId(usize);

/// Where a tensor's elements are.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: an address alone does nothing; what is done with it is `unsafe` and argued there.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    /// Some of the bytes.
    pub fn part(self, range: std::ops::Range<usize>) -> Place {
        assert!(range.start <= range.end && range.end <= self.bytes, "bytes {range:?} of {}", self.bytes);
        // SAFETY: the part lies within the block.
        Place { start: unsafe { self.start.add(range.start) }, bytes: range.len() }
    }

    /// The elements.
    ///
    /// # Safety
    /// The block must live and nobody may write these elements for `'a`.
    pub unsafe fn read<'a, T: Element>(self) -> &'a [T] {
        debug_assert!(self.start.cast::<T>().is_aligned());
        // SAFETY: the caller's promise; blocks are aligned to lines and parts to elements; see `Element`.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.bytes / size_of::<T>()) }
    }

    /// The elements, to write.
    ///
    /// # Safety
    /// The block must live and nobody else may read or write these elements for `'a`.
    pub unsafe fn write<'a, T: Element>(self) -> &'a mut [T] {
        debug_assert!(self.start.cast::<T>().is_aligned());
        // SAFETY: as in `read`, and the caller's promise that nobody else reads or writes.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.bytes / size_of::<T>()) }
    }
}

/// Memory from the system.
#[derive(Debug)]
struct Lines {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: it owns the memory.
unsafe impl Send for Lines {}
// SAFETY: nothing is read or written through a shared reference to it.
unsafe impl Sync for Lines {}

impl Lines {
    /// Zeroed. `bytes` is above 0 and far below the limit of layouts.
    fn new(bytes: usize) -> Self {
        let align = if bytes >= HUGE { HUGE } else { LINE };
        let Ok(layout) = Layout::from_size_align(bytes, align) else { panic!("a block cannot have {bytes} bytes") };
        // SAFETY: the size is not 0.
        let start = unsafe { alloc(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        #[cfg(target_os = "linux")]
        if align == HUGE {
            // SAFETY: advice on memory that was just allocated, before its first use; a refusal changes nothing.
            unsafe { libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        // SAFETY: the memory is as large as that.
        unsafe { start.write_bytes(0, bytes) };
        Self { start, layout }
    }

    fn bytes(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once.
        unsafe { dealloc(self.start, self.layout) };
    }
}

#[derive(Debug)]
struct Block {
    /// Absent if the block was given up.
    lines: Option<Lines>,
    /// Bytes asked for; the lines may hold a few more.
    bytes: usize,
    /// Tensors that share it; 0 while it is idle.
    refs: u32,
}

/// All blocks of an executor.
#[derive(Debug, Default)]
pub struct Memory {
    blocks: Vec<Block>,
    /// Numbers of blocks without memory.
    vacant: Vec<usize>,
    /// Idle blocks by bytes held, longest idle first.
    idle: BTreeMap<usize, VecDeque<usize>>,
    used: usize,
    peak: usize,
    held: usize,
    /// Blocks end with their last line instead of starting with their first.
    at_end: bool,
    /// Memory of blocks given up while a plan may still use them.
    doomed: Vec<Lines>,
}

impl Memory {
    /// Memory whose blocks end with their last line, so that a page behind it can watch what follows them.
    pub fn at_end() -> Self {
        Self { at_end: true, ..Self::default() }
    }

    /// A block of `bytes` bytes with arbitrary contents and one reference.
    pub fn take(&mut self, bytes: usize) -> BlockId {
        let held = bytes.next_multiple_of(LINE).max(LINE);
        self.used += held;
        self.peak = self.peak.max(self.used);
        let resting = if self.held + held <= self.peak + RESTING_SPARE { RESTING } else { 0 };
        if let Some(id) = self.idle.get_mut(&held).filter(|idle| idle.len() > resting).and_then(VecDeque::pop_front) {
            let block = &mut self.blocks[id];
            (block.bytes, block.refs) = (bytes, 1);
            return BlockId(id);
        }
        self.make_room(held);
        self.held += held;
        let block = Block { lines: Some(Lines::new(held)), bytes, refs: 1 };
        match self.vacant.pop() {
            Some(id) => {
                self.blocks[id] = block;
                BlockId(id)
            }
            None => {
                self.blocks.push(block);
                BlockId(self.blocks.len() - 1)
            }
        }
    }

    /// Gives up idle blocks if too much would be held.
    fn make_room(&mut self, bytes: usize) {
        while self.held + bytes > (self.peak / 100 * MOST_PERCENT).max(self.peak + MOST_SPARE) {
            let Some(id) = self.idle.values_mut().rev().find_map(VecDeque::pop_front) else { return };
            if let Some(lines) = self.blocks[id].lines.take() {
                self.held -= lines.bytes();
                self.doomed.push(lines);
            }
            self.vacant.push(id);
        }
    }

    /// Frees what was given up: no plan is under way.
    pub fn settle(&mut self) {
        self.doomed.clear();
    }

    /// One more tensor shares the block.
    pub fn share(&mut self, id: BlockId) {
        self.blocks[id.0].refs += 1;
    }

    /// Whether one tensor has the block to itself.
    pub fn is_sole(&self, id: BlockId) -> bool {
        self.blocks[id.0].refs == 1
    }

    /// One tensor less needs the block; without any it is idle.
    pub fn give(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0];
        assert!(block.refs > 0, "block {} is given back twice", id.0);
        block.refs -= 1;
        if block.refs == 0 {
            let Some(held) = block.lines.as_ref().map(Lines::bytes) else { panic!("block {} has no memory", id.0) };
            self.used -= held;
            self.idle.entry(held).or_default().push_back(id.0);
        }
    }

    /// Where the block is.
    pub fn place(&mut self, id: BlockId) -> Place {
        let block = &self.blocks[id.0];
        match &block.lines {
            Some(lines) => {
                let skipped = if self.at_end { lines.bytes() - block.bytes } else { 0 };
                Place { start: lines.start, bytes: lines.bytes() }.part(skipped..skipped + block.bytes)
            }
            None => panic!("block {} was given up", id.0),
        }
    }

    /// Most bytes in use at once so far.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Upper bound of block numbers.
    pub fn count(&self) -> usize {
        self.blocks.len()
    }
}

impl BlockId {
    /// Its number, below [`Memory::count`].
    pub fn number(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_rest_before_the_one_longest_idle_is_reused() {
        let mut memory = Memory::default();
        let blocks: Vec<BlockId> = (0..RESTING + 2).map(|i| memory.take(1000 + i)).collect();
        // SAFETY: nobody else uses the block.
        let elements = unsafe { memory.place(blocks[0]).write::<f32>() };
        assert_eq!((elements.as_ptr() as usize % LINE, elements.len()), (0, 250));
        for block in blocks.iter().rev() {
            memory.give(*block);
        }
        let [.., third, second, first] = blocks[..] else { panic!("too few blocks") };
        assert_eq!((memory.take(1004), memory.take(1000)), (first, second));
        assert!(!blocks.contains(&memory.take(1000)));
        // Without room for a new one nothing rests.
        memory.held = memory.peak + RESTING_SPARE;
        assert_eq!(memory.take(1000), third);
    }

    #[test]
    fn idle_blocks_of_other_sizes_are_given_up() {
        let mut memory = Memory::default();
        for megabytes in [160, 80, 100, 120] {
            let id = memory.take(megabytes << 20);
            memory.give(id);
            assert!(memory.held <= memory.peak() / 100 * MOST_PERCENT, "{} held", memory.held);
        }
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn an_idle_block_cannot_be_given_back() {
        let mut memory = Memory::default();
        let block = memory.take(64);
        memory.give(block);
        memory.give(block);
    }

    #[test]
    fn a_shared_block_is_idle_after_its_last_tensor() {
        let mut memory = Memory::default();
        let a = memory.take(64);
        memory.share(a);
        memory.give(a);
        assert!(memory.is_sole(a));
        assert_eq!(memory.used, 64);
        memory.give(a);
        assert_eq!(memory.used, 0);
    }
}
