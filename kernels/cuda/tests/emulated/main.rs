//! Every op of the table, as its plan of launches, against the CPU's kernels: the sources of the kernels compiled as
//! C++ with the address sanitizer, on made-up operands of odd sizes and edge values. Blocks and threads run forwards
//! and backwards, with the same bits: no result depends on their order.
//!
//! With the feature `driver`, `gpu` does the same on a card.
//!
//! Where there is no g++ with its sanitizers, this says so and passes.

mod cases;
#[path = "../../../tests/common/mod.rs"]
mod common;
mod compare;
#[cfg(feature = "driver")]
mod gpu;
mod sessions;

use cases::Case;
use cuda_kernels::emulator::{self, Checks, Emulator};
use cuda_kernels::{At, Buffer, Device, HEADERS, SOURCES, Step, kernels_of, to_values};
use kernels::fault::Fault;
use kernels::op::{Binary, Compare, Op, Unary};
use kernels::spec::{Shape, Spec, Values};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the cases went through.
#[derive(Debug, Default)]
struct Covered {
    kernels: BTreeSet<String>,
    ops: BTreeSet<u8>,
    functions: BTreeSet<String>,
    failures: Vec<String>,
}

impl Covered {
    fn add(&mut self, case: &Case, failure: Option<String>) {
        self.ops.extend(case.op.as_ref().map(Op::code));
        self.functions.extend(match case.op {
            Some(Op::Unary(f)) => Some(format!("{f:?}")),
            Some(Op::Binary(f)) => Some(format!("{f:?}")),
            Some(Op::Compare(f)) => Some(format!("{f:?}")),
            _ => None,
        });
        self.kernels.extend(case.plan.steps.iter().filter_map(|step| match step {
            Step::Launch(launch) => Some(launch.kernel.clone()),
            Step::Product(_) | Step::Copy { .. } => None,
        }));
        self.failures.extend(failure);
    }

    /// Names of ops, functions and kernels that no case went through.
    fn left_out(&self) -> Vec<String> {
        // Values of these are uploaded.
        let uploaded = ["Constant", "NextBatch"];
        let ops = Op::VARIANTS.iter().zip(0u8..).filter(|(_, code)| !self.ops.contains(code));
        let ops = ops.filter(|(name, _)| !uploaded.contains(name));
        let functions = (Unary::ALL.iter().map(|f| format!("{f:?}")))
            .chain(Binary::ALL.iter().map(|f| format!("{f:?}")))
            .chain(Compare::ALL.iter().map(|f| format!("{f:?}")))
            .filter(|f| !self.functions.contains(f));
        let kernels = SOURCES.iter().flat_map(|(_, text)| kernels_of(text)).filter(|k| !self.kernels.contains(*k));
        ops.map(|(name, _)| (*name).to_owned()).chain(functions).chain(kernels.map(str::to_owned)).collect()
    }
}

/// The program that runs kernels on the CPU; none, with a word about it, where there is no compiler.
fn program() -> Option<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = emulator::program(folder, &SOURCES, &HEADERS, Checks::Sanitizers).unwrap();
    if program.is_none() {
        // Past the harness, which shows only what failing tests print.
        let word = b"NOT CHECKED: the CUDA kernels' numbers; that takes g++ with its address sanitizer\n";
        std::io::stderr().write_all(word).expect("somebody listens");
    }
    program
}

#[test]
fn every_op_agrees_with_the_cpu_in_both_orders_of_threads() {
    let Some(program) = program() else { return };
    let cases = cases::all();
    let (next, covered) = (AtomicUsize::new(0), Mutex::new(Covered::default()));
    let work = || {
        let mut orders = both_orders(&program);
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let failure = check(case, &mut orders).err().map(|why| format!("{}: {why}", case.name));
            if failure.is_some() {
                orders = both_orders(&program);
            }
            covered.lock().unwrap().add(case, failure);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let covered = covered.into_inner().unwrap();
    let failures = &covered.failures;
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures[..failures.len().min(20)].join("\n")
    );
    let left_out = covered.left_out();
    assert!(left_out.is_empty(), "no case goes through {left_out:?}");
}

/// Devices that run threads forwards and backwards.
fn both_orders(program: &Path) -> [Emulator; 2] {
    [false, true].map(|backward| Emulator::start(program, backward).unwrap())
}

/// A device that runs threads in their order.
fn forwards(program: &Path) -> Emulator {
    Emulator::start(program, false).unwrap()
}

/// Devices that failed are of no further use.
fn check(case: &Case, orders: &mut [Emulator; 2]) -> Result<(), String> {
    let [forward, backward] = orders;
    let done = perform(case, forward).map_err(|fault| fault.to_string())?;
    let again = perform(case, backward).map_err(|fault| fault.to_string())?;
    if !compare::is_same(&done, &again) {
        return Err("another order of threads gives other bits".to_owned());
    }
    compare::all(case, &done)
}

/// The results of a case, the operands that it writes, and the first index out of range.
fn perform(case: &Case, device: &mut impl Device) -> Result<Vec<Values>, Fault> {
    let fault = device.allocate(4)?;
    device.fill(&fault, 4)?;
    let mut inputs = Vec::new();
    for (spec, values) in &case.inputs {
        let (memory, mut bytes) = (device.allocate(spec.bytes())?, Vec::new());
        values.extend_le_bytes(&mut bytes);
        device.upload(&bytes, At::start_of(&memory))?;
        inputs.push(memory);
    }
    let outputs = case.outputs.iter().map(|spec| device.allocate(spec.bytes())).collect::<Result<Vec<_>, _>>()?;
    let scratch = case.plan.scratch.iter().map(|bytes| device.allocate(*bytes)).collect::<Result<Vec<_>, _>>()?;
    let memory = |buffer: Buffer| match buffer {
        Buffer::Input(i) => inputs.get(i),
        Buffer::Output(i) => outputs.get(i),
        Buffer::Scratch(i) => scratch.get(i),
        Buffer::Fault => Some(&fault),
    };
    case.plan.perform(device, |buffer| memory(buffer).map(At::start_of))?;
    let word = Spec::u32(Shape::scalar());
    let made = case.outputs.iter().zip(&outputs);
    let written = case.written.iter().map(|&i| (&case.inputs[i].0, &inputs[i]));
    let mut results = Vec::new();
    for (spec, memory) in made.chain(written).chain([(&word, &fault)]) {
        let mut bytes = vec![0; spec.bytes() as usize];
        device.download(At::start_of(memory), &mut bytes)?;
        results.push(to_values(spec.dtype, &bytes));
    }
    Ok(results)
}

/// What the emulation is there to find, it finds.
#[test]
fn mistakes_of_kernels_are_found() {
    if program().is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let sources = [("broken.cu", include_str!("broken.cu"))];
    let program = emulator::program(folder, &sources, &HEADERS, Checks::Sanitizers).unwrap();
    let program = program.expect("it compiles as the others do");
    for (kernel, found) in [
        ("reads_beyond", "heap-buffer-overflow"),
        ("writes_beyond_shared", "insufficient space"),
        ("leaves_before_a_barrier", "different barriers, or some left"),
        ("waits_at_two_places", "different barriers, or some left"),
        ("exchanges_in_half_a_warp", "or some left"),
        ("races", "another order of threads gives other bits"),
        ("overtakes", "another order of threads gives other bits"),
        ("reads_what_nobody_wrote", "NaN"),
    ] {
        let failure = check(&cases::broken(kernel), &mut both_orders(&program)).expect_err(kernel);
        assert!(failure.contains(found), "{kernel}: {failure}");
    }
}
