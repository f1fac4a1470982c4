//! Random guests: whatever calls they make, a dry session, a CPU session and a candle session agree after each one on
//! shapes, faults, costs, peak bytes and the hash of the op stream; and executors hold what the session counts.

mod guest;
#[path = "../reference/mod.rs"]
mod reference;

use guest::{Call, Guest, Seen, call};
use kernels::cpu::CpuExecutor;
use kernels::exec::{Dry, Executor, Step};
use kernels::fault::Fault;
use kernels::op::TensorId;
use kernels::session::Answers;
use kernels::spec::{Spec, Values};
use proptest::prelude::*;
use proptest::test_runner::Config;
use reference::session::RANDOM_SEED;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Weighs what its executor holds.
struct Scales {
    executor: Box<dyn Executor>,
    held: BTreeMap<TensorId, u64>,
    peak: Arc<AtomicU64>,
}

impl Executor for Scales {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        for step in steps.iter() {
            match step {
                Step::Run { record, outputs, .. } => {
                    let bytes = outputs.iter().map(Spec::bytes);
                    self.held.extend(record.outputs.iter().copied().zip(bytes));
                }
                Step::Free(id) => {
                    assert!(self.held.remove(id).is_some(), "{id:?} is freed and was not there");
                }
            }
            self.peak.fetch_max(self.held.values().sum(), Ordering::Relaxed);
        }
        self.executor.execute(steps)
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        self.held.insert(id, spec.bytes());
        self.executor.upload(id, spec, values)
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        self.executor.download(id)
    }

    fn class(&self) -> &'static str {
        self.executor.class()
    }
}

/// What is seen of the guest, and the most bytes that the executor held.
fn weighed(executor: Box<dyn Executor>, calls: &[Call]) -> (Vec<Seen>, u64) {
    let peak = Arc::new(AtomicU64::new(0));
    let scales = Scales { executor, held: BTreeMap::new(), peak: peak.clone() };
    let seen = Guest::new(Box::new(scales), Answers::Execute).run(calls);
    (seen, peak.load(Ordering::Relaxed))
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

        #[cfg(feature = "candle")]
        {
            let candle = kernels::candle::CandleExecutor::new(candle_core::Device::Cpu, RANDOM_SEED);
            let (seen, peak) = weighed(Box::new(candle), &calls);
            prop_assert_eq!(&dry, &seen);
            prop_assert_eq!(counted, peak);
        }
    }
}
