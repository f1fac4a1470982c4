//! Whole sessions on the executor: a training run, random programs, and what of a fault the host is told.

use crate::common::{run, values};
use crate::compare::{self, Agreement};
use crate::{forwards, program};
use bits::programs::{self, Flush};
use bits::training;
use cuda_kernels::emulator::Emulator;
use cuda_kernels::{CudaExecutor, Device};
use kernels::cpu::CpuExecutor;
use kernels::exec::{Executor, Step};
use kernels::op::{Op, Record, TensorId};
use kernels::spec::{Shape, Spec, Values};

const RANDOM_SEED: u64 = 42;

fn cpu() -> Box<dyn Executor> {
    Box::new(CpuExecutor::new(1, RANDOM_SEED).unwrap())
}

/// A GPT of two layers with Muon and AdamW. Between reads nothing comes to the host, and only tokens and targets go to
/// the device.
#[test]
fn a_training_run_follows_the_cpu_without_a_round_trip() {
    if let Some(program) = program() {
        follows_the_cpu(forwards(&program));
    }
}

/// Trains on a device and on the CPU.
pub fn follows_the_cpu(device: impl Device + 'static) {
    let executor = CudaExecutor::new(device, RANDOM_SEED);
    let traffic = executor.traffic();
    let session = training::train(programs::open(Box::new(executor))).unwrap();
    let steps = session.totals().steps;
    assert!(steps >= 6, "{steps} steps");
    assert_eq!((traffic.round_trips(), traffic.uploads()), (0, 2 * steps));
    let on_cpu = training::train(programs::open(cpu())).unwrap();
    assert_eq!(session.totals().op_hash, on_cpu.totals().op_hash);
    assert_eq!(session.curve().len(), on_cpu.curve().len());
    for (ours, theirs) in session.curve().iter().zip(on_cpu.curve()) {
        let apart = (ours.value - theirs.value).abs();
        assert!(apart < 1e-4 * theirs.value, "step {}: {} and {}", ours.step, ours.value, theirs.value);
    }
}

/// A tensor that is written has memory of its own by then; the others keep their values.
#[test]
fn tensors_share_memory_until_one_is_written() {
    let Some(program) = program() else { return };
    let both = [cpu(), Box::new(CudaExecutor::new(forwards(&program), RANDOM_SEED))];
    let results = both.map(|mut executor: Box<dyn Executor>| {
        let (spec, first) = values(&[2, 3], 1);
        let [x, copy, flat, y] = [0, 1, 2, 3].map(TensorId);
        executor.upload(x, &spec, &first).unwrap();
        executor.upload(y, &spec, &values(&[2, 3], 2).1).unwrap();
        let flat_spec = Spec::f32(Shape::new(&[6]).unwrap());
        let step = |op: Op, inputs: &[TensorId], made: &[(TensorId, &Spec)]| Step::Run {
            record: Record {
                op,
                inputs: inputs.iter().copied().collect(),
                outputs: made.iter().map(|(id, _)| *id).collect(),
                data: None,
            },
            outputs: made.iter().map(|(_, spec)| (*spec).clone()).collect(),
            index: 0,
        };
        let blend = Op::Blend { keep: 0.5, scale: 2.0 };
        let mut steps = vec![
            step(Op::Copy, &[x], &[(copy, &spec)]),
            step(Op::Reshape { shape: flat_spec.shape.clone() }, &[x], &[(flat, &flat_spec)]),
            step(blend.clone(), &[x, y], &[]),
            step(Op::Assign, &[y, copy], &[]),
            step(blend, &[y, y], &[]),
        ];
        executor.execute(&mut steps).unwrap();
        [x, copy, flat, y].map(|id| executor.download(id).unwrap())
    });
    assert_eq!(results[0], results[1]);
}

#[test]
fn an_index_out_of_range_is_the_same_fault() {
    let Some(program) = program() else { return };
    let indices = (Spec::u32(Shape::new(&[4]).unwrap()), Values::U32(vec![0, 9, 2, 7]));
    let operands = [values(&[7, 3], 1), indices];
    let mut ours = CudaExecutor::new(forwards(&program), RANDOM_SEED);
    let fault = run(&mut ours, &Op::Embedding, &operands).unwrap_err();
    assert_eq!(fault, run(cpu().as_mut(), &Op::Embedding, &operands).unwrap_err());
    assert!(fault.to_string().contains("index 9 at position 1 is not below 7"), "{fault}");
}

/// The words of checks run out after 4096 of them: then the host looks once, in the middle of its work.
#[test]
fn many_checks_between_reads_cost_a_look() {
    let Some(program) = program() else { return };
    let mut executor = CudaExecutor::new(forwards(&program), RANDOM_SEED);
    let traffic = executor.traffic();
    let [table, good, bad, y] = [0, 1, 2, 3].map(TensorId);
    let (spec, list) = values(&[7, 1], 1);
    let one = Spec::u32(Shape::new(&[1]).unwrap());
    executor.upload(table, &spec, &list).unwrap();
    executor.upload(good, &one, &Values::U32(vec![6])).unwrap();
    executor.upload(bad, &one, &Values::U32(vec![7])).unwrap();
    let embedding = |indices: TensorId, index: u64| Step::Run {
        record: Record {
            op: Op::Embedding,
            inputs: [table, indices].into_iter().collect(),
            outputs: [y].into_iter().collect(),
            data: None,
        },
        outputs: vec![Spec::f32(Shape::new(&[1, 1]).unwrap())],
        index,
    };
    executor.execute(&mut (0..4096).map(|i| embedding(good, i)).collect()).unwrap();
    assert_eq!(traffic.round_trips(), 0);
    executor.execute(&mut (4096..8192).map(|i| embedding(if i == 5000 { bad } else { good }, i)).collect()).unwrap();
    assert_eq!(traffic.round_trips(), 1);
    let fault = executor.execute(&mut vec![embedding(good, 8192)]).unwrap_err();
    assert!(fault.to_string().contains("embedding (op 5000): index 7 at position 0 is not below 7"), "{fault}");
}

/// Random calls of sessions: the same bits with flushes or without and in both orders of threads, near those of the
/// CPU.
#[test]
fn random_programs_give_the_values_of_the_cpu() {
    let Some(program) = program() else { return };
    for number in 0..4 {
        let ours = [(false, Flush::WhenNeeded), (true, Flush::Always)].map(|(backward, flush)| {
            let executor = CudaExecutor::new(Emulator::start(&program, backward).unwrap(), RANDOM_SEED);
            programs::run(number, programs::open(Box::new(executor)), flush).unwrap()
        });
        let theirs = programs::run(number, programs::open(cpu()), Flush::WhenNeeded).unwrap();
        let [values, again] = ours.map(|all| all.into_iter().map(|(_, values)| values).collect::<Vec<_>>());
        assert!(compare::is_same(&values, &again), "program {number} gives other bits");
        assert_eq!(values.len(), theirs.len(), "program {number}");
        assert!(values.len() > 10, "program {number} holds little");
        for (at, (ours, (spec, theirs))) in values.iter().zip(&theirs).enumerate() {
            let near = compare::one(Agreement::Near(1e-3), ours, theirs);
            assert!(near.is_ok(), "program {number}, tensor {at} {spec}: {near:?}");
        }
    }
}
