//! Every case and a training run on the first GPU, where there is one: twice, with the same bits.

use crate::{cases, compare, perform, sessions};
use cuda_kernels::driver::Gpu;
use kernels::fault::Fault;
use std::io::Write;
use std::path::Path;

/// The first card; none, with a word about it, where it can't be opened.
fn first() -> Option<Gpu> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cubins");
    let unheard =
        |fault: Fault| writeln!(std::io::stderr(), "NOT CHECKED on a GPU: {fault}").expect("somebody listens");
    Gpu::open(0, &folder).map_err(unheard).ok()
}

#[test]
fn every_op_agrees_with_the_cpu_on_a_gpu() {
    let Some(mut gpu) = first() else { return };
    let mut failures = Vec::new();
    for case in cases::all() {
        // A card that reports a fault is of no further use.
        let [done, again] =
            [(); 2].map(|()| perform(&case, &mut gpu).unwrap_or_else(|why| panic!("{}: {why}", case.name)));
        if !compare::is_same(&done, &again) {
            failures.push(format!("{}: another run gives other bits", case.name));
        }
        failures.extend(compare::all(&case, &done).err().map(|why| format!("{}: {why}", case.name)));
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures[..failures.len().min(20)].join("\n"));
}

#[test]
fn a_training_run_follows_the_cpu_on_a_gpu() {
    if let Some(gpu) = first() {
        sessions::follows_the_cpu(gpu);
    }
}
