//! Guard pages: whatever is aligned to cache lines, which is the memory of tensors and the scratch of kernels, lies
//! between two pages that nobody may touch. Every case runs with tensors that start right after such a page and with
//! tensors that end right before one, and gives what it gives elsewhere.

use bits::{Digest, Variant, cases};
use kernels::cpu::gemm::{self, Factor, Sizes};
use kernels::cpu::matrix::{Tile, View};
use kernels::cpu::path::Path;
use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const LINE: usize = 64;
const PAGE: usize = 4096;

/// Whether allocations end before a guard page; else they start after one.
static AT_END: AtomicBool = AtomicBool::new(false);

/// Puts what is aligned to cache lines between guard pages.
struct Fenced;

#[global_allocator]
static ALLOCATOR: Fenced = Fenced;

// SAFETY: small alignments are the system's; the others are mapped alone, whole pages and a guard on either side, and
// found again from the first page of their own.
unsafe impl GlobalAlloc for Fenced {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() != LINE {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        let inner = layout.size().next_multiple_of(PAGE);
        let room = if AT_END.load(Ordering::Relaxed) { inner - layout.size() } else { 0 };
        // SAFETY: a new mapping; the pages that become accessible lie within it.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let outer = libc::mmap(std::ptr::null_mut(), inner + 2 * PAGE, libc::PROT_NONE, flags, -1, 0);
            if outer == libc::MAP_FAILED {
                return std::ptr::null_mut();
            }
            let start = outer.cast::<u8>().add(PAGE);
            match libc::mprotect(start.cast(), inner, libc::PROT_READ | libc::PROT_WRITE) {
                0 => start.add(room),
                _ => std::ptr::null_mut(),
            }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: made by `alloc` with this layout, so the mapping starts one page before the pointer's.
        unsafe {
            if layout.align() != LINE {
                return System.dealloc(pointer, layout);
            }
            let outer = pointer.sub(pointer as usize % PAGE + PAGE);
            libc::munmap(outer.cast(), layout.size().next_multiple_of(PAGE) + 2 * PAGE);
        }
    }
}

/// Line-aligned memory whose elements end right before a guard page.
struct Guarded {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Guarded {
    fn new(len: usize) -> Self {
        let mut made = Self { lines: vec![Line([0.0; 16]); len.div_ceil(16)], len };
        made.elements().iter_mut().zip(0u16..).for_each(|(x, i)| *x = f32::from(i % 37) - 18.0);
        made
    }

    fn elements(&mut self) -> &mut [f32] {
        let skipped = self.lines.len() * 16 - self.len;
        // SAFETY: lines are contiguous f32 without padding; the last `len` of them are within.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<f32>().add(skipped), self.len) }
    }
}

/// Everything in one test: where allocations lie is global.
#[test]
fn kernels_stay_within_their_operands() {
    let mut plain = Variant::plain().executor().unwrap();
    let cases = cases::all();
    let want: Vec<Digest> =
        cases.iter().map(|case| Digest::new(case.name.clone(), &case.run(&mut plain).unwrap())).collect();
    for path in Path::all() {
        for at_end in [false, true] {
            AT_END.store(at_end, Ordering::Relaxed);
            let executor = Variant { path, ..Variant::fast(2) }.executor().unwrap();
            let mut executor = if at_end { executor.tensors_at_end() } else { executor };
            for (case, want) in cases.iter().zip(&want) {
                assert_eq!(&Digest::new(case.name.clone(), &case.run(&mut executor).unwrap()), want, "{}", path.name());
            }
        }
        products_within_strides(path);
    }
}

/// Products of matrices whose rows lie `gap` apart: operands and result end before guard pages.
fn product(path: Path, [m, n, k]: [usize; 3], a_turned: bool, b_turned: bool, gap: usize) -> Vec<f32> {
    let within = |rows: usize, cols: usize| (Guarded::new((rows - 1) * (cols + gap) + cols), cols + gap);
    let (mut a, a_step) = if a_turned { within(k, m) } else { within(m, k) };
    let (mut b, b_step) = if b_turned { within(n, k) } else { within(k, n) };
    let (mut c, c_step) = within(m, n);
    let a = View::dense(a.elements(), a_step, a_turned);
    let b = Factor::Plain(View::dense(b.elements(), b_step, b_turned));
    gemm::multiply(path, Sizes { m, n, k }, a, b, &mut Tile::within(c.elements(), m, n, c_step), true);
    c.elements().to_vec()
}

fn products_within_strides(path: Path) {
    for sizes in [[1, 1, 1], [5, 17, 3], [6, 16, 257], [7, 15, 31], [13, 33, 8], [97, 31, 300]] {
        for (a_turned, b_turned) in [(false, false), (false, true), (true, false), (true, true)] {
            for gap in [0, 3] {
                let [want, got] = [Path::portable(), path].map(|path| product(path, sizes, a_turned, b_turned, gap));
                assert_eq!(want, got, "{sizes:?}, {a_turned}, {b_turned}, {gap}: {}", path.name());
            }
        }
    }
}

/// Run by the test below in a process of its own.
#[test]
#[ignore = "dies of what it does"]
fn reads_beyond_its_end() {
    AT_END.store(true, Ordering::Relaxed);
    let mut memory = Guarded::new(17);
    let end = memory.elements().as_ptr_range().end;
    // SAFETY: none; this is what the guard page is there for.
    std::hint::black_box(unsafe { end.read_volatile() });
}

#[test]
fn the_fence_holds() {
    let itself = std::env::current_exe().unwrap();
    let died = Command::new(itself).args(["--ignored", "--exact", "reads_beyond_its_end"]).output().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&died.status), Some(libc::SIGSEGV), "{died:?}");
}
