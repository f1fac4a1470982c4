//! The whole path of an experiment: source, component, dry run, training and evaluation, each in its confined child.
//! Also harmful guests and their status.

use nightlab::guest::component::componentise;
use nightlab::guest::source::Source;
use nightlab::guest::toolchain::Toolchain;
use nightlab::record::limits::Limits;
use nightlab::record::outcome::{GuestFault, HostFault, Status};
use nightlab::sandbox::{EvalInput, Progress, Resume, RunSpec, Sampling, Sandbox, Trained};
use std::ops::ControlFlow;
use std::path::PathBuf;

const TINY: &str = include_str!("guests/tiny.rs");
const VOCAB: u16 = 64;

fn sandbox() -> Sandbox {
    Sandbox::new(Some(env!("CARGO_BIN_EXE_host").into()))
}

fn component(source: &str) -> Vec<u8> {
    let toolchain = Toolchain::find_or_install(&mut |_| {}).unwrap();
    let toolchain = toolchain.with_helper(PathBuf::from(env!("CARGO_BIN_EXE_host")));
    let module = toolchain.compile(&Source::parse(source).unwrap()).unwrap();
    componentise(&module).unwrap().bytes().to_vec()
}

fn run() -> RunSpec {
    RunSpec {
        vocab: u32::from(VOCAB),
        context: 32,
        scale: 1.0,
        budget_ps: 20_000_000_000,
        profile: toml::from_str(include_str!("../policies/profiles/zen-2c.toml")).unwrap(),
        limits: Limits::default(),
        random_seed: 1,
        intervals: 4,
        eval_rows: 4,
        threads: 2,
        runtime_bytes: 0,
        wall_limit_ms: 60_000,
    }
}

/// A text in which each token determines the next.
fn text() -> Vec<u16> {
    (0..4000u32).map(|i| (i * 7 % u32::from(VOCAB)) as u16).collect()
}

fn eval() -> EvalInput {
    let chunks = (0..6).map(|start| text().into_iter().skip(start).take(33).collect()).collect();
    EvalInput { chunks, forward_cap_ps_per_token: 0, probe_seed: 5 }
}

fn train(component: &[u8], run: &RunSpec) -> Trained {
    sandbox().train(component, run, &text(), None, &mut |_| ControlFlow::Continue(()))
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// `tiny.rs` with another body for `train`, after the network is created.
fn with_train(body: &str) -> Vec<u8> {
    let (head, tail) = TINY.split_once("    let mut adam").unwrap();
    let (_, end) = tail.split_once("\nguest!").unwrap();
    component(&format!("{head}{body}\n}}\nguest!{end}"))
}

fn kind(status: &Status) -> &str {
    status.name()
}

/// A run by version 2 of the price rules.
fn second() -> RunSpec {
    let profile = toml::from_str(include_str!("../policies/profiles/xeon-2c.toml")).unwrap();
    RunSpec { profile, budget_ps: 100_000_000_000, ..run() }
}

#[test]
fn a_guest_pays_for_its_own_computing() {
    let thinks = include_str!("guests/thinks.rs");
    let paid = |trained: &Trained| {
        let by_class = trained.totals.spent_by_class.iter();
        by_class.filter(|(class, _)| class == "instructions").map(|(_, ps)| *ps).sum::<u64>()
    };
    let (component, lazy) = (component(thinks), component(&thinks.replace("400_000", "1")));
    let dry = sandbox().dry_run(&component, &second(), &mut go_on).unwrap();
    let trained = train(&component, &second());
    assert_eq!(trained.status, Status::Completed);
    assert_eq!((dry.train.spent_ps, dry.fuel), (trained.totals.spent_ps, trained.fuel));
    assert_eq!(dry.train.spent_by_class, trained.totals.spent_by_class);
    let of_all = paid(&trained) as f64 / trained.totals.spent_ps as f64;
    assert!(of_all > 0.8 && trained.totals.steps > 5, "{of_all} of {} steps", trained.totals.steps);
    let trained = train(&lazy, &second());
    assert_eq!(paid(&trained), 0, "what it needs to ask for its operations is free");
    // What was recorded under version 1 has to replay.
    assert_eq!(paid(&train(&component, &RunSpec { budget_ps: 100_000_000_000, ..run() })), 0);
}

#[test]
fn an_endless_loop_ends_with_its_budget() {
    let endless = component(include_str!("hostile/endless_loop.rs"));
    let trained = train(&endless, &second());
    assert_eq!(kind(&trained.status), "fuel-exhausted");
    assert!(trained.fuel <= 250_000_000, "{}: a tenth of a second pays for 200 million instructions", trained.fuel);
}

#[test]
fn a_dry_run_tells_what_each_line_costs() {
    let dry = sandbox().dry_run(&component(TINY), &second(), &mut go_on).unwrap();
    let lines: Vec<&str> = TINY.lines().collect();
    let text: Vec<&str> = dry.lines.iter().map(|cost| lines[cost.line as usize - 1].trim()).collect();
    assert!(text.iter().any(|line| line.contains(".backward()")), "{text:?}");
    assert!(text.iter().any(|line| line.contains("adam.step")), "{text:?}");
    assert!(dry.lines.is_sorted_by_key(|cost| std::cmp::Reverse(cost.ps)), "{:?}", dry.lines);
    let step = dry.train.spent_ps / dry.train.steps;
    let sum: u64 = dry.lines.iter().map(|cost| cost.ps).sum();
    assert!(sum > step / 2 && sum < step * 2, "{sum} of a step of {step}");
}

#[test]
fn a_forward_is_a_graph_unless_it_reads_values() {
    let reads = TINY.replace("let x = net", "let _ = tokens.cast(DType::F32).read();\n    let x = net");
    let run = run();
    for (source, has_graph) in [(TINY, true), (&reads, false)] {
        let component = component(source);
        let state = train(&component, &run).state.unwrap();
        let graph = sandbox().graph(&component, &state, &run, &mut go_on).unwrap();
        let Some(graph) = graph else {
            assert!(!has_graph);
            continue;
        };
        assert!(has_graph && graph.is_whole());
        let ops: Vec<&str> = graph.nodes.iter().map(|node| node.op.as_str()).collect();
        assert_eq!(ops, ["embedding", "rms-norm", "matmul", "relu-squared", "matmul", "add", "matmul"]);
        assert_eq!(graph.inputs.len(), state.tensors.len() + 1);
        let mut stop = || ControlFlow::Break(());
        let stopped = sandbox().graph(&component, &state, &run, &mut stop);
        assert!(stopped.is_ok() || stopped.is_err_and(|status| status.name() == "interrupted"));
    }
}

#[test]
fn a_guest_learns_and_is_scored() {
    let (component, run) = (component(TINY), run());
    let dry = sandbox().dry_run(&component, &run, &mut || ControlFlow::Continue(())).unwrap();
    let trained = train(&component, &run);
    assert_eq!(trained.status, Status::Completed);
    assert_eq!(dry.train.op_hash, trained.totals.op_hash);
    assert_eq!((dry.train.spent_ps, dry.fuel), (trained.totals.spent_ps, trained.fuel));
    assert_eq!(trained.intervals.len(), 4);
    let state = trained.state.unwrap();
    let evaluated = sandbox().evaluate(&component, &state, &run, &eval(), &mut go_on);
    assert_eq!(evaluated.status, Status::Completed);
    let nats = evaluated.chunk_nats.iter().sum::<f64>() / (6.0 * 32.0);
    assert!(nats < 1.0, "a uniform guess has 4.16 nats, this guest {nats}");
    assert_eq!(dry.forward.spent_ps.div_ceil(4 * 32), evaluated.forward_ps_per_token);

    let mut drawn = Vec::new();
    let how = Sampling { prompt: vec![0, 7], count: 4, temperature: 0.0, random_seed: 1 };
    let mut keep = |token| {
        drawn.push(token);
        ControlFlow::Continue(())
    };
    sandbox().forward(&component, &state, &run, &how, &mut keep).unwrap();
    assert_eq!(drawn, [14, 21, 28, 35]);

    let dear = EvalInput { forward_cap_ps_per_token: evaluated.forward_ps_per_token - 1, ..eval() };
    let evaluated = sandbox().evaluate(&component, &state, &run, &dear, &mut go_on);
    assert_eq!(kind(&evaluated.status), GuestFault::TooExpensive.name());
}

#[test]
fn runs_and_parts_of_runs_repeat_bit_for_bit() {
    let (component, run) = (component(TINY), run());
    let mut checkpoints = Vec::new();
    let mut keep = |progress| {
        if let Progress::Checkpoint(checkpoint) = progress {
            checkpoints.push(checkpoint);
        }
        ControlFlow::Continue(())
    };
    let first = sandbox().train(&component, &run, &text(), None, &mut keep);
    let one_thread = train(&component, &RunSpec { threads: 1, ..run.clone() });
    assert_eq!(first, one_thread);
    let resume = Resume { read_log: first.read_log, from: checkpoints[1].clone(), until_interval: 2 };
    let part = sandbox().train(&component, &run, &text(), Some(&resume), &mut |_| ControlFlow::Continue(()));
    assert_eq!(part.status, Status::Completed);
    assert_eq!(part.intervals, [first.intervals[2]]);
}

#[test]
fn harm_is_named() {
    let cases = [
        ("    loop {}", GuestFault::FuelExhausted),
        ("    let v = vec![1u8; 1 << 30]; std::hint::black_box(v);", GuestFault::MemoryLimit),
        ("    panic!(\"no\")", GuestFault::Panic),
        ("    std::hint::black_box(net);", GuestFault::NoTraining),
    ];
    for (body, expected) in cases {
        let trained = train(&with_train(body), &run());
        assert_eq!(kind(&trained.status), expected.name(), "{body}: {:?}", trained.status);
    }
}

#[test]
fn shape_errors_name_the_guest_s_line() {
    let trained = train(&with_train("    let _x = Tensor::zeros([2, 3]).matmul(&Tensor::zeros([2, 3]));"), &run());
    let Status::GuestFault { kind: GuestFault::ShapeError, message } = &trained.status else {
        panic!("{:?}", trained.status)
    };
    assert!(message.contains("matmul") && message.contains("at train.rs:27:"), "{message}");
}

#[test]
fn bytes_that_are_no_component_are_refused() {
    assert_eq!(kind(&train(b"\0asm", &run()).status), GuestFault::InvalidComponent.name());
    let run = RunSpec { limits: Limits { component_bytes: 3, ..Limits::default() }, ..run() };
    assert_eq!(kind(&train(b"\0asm", &run).status), GuestFault::ComponentTooLarge.name());
}

#[test]
fn a_run_can_be_stopped_and_times_out() {
    let component = component(TINY);
    let long = RunSpec { budget_ps: 1_000_000_000_000_000, ..run() };
    let stopped = sandbox().train(&component, &long, &text(), None, &mut |_| ControlFlow::Break(()));
    assert_eq!(kind(&stopped.status), HostFault::Interrupted.name());
    let short = RunSpec { wall_limit_ms: 700, ..long };
    assert_eq!(kind(&train(&component, &short).status), HostFault::Timeout.name());
}

/// Small tensor calls take more of a guest's own instructions for each second of budget than large ones.
#[test]
fn an_honest_guest_of_small_calls_has_instructions_enough() {
    let run = RunSpec { budget_ps: 6_000_000_000_000, ..run() };
    let ran = sandbox().dry_run(&component(include_str!("guests/narrow_and_deep.rs")), &run, &mut go_on).unwrap();
    let per_second = ran.fuel / 6;
    assert!(per_second > 50_000_000, "{per_second}: this guest is not one of small calls");
    assert!(per_second < run.limits.fuel_per_budget_second / 2, "{per_second}");
}

/// A child that the system has stopped, or that waits for memory, may never read what it is told.
#[test]
fn a_child_that_does_not_read_its_job_is_given_up() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let deaf = folder.path().join("deaf");
    std::fs::write(&deaf, "#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&deaf, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (sandbox, text) = (Sandbox::new(Some(deaf)), vec![0; 4 << 20]);
    let fault = |trained: Trained| match trained.status {
        Status::HostFault { kind, .. } => kind,
        other => panic!("{other}"),
    };
    let spec = RunSpec { wall_limit_ms: 500, ..run() };
    let trained = sandbox.train(b"", &spec, &text, None, &mut |_| ControlFlow::Continue(()));
    assert_eq!(fault(trained), HostFault::Timeout);
    let trained = sandbox.train(b"", &run(), &text, None, &mut |_| ControlFlow::Break(()));
    assert_eq!(fault(trained), HostFault::Interrupted);
}
