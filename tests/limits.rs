//! Limits in pairs: a run that needs exactly what the limit allows passes, and with one less it ends with the limit's
//! own status, in the dry run as in training.

use crate::common::{Place, guest};
use nightlab::record::dry_run::DryRun;
use nightlab::record::limits::Limits;
use nightlab::record::outcome::Status;
use nightlab::sandbox::{EvalInput, RunSpec, Sandbox, Trained};
use std::ops::ControlFlow;
use std::sync::OnceLock;

/// `guests/tiny`, and how it runs under the usual limits of these tests.
struct Tiny {
    sandbox: Sandbox,
    spec: RunSpec,
    component: Vec<u8>,
    dry: DryRun,
}

fn tiny() -> &'static Tiny {
    static TINY: OnceLock<Tiny> = OnceLock::new();
    TINY.get_or_init(|| {
        let place = Place::new();
        let component = place.compile(&guest("guests/tiny")).bytes().to_vec();
        let (sandbox, spec) = (place.bench.sandbox.clone(), place.bench.spec.clone());
        let dry = sandbox.dry_run(&component, &spec, &mut || ControlFlow::Continue(())).unwrap();
        Tiny { sandbox, spec, component, dry }
    })
}

impl Tiny {
    fn within(&self, set: &dyn Fn(&mut Limits)) -> RunSpec {
        let mut spec = self.spec.clone();
        set(&mut spec.limits);
        spec
    }

    fn dry_run(&self, set: &dyn Fn(&mut Limits)) -> Result<DryRun, Status> {
        self.sandbox.dry_run(&self.component, &self.within(set), &mut || ControlFlow::Continue(()))
    }

    fn train(&self, set: &dyn Fn(&mut Limits)) -> Trained {
        let text: Vec<u16> = (0..4000u16).map(|i| i % 64).collect();
        self.sandbox.train(&self.component, &self.within(set), &text, None, &mut |_| ControlFlow::Continue(()))
    }
}

/// The least value with which the dry run passes. It passes with `high`.
fn edge(high: u64, set: fn(&mut Limits, u64)) -> u64 {
    let (mut fails, mut passes) = (0, high);
    while passes - fails > 1 {
        let middle = fails + (passes - fails) / 2;
        match tiny().dry_run(&|limits| set(limits, middle)) {
            Ok(_) => passes = middle,
            Err(_) => fails = middle,
        }
    }
    passes
}

fn holds_at(value: u64, status: &str, set: fn(&mut Limits, u64)) {
    for (value, named) in [(value, "completed"), (value - 1, status)] {
        let dry = tiny().dry_run(&|limits| set(limits, value));
        let dry = dry.as_ref().map_or_else(Status::name, |_| "completed");
        let run = tiny().train(&|limits| set(limits, value)).status;
        assert_eq!((dry, run.name()), (named, named), "with {value}: {run:?}");
    }
}

#[test]
fn tensor_bytes() {
    let dry = &tiny().dry;
    holds_at(dry.train.peak_bytes.max(dry.forward.peak_bytes), "tensor-limit", |limits, n| limits.tensor_bytes = n);
}

#[test]
fn operations() {
    let dry = &tiny().dry;
    holds_at(dry.train.ops.max(dry.forward.ops), "count-limit", |limits, n| limits.max_ops = n);
}

#[test]
fn tensors() {
    let set = |limits: &mut Limits, n| limits.max_tensors = n;
    holds_at(edge(2000, set), "count-limit", set);
}

#[test]
fn bytes_of_named_state() {
    let dry = &tiny().dry;
    let bytes = dry.named.tensors.iter().map(|(_, _, spec, _)| spec.bytes()).sum();
    holds_at(bytes, "state-too-large", |limits, n| limits.state_bytes = n);
}

#[test]
fn bytes_of_the_component() {
    holds_at(tiny().component.len() as u64, "component-too-large", |limits, n| limits.component_bytes = n);
}

#[test]
fn linear_memory() {
    let set = |limits: &mut Limits, n| limits.memory_bytes = n;
    holds_at(edge(16 << 20, set), "memory-limit", set);
}

#[test]
fn instructions() {
    let set = |limits: &mut Limits, n| limits.fuel_per_budget_second = n;
    holds_at(edge(200_000_000, set), "fuel-exhausted", set);
}

/// Logging too much is no fault: what is above the limit is not kept.
#[test]
fn logged_points() {
    let all = tiny().train(&|_| ()).curve.len() as u64;
    assert!(all > 1);
    for (limit, kept) in [(all + 1, all), (all, all), (all - 1, all - 1)] {
        let trained = tiny().train(&|limits| limits.log_points = limit);
        assert_eq!((trained.status.name(), trained.curve.len() as u64), ("completed", kept));
    }
}

#[test]
fn cost_of_forward() {
    let Tiny { sandbox, spec, component, dry } = tiny();
    let state = tiny().train(&|_| ()).state.unwrap();
    let cost = dry.forward_ps_per_token(u64::from(spec.eval_rows) * u64::from(spec.context));
    for (cap, named) in [(cost, "completed"), (cost - 1, "bad-eval: too expensive")] {
        let chunks = (0..4u16).map(|start| (start..start + 33).collect()).collect();
        let input = EvalInput { chunks, forward_cap_ps_per_token: cap, probe_seed: 5 };
        let evaluated = sandbox.evaluate(component, &state, spec, &input, &mut || ControlFlow::Continue(()));
        assert_eq!(evaluated.status.name(), named, "{cap}: {:?}", evaluated.status);
    }
}
