//! Guests that misbehave. Each one gets exactly its status: from the dry run if that can detect it, and always from the
//! run. The host continues, and stores only results.

use crate::common::{HOST, Place, guest};
use nightlab::guest::component::{Component, ComponentError};
use nightlab::guest::source::{Source, SourceError};
use nightlab::record::outcome::{GuestFault, HostFault, Status};
use nightlab::sandbox::Sandbox;
use std::ops::ControlFlow;
use std::time::Instant;

/// What detects a guest first.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    /// The dry run, which executes nothing.
    Dry,
    /// Only the execution: training or evaluation.
    Run,
}
use Found::{Dry, Run};

macro_rules! hostile {
    ($($name:ident: $found:ident $status:literal $said:literal;)*) => {
        const GUESTS: &[(&str, &str)] = &[$((stringify!($name), $status)),*];
        $(
            #[test]
            fn $name() {
                meets(stringify!($name), $found, $status, $said);
            }
        )*
    };
}

// The last column is a part of the expected message.
hostile! {
    endless_loop: Dry "fuel-exhausted" "fuel";
    endless_forward: Dry "fuel-exhausted" "fuel";
    endless_recursion: Dry "stack-overflow" "stack";
    giant_frames: Dry "trap" "out of bounds memory access";
    linear_memory: Dry "memory-limit" "exceed the limit of 16777216";
    hoards_tensors: Dry "tensor-limit" "4194304 more exceed the limit of 67108864";
    giant_tensor: Dry "shape-error" "full";
    too_many_tensors: Dry "count-limit" "more than 2000 live tensors";
    too_many_ops: Dry "count-limit" "more than 12000 operations";
    panics: Dry "panic" "last words";
    panics_in_forward: Dry "panic" "named missing";
    shape_error: Dry "shape-error" "at train.rs:11";
    diverges: Run "diverged" "the loss of step";
    nan_logits: Run "bad-eval: not finite" "logits are not finite";
    looks_ahead: Dry "bad-eval: looks ahead" "narrow: the logits at position 0 depend on the token at position 1, which comes later\n  at train.rs:6:";
    mixes_rows: Dry "bad-eval: mixes rows" "mean: the logits of a row depend on other rows\n  at train.rs:6:";
    expensive_forward: Run "bad-eval: too expensive" "more per token than the task allows";
    thinks_in_forward: Run "bad-eval: too expensive" "more per token than the task allows";
    learns_nothing: Run "bad-eval: no learning" "the unigram distribution reaches";
    never_trains: Dry "no-training" "next-batch";
    past_the_budget: Dry "budget-exceeded" "overdraft";
    dropped_handle: Dry "stale-handle" "";
    foreign_handle: Dry "stale-handle" "";
    double_drop: Dry "stale-handle" "";
    freed_graph: Dry "stale-graph" "backward";
    updated_parameter: Dry "stale-graph" "";
    index_out_of_range: Run "bad-value" "not below 256\n  at train.rs:12:";
    index_out_of_range_in_forward: Run "bad-value" "at train.rs:6:";
    checkpoint_without_end: Dry "misuse" "no checkpoint was begun";
    wrong_dtype: Dry "shape-error" "operand 1 is u32, it must be f32";
    data_in_forward: Dry "forbidden-in-forward" "next-batch is not allowed in forward";
    learns_in_forward: Dry "forbidden-in-forward" "assign is not allowed in forward";
    random_forward: Dry "forbidden-in-forward" "normal is not allowed in forward";
    wrong_logits: Dry "bad-eval: logit shape" "the task needs";
    large_state: Dry "state-too-large" "exceed the limit of 8388608";
    hostile_name: Dry "misuse" "parameter";
    long_name: Dry "misuse" "is not a name";
    graph_without_end: Dry "count-limit" "recorded operations that no backward has freed";
    giant_batch: Dry "count-limit" "more than 16777216 tokens in a batch";
    short_rows: Dry "fuel-exhausted" "fuel";
    tells_what_it_reads: Run "panic" "a guest can tell nothing but the place\n  at train.rs:8:";
    tells_it_in_a_shape: Run "shape-error" "a guest can tell nothing but the place\n  at train.rs:8:";
}

/// The names of all hostile guests, each with its status.
pub fn collection() -> &'static [(&'static str, &'static str)] {
    GUESTS
}

fn meets(name: &str, found: Found, status: &str, said: &str) {
    let text = guest(&format!("hostile/{name}"));
    assert!(text.starts_with(&format!("//! `{status}`: ")), "{name}.rs promises another status");
    let place = Place::new();
    let component = place.compile(&text);
    let dry = place.bench.sandbox.dry_run(component.bytes(), &place.bench.spec, &mut || ControlFlow::Continue(()));
    let told = |end: &Status| {
        assert!(message(end).contains(said), "{end:?}");
        assert!(!message(end).contains(|c: char| c.is_control() && c != '\n'), "{end:?}");
    };
    match (&dry, found) {
        (Err(dry), Dry) => {
            assert_eq!(dry.name(), status, "dry run: {dry:?}");
            told(dry);
        }
        (Ok(_), Run) => {}
        _ => panic!("{dry:?}"),
    }
    let run = place.run(&component, 1);
    let end = &run.outcome.status;
    assert_eq!(end.name(), status, "{end:?}");
    // A dry run reads zeros alone, so that it may tell more than the run.
    if found == Run {
        told(end);
    }
    assert_eq!(run.outcome.score, None);
    let stored = place.bench.store.find_experiment(&run.key).unwrap();
    assert_eq!(stored.is_some(), end.is_result(), "results are stored, host faults are not");
}

#[test]
fn what_forward_may_cost_is_known_before_training() {
    let place = Place::new();
    let refused = place.bench.prepare(&guest("hostile/expensive_forward")).unwrap_err().to_string();
    assert!(refused.contains("the task allows") && refused.contains("it goes to "), "{refused}");
}

fn message(status: &Status) -> &str {
    match status {
        Status::Completed => "",
        Status::GuestFault { message, .. } | Status::HostFault { message, .. } => message,
    }
}

/// At the budget of a night, a guest's own computing may take minutes.
#[test]
fn a_long_dry_run_hears_the_user() {
    let place = Place::new();
    let component = place.compile(&guest("hostile/endless_loop"));
    let mut spec = place.bench.spec.clone();
    spec.limits.fuel_per_budget_second = u64::MAX / 4;
    spec.budget_ps = u64::MAX / 8;
    let started = Instant::now();
    let mut asked = 0;
    let ended = place.bench.sandbox.dry_run(component.bytes(), &spec, &mut || {
        asked += 1;
        if asked > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(ended, Err(Status::HostFault { kind: HostFault::Interrupted, .. })), "{ended:?}");
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn every_hostile_guest_is_tried() {
    let folder = crate::common::guest_path("hostile/x");
    let mut files: Vec<String> = std::fs::read_dir(folder.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.retain(|name| !["floods_the_log", "reads_this_machine"].contains(&name.as_str()));
    let mut tried: Vec<&str> = GUESTS.iter().map(|(name, _)| *name).collect();
    tried.sort_unstable();
    files.sort();
    assert_eq!(files, tried);
}

#[test]
fn a_flooded_log_is_harmless_and_capped() {
    let place = Place::new();
    let component = place.compile(&guest("hostile/floods_the_log"));
    let run = place.run(&component, 1);
    assert_eq!(run.outcome.status, Status::Completed);
    assert_eq!(run.outcome.curve.len() as u64, place.bench.spec.limits.log_points);
    assert!(run.outcome.totals.steps > 10, "{:?}", run.outcome.totals);
}

#[test]
fn a_source_that_reads_files_is_refused_by_name_and_line() {
    let text = guest("hostile/reads_this_machine");
    let refused = Source::parse(&text);
    let Err(SourceError::Refused { at, what, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((at.line, what.as_str()), (4, "`include_str`"));
}

/// A linker that fails by itself looks as if the machine had failed.
#[test]
fn data_beyond_the_address_space_is_the_fault_of_the_source() {
    let place = Place::new();
    let numbers = || 0..12;
    let each = |line: fn(u32) -> String| numbers().map(line).collect::<String>();
    let statics = each(|n| format!("static GAP_{n}: Gap = Gap; static BYTE_{n}: AtomicU8 = AtomicU8::new({n} + 1);\n"));
    let uses =
        each(|n| format!("    BYTE_{n}.store(std::hint::black_box(&raw const GAP_{n} as usize) as u8, Relaxed);\n"));
    let text =
        guest("guests/tiny").replace("fn train(lab: &mut Lab) {\n", &format!("fn train(lab: &mut Lab) {{\n{uses}"));
    let text = format!(
        "{text}\nuse std::sync::atomic::{{AtomicU8, Ordering::Relaxed}};\n#[repr(align(536870912))]\nstruct Gap;\n{statics}"
    );
    let refusal = place.bench.compile(&Source::parse(&text).unwrap()).unwrap_err();
    assert!(refusal.to_string().contains("the linker ended with exit status: 1"), "{refusal}");
    assert!(refusal.stage().is_some(), "a stage of the mutation: {refusal:?}");
}

#[test]
fn another_world_is_refused_in_parent_and_child() {
    let bytes = wat::parse_str("(component)").unwrap();
    assert!(matches!(Component::from_bytes(&bytes), Err(ComponentError::WrongWorld(_))));
    assert_eq!(in_the_child(&bytes), GuestFault::WrongWorld);
}

#[test]
fn what_wasi_does_not_answer_is_refused_by_name_in_parent_and_child() {
    for name in ["wasi:http/types@0.2.0", "wasi:sockets/tcp@0.3.0", "wasi:keyvalue/store@0.2.0"] {
        let bytes = wat::parse_str(format!(r#"(component (import "{name}" (instance)))"#)).unwrap();
        let error = Component::from_bytes(&bytes).unwrap_err();
        assert_eq!(error.fault(), GuestFault::ForbiddenImport, "{error}");
        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        assert_eq!(in_the_child(&bytes), GuestFault::ForbiddenImport);
    }
    // Doors are there; what lacks the contract's exports is refused for that.
    let bytes = wat::parse_str(r#"(component (import "wasi:sockets/tcp@0.2.0" (instance)))"#).unwrap();
    assert_eq!(Component::from_bytes(&bytes).unwrap_err().fault(), GuestFault::WrongWorld);
    assert_eq!(in_the_child(&bytes), GuestFault::WrongWorld);
}

#[test]
fn functions_with_other_types_than_wasi_s_end_the_guest() {
    for (name, kind) in [("get-random-bytes", GuestFault::ForbiddenImport), ("no-such", GuestFault::ForbiddenImport)] {
        let bytes = wat::parse_str(format!(
            r#"(component
                (import "wasi:random/random@0.2.0" (instance $random (export "{name}" (func (result u32)))))
                (import "lab:train/tensors@0.2.0" (instance $tensors (export "tensor" (type $t (sub resource)))))
                (alias export $tensors "tensor" (type $tensor))
                (core func $draw (canon lower (func $random "{name}")))
                (core module $code
                    (import "" "draw" (func $draw (result i32)))
                    (func (export "train") (drop (call $draw)))
                    (func (export "forward") (param i32) (result i32) (local.get 0)))
                (core instance $made (instantiate $code (with "" (instance (export "draw" (func $draw))))))
                (func (export "train") (canon lift (core func $made "train")))
                (func (export "forward") (param "tokens" (own $tensor)) (result (own $tensor))
                    (canon lift (core func $made "forward"))))"#
        ))
        .unwrap();
        assert_eq!(in_the_child(Component::from_bytes(&bytes).unwrap().bytes()), kind, "{name}");
    }
}

/// A guest whose `forward` alone draws random bytes has no behaviour key: what it does with another random seed is not
/// known.
#[test]
fn randomness_of_forward_is_told() {
    let place = Place::new();
    let (rows, spec) = (place.bench.spec.eval_rows, &place.bench.spec);
    for (draws, advisory) in [("(drop (call $draw))", true), ("", false)] {
        let bytes = wat::parse_str(format!(
            r#"(component
                (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
                (import "lab:train/tensors@0.2.0" (instance $tensors
                    (export "tensor" (type $t (sub resource)))
                    (export "full" (func (param "shape" (list u32)) (param "value" f32) (result (own $t))))))
                (alias export $tensors "tensor" (type $tensor))
                (import "lab:train/session@0.2.0" (instance $session
                    (export "tensor" (type $t (eq $tensor)))
                    (type $pair (record (field "tokens" (own $t)) (field "targets" (own $t))))
                    (export "batch" (type $batch (eq $pair)))
                    (export "next-batch" (func (param "batch" u32) (param "seq" u32) (result (option $batch))))))
                (core module $room (memory (export "memory") 1))
                (core instance $room (instantiate $room))
                (core func $draw (canon lower (func $random "get-random-u64")))
                (core func $full (canon lower (func $tensors "full") (memory $room "memory")))
                (core func $next (canon lower (func $session "next-batch") (memory $room "memory")))
                (core module $code
                    (import "" "memory" (memory 1))
                    (import "" "draw" (func $draw (result i64)))
                    (import "" "full" (func $full (param i32 i32 f32) (result i32)))
                    (import "" "next" (func $next (param i32 i32 i32)))
                    (func (export "train") (call $next (i32.const 1) (i32.const 8) (i32.const 64)))
                    (func (export "forward") (param i32) (result i32)
                        {draws}
                        (i32.store (i32.const 0) (i32.const {rows}))
                        (i32.store (i32.const 4) (i32.const {}))
                        (i32.store (i32.const 8) (i32.const {}))
                        (call $full (i32.const 0) (i32.const 3) (f32.const 0))))
                (core instance $made (instantiate $code (with "" (instance
                    (export "memory" (memory $room "memory")) (export "draw" (func $draw))
                    (export "full" (func $full)) (export "next" (func $next))))))
                (func (export "train") (canon lift (core func $made "train")))
                (func (export "forward") (param "tokens" (own $tensor)) (result (own $tensor))
                    (canon lift (core func $made "forward"))))"#,
            spec.context, spec.vocab
        ))
        .unwrap();
        let component = Component::from_bytes(&bytes).unwrap();
        let dry_run = place.bench.sandbox.dry_run(component.bytes(), spec, &mut || ControlFlow::Continue(())).unwrap();
        assert_eq!(dry_run.advisory, advisory, "{draws}");
    }
}

#[test]
fn bytes_that_are_no_component_are_refused_in_the_child() {
    for bytes in [&b""[..], b"\0asm", b"\x7fELF\x02\x01\x01"] {
        assert_eq!(in_the_child(bytes), GuestFault::InvalidComponent);
    }
}

/// The child's verdict on bytes that the parent did not check.
fn in_the_child(bytes: &[u8]) -> GuestFault {
    let place = Place::new();
    match place.bench.sandbox.dry_run(bytes, &place.bench.spec, &mut || ControlFlow::Continue(())) {
        Err(Status::GuestFault { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_child_that_is_no_host_is_a_host_fault() {
    let place = Place::new();
    for exe in ["/bin/true", "/nonexistent"] {
        let ended = Sandbox::new(Some(exe.into())).dry_run(b"", &place.bench.spec, &mut || ControlFlow::Continue(()));
        assert!(ended.as_ref().is_err_and(|status| !status.is_result()), "{exe}: {ended:?}");
    }
    assert!(Sandbox::new(Some(HOST.into())).walls(&[]).is_ok());
}
