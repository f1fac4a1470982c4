//! Random guests: whatever calls they make, a dry session, a CPU session and a candle session agree after each one on
//! shapes, faults, costs, peak bytes and the hash of the op stream; and executors hold what the session counts.

mod guest;
#[path = "../reference/mod.rs"]
mod reference;

use guest::{Call, Guest, Seen};
use kernels::cost;
use kernels::cpu::CpuExecutor;
use kernels::exec::{Dry, Executor, Step};
use kernels::fault::Fault;
use kernels::op::{Op, TensorId};
use kernels::session::Answers;
use kernels::spec::{Spec, Values};
use proptest::prelude::*;
use proptest::test_runner::Config;
use reference::session::RANDOM_SEED;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Weighs what its executor must hold: tensors of the same values once, until one of them changes.
struct Scales {
    executor: Box<dyn Executor>,
    /// Which values a tensor has, and what they are.
    held: BTreeMap<TensorId, (u64, Spec)>,
    values: u64,
    peak: Arc<AtomicU64>,
}

impl Scales {
    fn hold(&mut self, id: TensorId, spec: &Spec) {
        self.values += 1;
        self.held.insert(id, (self.values, spec.clone()));
    }

    fn share(&mut self, id: TensorId, with: TensorId, spec: &Spec) {
        let (values, _) = self.held[&with];
        self.held.insert(id, (values, spec.clone()));
    }

    /// An in-place update: others that have the old values keep them.
    fn change(&mut self, id: TensorId) {
        let (values, spec) = self.held[&id].clone();
        if self.held.values().filter(|(other, _)| *other == values).count() > 1 {
            self.hold(id, &spec);
        }
    }

    fn weigh(&self, workspace: u64) {
        let held: BTreeMap<u64, u64> = self.held.values().map(|(values, spec)| (*values, spec.bytes())).collect();
        self.peak.fetch_max(held.values().sum::<u64>() + workspace, Ordering::Relaxed);
    }
}

impl Executor for Scales {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        for step in steps.iter() {
            match step {
                Step::Run { record, outputs, .. } => {
                    let inputs = &record.inputs;
                    let specs: Vec<Spec> = inputs.iter().map(|id| self.held[id].1.clone()).collect();
                    match record.op {
                        Op::Reshape { .. } | Op::Copy => self.share(record.outputs[0], inputs[0], &outputs[0]),
                        Op::Assign => self.share(inputs[0], inputs[1], &specs[0]),
                        _ => record.op.written().iter().for_each(|&i| self.change(inputs[i])),
                    }
                    for (&id, spec) in record.outputs.iter().zip(outputs) {
                        if !self.held.contains_key(&id) {
                            self.hold(id, spec);
                        }
                    }
                    self.weigh(cost::workspace(&record.op, &specs.iter().collect::<Vec<_>>()));
                }
                Step::Free(id) => {
                    assert!(self.held.remove(id).is_some(), "{id:?} is freed and was not there");
                }
            }
        }
        self.executor.execute(steps)
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        self.hold(id, spec);
        self.weigh(0);
        self.executor.upload(id, spec, values)
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        self.executor.download(id)
    }

    fn class(&self) -> &'static str {
        self.executor.class()
    }
}

/// What is seen of the guest, and the most bytes that the executor held, with each op's workspace.
fn weighed(executor: Box<dyn Executor>, calls: &[Call]) -> (Vec<Seen>, u64) {
    let peak = Arc::new(AtomicU64::new(0));
    let scales = Scales { executor, held: BTreeMap::new(), values: 0, peak: peak.clone() };
    let seen = Guest::new(Box::new(scales), Answers::Execute).run(calls);
    (seen, peak.load(Ordering::Relaxed))
}

fn call() -> impl Strategy<Value = Call> {
    any::<[u8; 4]>().prop_map(Call::of)
}

proptest! {
    #![proptest_config(Config { cases: 192, failure_persistence: None, ..Config::default() })]
    #[test]
    fn every_execution_accounts_alike(calls in prop::collection::vec(call(), 0..60)) {
        let dry = Guest::new(Box::new(Dry::default()), Answers::StandIn).run(&calls);
        let counted = dry.last().map_or(0, |seen| seen.totals.peak_bytes);

        let cpu = CpuExecutor::new(2, RANDOM_SEED).unwrap();
        let (seen, peak) = weighed(Box::new(cpu), &calls);
        prop_assert_eq!(&dry, &seen);
        prop_assert_eq!(counted, peak);

        {
            let candle = candle_executor::CandleExecutor::new(candle_core::Device::Cpu, RANDOM_SEED);
            let (seen, peak) = weighed(Box::new(candle), &calls);
            prop_assert_eq!(&dry, &seen);
            prop_assert_eq!(counted, peak);
        }
    }
}
