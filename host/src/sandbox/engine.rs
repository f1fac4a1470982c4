//! Wasmtime's configuration: every setting that results or safety depend on, with its reason.

use std::num::NonZeroUsize;
use wasmtime::{Config, Engine, OperatorCost, OptLevel, RegallocAlgorithm, WasmBacktraceDetails};

/// Stack of guest code in bytes. Host calls run on the rest of [`THREAD_STACK_BYTES`]; an overflow there would abort
/// the process.
pub const WASM_STACK_BYTES: usize = 1 << 20;

/// Stack of the thread that runs a guest.
pub const THREAD_STACK_BYTES: usize = 16 << 20;

/// An engine that runs every component the same way on every machine. Code is optimised unless it is to be compiled
/// `fast`, which takes a third of the time for an interpreter of megabytes; no result and no fuel depends on it.
///
/// # Errors
/// The machine has no code generator or too little memory. This is a host fault, never a guest's.
pub fn engine(fast: bool) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    if fast {
        config.cranelift_opt_level(OptLevel::None).cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
    }
    metering(&mut config);
    determinism(&mut config);
    proposals(&mut config);
    memory(&mut config);
    messages(&mut config);
    Engine::new(&config)
}

/// Fuel prices: one per instruction, none for instructions that generate no code, and one per byte, element or page of
/// bulk work. They are spelled out because the engine's defaults change between versions, and fuel is part of an
/// outcome.
fn metering(config: &mut Config) {
    let mut cost = OperatorCost::new();
    cost.variable.memory_copy_per_byte = 1;
    cost.variable.memory_fill_per_byte = 1;
    cost.variable.memory_init_per_byte = 1;
    // A page is 64 KiB that the system must zero; by default it is free.
    cost.variable.memory_grow_per_page = 255;
    cost.variable.table_copy_per_element = 1;
    cost.variable.table_fill_per_element = 1;
    cost.variable.table_init_per_element = 1;
    cost.variable.table_grow_per_element = 1;
    config.consume_fuel(true).operator_cost(cost);
}

/// NaN bits and relaxed SIMD are the only two places where WASM allows differences between machines.
fn determinism(config: &mut Config) {
    config.cranelift_nan_canonicalization(true).relaxed_simd_deterministic(true).wasm_relaxed_simd(false);
}

/// Features that rustc emits by default stay on. All others are off: the engine enables all of WASM 3, and unused
/// features only add attack surface.
fn proposals(config: &mut Config) {
    config
        .wasm_bulk_memory(true)
        .wasm_simd(true)
        .wasm_multi_value(true)
        // Libraries of other toolchains are placed by sums of constants.
        .wasm_extended_const(true)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .shared_memory(false)
        // Component-model async is young, and its calls are an order of magnitude slower than synchronous ones.
        .concurrency_support(false);
}

fn memory(config: &mut Config) {
    config
        .max_wasm_stack(WASM_STACK_BYTES)
        // Copy-on-write initialisation made fuel differ between platforms.
        .memory_init_cow(false);
}

/// Line tables turn a trap into a line of `train.rs`. Backtraces never enter a hash.
fn messages(config: &mut Config) {
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable).wasm_backtrace_max_frames(NonZeroUsize::new(64));
}

/// Whether the system refused something, such as memory. This says nothing about the guest.
pub fn is_of_the_system(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<std::io::Error>() || cause.is::<rustix::io::Errno>() || cause.is::<wasmtime::OutOfMemory>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module as Binary, TypeSection,
    };
    use wasmtime::{Instance, Module, Store};

    /// (func (export "f") (drop (i32.add (i32.const 1) (i32.const 2))) (nop))
    fn binary() -> Vec<u8> {
        let mut module = Binary::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        module.section(&types);
        let mut functions = FunctionSection::new();
        functions.function(0);
        module.section(&functions);
        let mut exports = ExportSection::new();
        exports.export("f", ExportKind::Func, 0);
        module.section(&exports);
        let mut body = Function::new([]);
        body.instructions().i32_const(1).i32_const(2).i32_add().drop().nop().end();
        let mut code = CodeSection::new();
        code.function(&body);
        module.section(&code);
        module.finish()
    }

    #[test]
    fn fuel_of_a_fixed_module_is_pinned() {
        [false, true].into_iter().for_each(|fast| fuel(&engine(fast).unwrap()));
    }

    fn fuel(engine: &Engine) {
        let module = Module::from_binary(engine, &binary()).unwrap();
        let mut store = Store::new(engine, ());
        store.set_fuel(1000).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        f.call(&mut store, ()).unwrap();
        assert_eq!(1000 - store.get_fuel().unwrap(), 4, "two constants, one addition, one call");
    }
}
