//! Random programs of tensor operations: a session that executes nothing, the CPU's kernels and candle agree after each
//! call on shapes, faults, costs and the hash of the operations.

#[path = "../../../kernels/tests/programs/guest.rs"]
mod guest;
#[path = "../../../kernels/tests/reference/mod.rs"]
#[allow(unused_imports, reason = "the tests use the rest")]
mod reference;

use guest::{Call, Guest};
use kernels::cpu::CpuExecutor;
use kernels::exec::Dry;
use kernels::session::Answers;
use reference::session::RANDOM_SEED;

/// Calls of a program, at most.
const CALLS: usize = 60;

/// # Panics
/// On a fault.
pub fn operations(bytes: &[u8]) {
    let calls: Vec<Call> = bytes.as_chunks().0.iter().take(CALLS).copied().map(Call::of).collect();
    let dry = Guest::new(Box::new(Dry::default()), Answers::StandIn).run(&calls);
    let cpu = CpuExecutor::new(1, RANDOM_SEED).expect("an executor");
    assert_eq!(dry, Guest::new(Box::new(cpu), Answers::Execute).run(&calls));
    let candle = candle_executor::CandleExecutor::new(candle_core::Device::Cpu, RANDOM_SEED);
    assert_eq!(dry, Guest::new(Box::new(candle), Answers::Execute).run(&calls));
}
