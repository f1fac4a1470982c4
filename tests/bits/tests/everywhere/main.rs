//! `cargo bits`: every digest on every path, with 1, 2, 3 and 8 threads, planned and not: the instructions of this
//! machine, NEON as an aarch64 program under qemu, and the portable path as WebAssembly in wasmtime. Prints a table.
//! A way that cannot be tried is listed with the command that installs what it lacks. Takes minutes the first time.

mod build;

use bits::{Variant, digests, report};
use build::Target;
use std::process::Command;

/// What one way of computing gave: the report, or why it could not be tried.
struct Row {
    path: String,
    threads: usize,
    planning: &'static str,
    report: Result<String, String>,
}

const ON: &str = "on";
const OFF: &str = "off";
/// Threads and planning of one path. Without planning, one thread does all the work.
const WAYS: [(usize, &str); 5] = [(1, OFF), (1, ON), (2, ON), (3, ON), (8, ON)];

#[test]
#[ignore = "builds for other processors: `cargo bits`"]
fn results_are_the_same_bits_everywhere() {
    let want = report(&digests(Variant::plain()).unwrap());
    let rows: Vec<Row> = here().into_iter().chain(neon()).chain(wasm()).collect();
    println!("\n{:<22} {:>7} {:>8} {:>6}  result", "path", "threads", "planning", "cases");
    let mut differing = 0;
    for row in &rows {
        let (cases, result) = match &row.report {
            Err(why) => (0, format!("NOT RUN: {why}")),
            Ok(got) => match first_difference(&want, got) {
                None => (got.lines().count(), "identical".to_owned()),
                Some(case) => (got.lines().count(), format!("DIFFERS, first in {case}")),
            },
        };
        differing += usize::from(result.starts_with("DIFFERS"));
        println!("{:<22} {:>7} {:>8} {:>6}  {result}", row.path, row.threads, row.planning, cases);
    }
    assert_eq!(differing, 0, "ways of computing that differ");
}

/// The line of the first case that is not the same, without its hash.
fn first_difference(want: &str, got: &str) -> Option<String> {
    let case = |line: &str| line.split_once(' ').map_or(line, |(_, name)| name).to_owned();
    let differs = want.lines().zip(got.lines()).find(|(want, got)| want != got).map(|(want, _)| case(want));
    differs.or_else(|| (want.lines().count() != got.lines().count()).then(|| "the number of cases".to_owned()))
}

fn here() -> Vec<Row> {
    let row = |variant: Variant| Row {
        path: variant.path.name().to_owned(),
        threads: variant.threads,
        planning: if variant.planning == kernels::cpu::Planning::On { ON } else { OFF },
        report: digests(variant).map(|digests| report(&digests)).map_err(|fault| fault.to_string()),
    };
    Variant::all().into_iter().map(row).collect()
}

fn neon() -> Vec<Row> {
    let program = build::build(Target::Aarch64);
    let row = |(threads, planning): (usize, &'static str)| {
        let report = program.clone().and_then(|program| {
            let mut qemu = Command::new(build::QEMU);
            qemu.args(["-L", build::AARCH64_LIBRARIES]).arg(program);
            qemu.args(["--path", "neon", "--threads", &threads.to_string(), "--planning", planning]);
            build::output(&mut qemu)
        });
        Row { path: "neon (qemu)".to_owned(), threads, planning, report }
    };
    WAYS.map(row).into()
}

fn wasm() -> Vec<Row> {
    let module = build::build(Target::Wasm);
    let row = |planning: &'static str| {
        let report = module.clone().and_then(|module| run_module(&module, planning).map_err(|e| format!("{e:#}")));
        Row { path: "portable (wasm32)".to_owned(), threads: 1, planning, report }
    };
    [OFF, ON].map(row).into()
}

/// Calls the module's only function and reads the text that it points to.
fn run_module(path: &std::path::Path, planning: &str) -> wasmtime::Result<String> {
    let engine = wasmtime::Engine::default();
    let module = wasmtime::Module::new(&engine, std::fs::read(path)?)?;
    let mut store = wasmtime::Store::new(&engine, ());
    let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
    let function = instance.get_typed_func::<u32, u64>(&mut store, "bits")?;
    let place = function.call(&mut store, u32::from(planning == ON))?;
    let memory = instance.get_memory(&mut store, "memory").ok_or_else(|| wasmtime::Error::msg("no memory"))?;
    let mut text = vec![0; (place & u64::from(u32::MAX)) as usize];
    memory.read(&store, (place >> 32) as usize, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
