//! What the generated bindings and `guest!` need at run time: the allocator's door for the host, clean-up of returned
//! lists, and the panic hook. Not for guests.

use crate::bindings::lab::train::session;
use crate::lab::Lab;
use std::alloc::{Layout, alloc, dealloc};
use std::panic::{self, PanicHookInfo};

pub use crate::bindings::lab::train::tensors::Tensor as Handle;

/// The guest's file, as it is compiled.
const SOURCE: &str = "train.rs";

/// The run that `train` is given.
pub fn lab() -> Lab {
    Lab::new()
}

/// Makes a panic reach the host with its message and place.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| session::fail(&describe(info))));
}

fn describe(info: &PanicHookInfo) -> String {
    // `payload_as_str` needs Rust 1.91; guests compile with 1.85.
    let payload = info.payload();
    let message =
        payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("panic without a message");
    match info.location() {
        Some(at) if at.file() == SOURCE => format!("{message}, at {SOURCE}:{}:{}", at.line(), at.column()),
        // A line of the standard library helps nobody: the host finds the guest's.
        _ => message.into(),
    }
}

/// Frees a block that the bindings allocated for the host to write into.
pub struct Cleanup {
    block: *mut u8,
    layout: Layout,
}

impl Cleanup {
    /// A block of `layout`; a layout of size 0 has nothing to free.
    pub fn new(layout: Layout) -> (*mut u8, Option<Cleanup>) {
        if layout.size() == 0 {
            return (std::ptr::without_provenance_mut(layout.align()), None);
        }
        // SAFETY: the size is not 0.
        let block = unsafe { alloc(layout) };
        if block.is_null() {
            std::alloc::handle_alloc_error(layout);
        }
        (block, Some(Cleanup { block, layout }))
    }

    /// Gives the block up without freeing it: its new holder frees it.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // SAFETY: `block` came from `alloc` with this layout and is freed once.
        unsafe { dealloc(self.block, self.layout) };
    }
}

/// Named by the bindings so that this module, and with it `cabi_realloc`, is linked.
pub fn maybe_link_cabi_realloc() {}

/// The host's way to place lists in the guest's memory (canonical ABI).
///
/// # Safety
/// `old` is null with `old_size` 0, or a block from here of that size and `align`; `align` is a power of two.
#[cfg(target_family = "wasm")]
#[unsafe(export_name = "cabi_realloc")]
pub unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    if new_size == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    // SAFETY: the caller's promise makes both layouts valid and `old` a block of the first.
    let block = unsafe {
        if old_size == 0 {
            alloc(Layout::from_size_align_unchecked(new_size, align))
        } else {
            std::alloc::realloc(old, Layout::from_size_align_unchecked(old_size, align), new_size)
        }
    };
    if block.is_null() {
        core::arch::wasm32::unreachable();
    }
    block
}
