//! The library as a WebAssembly module without imports.

use crate::{Variant, digests, report};
use kernels::cpu::Planning;

/// Every digest as text, planned unless `planned` is 0: address in the upper half, bytes in the lower.
#[unsafe(no_mangle)]
pub extern "C" fn bits(planned: u32) -> u64 {
    let planning = if planned == 0 { Planning::Off } else { Planning::On };
    let text = match digests(Variant { planning, ..Variant::plain() }) {
        Ok(digests) => report(&digests),
        Err(fault) => fault.to_string(),
    };
    let text: &'static str = text.leak();
    (text.as_ptr() as u64) << 32 | text.len() as u64
}
