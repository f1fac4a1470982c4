//! Causality: what is proved from the operations of `forward`, what is refused with its line, what is left to probes.

use crate::common::{Place, guest};
use nightlab::experiment::replay;
use nightlab::experiment::runner::Experiment;
use nightlab::guest::component::Component;
use nightlab::record::causality::{Accepted, Causality, Foreseen};
use nightlab::record::dry_run::DryRun;
use nightlab::record::evidence::Evidence;
use nightlab::record::key::Hash;
use nightlab::record::limits::Limits;
use nightlab::record::outcome::{GuestFault, Status};
use nightlab::sandbox::{EvalInput, RunSpec, measure};
use std::ops::ControlFlow;

/// A dry run with this context, under limits that no honest model here reaches.
fn dry_run(place: &Place, text: &str, context: u32, causality: Accepted) -> Result<DryRun, Status> {
    let component = place.compile(text);
    let limits = Limits { causality, ..Limits::default() };
    let spec = RunSpec { context, limits, budget_ps: 4_000_000_000_000, ..place.bench.spec.clone() };
    place.bench.sandbox.dry_run(component.bytes(), &spec, &mut || ControlFlow::Continue(()))
}

fn foreseen(place: &Place, text: &str, context: u32) -> Foreseen {
    let dry_run = dry_run(place, text, context, Accepted::ProvedOrProbed);
    dry_run.unwrap_or_else(|status| panic!("context {context}: {status}")).causality.unwrap()
}

#[test]
fn models_of_many_kinds_are_proved() {
    let (place, text) = (Place::new(), guest("guests/causal_models"));
    for context in 33..=44 {
        assert_eq!(foreseen(&place, &text, context), Foreseen::Proved, "context {context}");
    }
}

#[test]
fn the_honest_guests_are_proved() {
    let place = Place::new();
    let seed = std::fs::read_to_string(crate::common::guest_path("../guest-sdk/seeds/gpt")).unwrap();
    assert_eq!(foreseen(&place, &seed, 128), Foreseen::Proved);
    for name in ["attention_free", "ema", "gpt", "narrow_and_deep", "optimizer_heavy", "tiny"] {
        assert_eq!(foreseen(&place, &guest(&format!("guests/{name}")), 32), Foreseen::Proved, "{name}");
    }
}

#[test]
fn what_a_model_may_not_see_is_refused_with_operation_and_line() {
    let (place, text) = (Place::new(), guest("guests/leaky_models"));
    let lines = text.lines().zip(1..);
    let leaks = lines.filter_map(|(line, number)| {
        Some((number, line.split_once("// looks ahead: ").or_else(|| line.split_once("// mixes rows: "))?, line))
    });
    let mut tried = 0;
    for (line, (_, op), text_line) in leaks {
        let context =
            text.lines().take(line).filter_map(|line| line.trim().split_once(" => ")?.0.parse().ok()).last().unwrap();
        let Err(Status::GuestFault { kind, message }) = dry_run(&place, &text, context, Accepted::ProvedOrProbed)
        else {
            panic!("context {context} passes: {text_line}");
        };
        let expected = if text_line.contains("mixes rows") { GuestFault::MixesRows } else { GuestFault::LooksAhead };
        assert_eq!(kind, expected, "context {context}: {message}");
        assert!(message.starts_with(&format!("{op}: ")), "context {context}: {message}, not {op}");
        assert!(message.contains(&format!("at train.rs:{line}:")), "context {context}, line {line}: {message}");
        tried += 1;
    }
    assert_eq!(tried, 17);
}

#[test]
fn a_proved_guest_and_a_probed_one_are_scored() {
    let mut place = Place::new();
    place.bench.spec.limits = Limits::default();
    place.bench.forward_ps_per_token = 0;
    let run = |text: &str| {
        let run = place.run(&place.compile(text), 1);
        assert_eq!(run.outcome.status, Status::Completed);
        let record = run.record.unwrap();
        // A replay uses the recorded probes.
        let evaluation = record.evaluation.unwrap();
        assert_eq!(place.bench.store.find_experiment(&record.key).unwrap().unwrap().evaluation, Some(evaluation));
        evaluation.causality
    };
    assert_eq!(run(&guest("guests/tiny")), Causality::Proved);
    // Honest, and nothing but values says so.
    assert_eq!(run(&guest("guests/causal_models")), Causality::Probed);
}

#[test]
fn the_score_does_not_depend_on_how_causality_is_known() {
    let place = Place::new();
    let text = guest("guests/tiny");
    // A read makes the same model one that cannot be proved.
    let reads = text.replace("    let x = net", "    let _ = net.weight(\"fc\").sum().read();\n    let x = net");
    let (proved, probed) = (place.compile(&text), place.compile(&reads));
    let (sandbox, spec, task) = (&place.bench.sandbox, &place.bench.spec, &place.bench.task);
    let go_on = || ControlFlow::Continue(());
    let trained = sandbox.train(proved.bytes(), spec, &task.train, None, &mut |_| go_on());
    let evaluated = |component: &Component, probe_seed| {
        let input = EvalInput { chunks: task.search.clone(), forward_cap_ps_per_token: 0, probe_seed };
        let state = trained.state.as_ref().unwrap();
        let evaluated = sandbox.evaluate(component.bytes(), state, spec, &input, &mut || go_on());
        assert_eq!(evaluated.status, Status::Completed);
        (evaluated.causality, evaluated.chunk_nats)
    };
    let (how, nats) = evaluated(&proved, 1);
    assert_eq!(how, Causality::Proved);
    for probe_seed in [1, 2] {
        assert_eq!(evaluated(&probed, probe_seed), (Causality::Probed, nats.clone()));
    }
}

#[test]
fn what_stands_in_the_way_of_a_proof_is_told_and_a_policy_may_refuse_it() {
    let place = Place::new();
    let text = guest("guests/causal_models");
    let line = 1 + text.lines().position(|line| line.contains("+ hidden).softmax().matmul(x)")).unwrap();
    let Foreseen::Probed { why } = foreseen(&place, &text, 32) else { panic!("a soft mask is proved") };
    assert!(why.starts_with("matmul may read later tokens"), "{why}");
    assert!(why.contains(&format!("at train.rs:{line}:")), "{why}");
    let Err(Status::GuestFault { kind, message }) = dry_run(&place, &text, 32, Accepted::Proved) else { panic!() };
    assert_eq!(kind, GuestFault::NotProved);
    assert!(message.starts_with("the policy accepts only what is proved") && message.contains(&why), "{message}");
    assert!(dry_run(&place, &text, 33, Accepted::Proved).is_ok());
}

#[test]
fn a_claim_has_to_pass_other_probes_than_its_own() {
    let mut place = Place::new();
    place.bench.spec.limits = Limits::default();
    place.bench.forward_ps_per_token = 0;
    let claims = |text: &str| {
        let component = place.compile(text);
        let experiment = Experiment { component: &component, random_seed: 1 };
        let passes = |probe_seed| {
            let ended = place.bench.runner(1).run(&experiment, probe_seed, &mut |_| (), &|| false);
            (ended.outcome.status == Status::Completed).then_some((probe_seed, ended.outcome))
        };
        let (probe_seed, outcome) = (0..500).find_map(passes).unwrap();
        let evidence = Evidence {
            manifest: place.bench.manifest(&component, 1),
            outcome: outcome.hash(),
            probe_seed,
            intervals: outcome.intervals.into_iter().map(Hash).collect(),
        };
        replay::prove(
            &place.bench,
            (&evidence, outcome.score.map(|score| score.bpb)),
            &component,
            (None, &|_| None),
            &mut |_| (),
        )
        .unwrap()
    };
    let honest = claims(&guest("guests/causal_models"));
    assert!(honest.identical, "{:?}", honest.difference);
    // It copies the next token near the end of a row, which a rare choice of probes does not see.
    let peeks = "fn peeks(net: &Net, tokens: &Tensor) -> Tensor {
        let (rows, time) = (tokens.size(0), tokens.size(1));
        let (seen, honest) = (tokens.cast(DType::F32).read(), model(net, tokens));
        let next: Vec<u32> = (0..rows * time).map(|at| *seen.get(at + 1).unwrap_or(&0.0) as u32).collect();
        let trust: Vec<f32> = (0..rows * time).map(|at| if (28..time - 1).contains(&(at % time)) { 40.0 } else { 0.0 }).collect();
        let next = Tensor::from_u32([rows, time], &next).one_hot(honest.size(2)).cast(DType::F32);
        honest + next * Tensor::from_f32([rows, time, 1], &trust)
    }\n\nguest!(train, peeks);";
    let refuted = claims(&guest("guests/tiny").replace("guest!(train, model);", peeks));
    let difference = refuted.difference.unwrap();
    assert!(
        difference.starts_with("with other probes than those of the claim the model fails: bad-eval"),
        "{difference}"
    );
}

#[test]
fn a_dry_run_of_an_older_version_is_proved_when_it_is_needed() {
    let place = Place::new();
    let candidate = place.bench.prepare(&guest("guests/tiny")).unwrap();
    let manifest = place.bench.manifest(&candidate.component, 0);
    let older = DryRun { causality: None, ..candidate.dry_run.clone() };
    place.bench.store.put_dry_run(&manifest, &Ok(older)).unwrap();
    assert_eq!(place.bench.prepare(&guest("guests/tiny")).unwrap().dry_run, candidate.dry_run);
}

/// `cargo test --release --test end_to_end -- --ignored --nocapture causality::what_a_proof_costs`
#[test]
#[ignore = "measures this machine"]
fn what_a_proof_costs() {
    let place = Place::new();
    let seed = std::fs::read_to_string(crate::common::guest_path("../guest-sdk/seeds/gpt")).unwrap();
    let masked = guest("guests/small_ops").replace("HIDDEN: f32 = -1e9", "HIDDEN: f32 = f32::NEG_INFINITY");
    for (name, text) in [("seed guest", seed), ("attention of small operations", masked)] {
        let component = place.compile(&text);
        let spec = RunSpec {
            context: 128,
            limits: Limits::default(),
            budget_ps: 1_000_000_000_000,
            ..place.bench.spec.clone()
        };
        let sandbox = &place.bench.sandbox;
        let train = &place.bench.task.train;
        let trained = sandbox.train(component.bytes(), &spec, train, None, &mut |_| ControlFlow::Continue(()));
        let state = trained.state.unwrap_or_else(|| panic!("{name}: {}", trained.status));
        // As many chunks as the policy `smoke` scores.
        let chunk = |start: usize| train.iter().cycle().skip(start).take(129).copied().collect();
        let input = EvalInput { chunks: (0..128).map(chunk).collect(), forward_cap_ps_per_token: 0, probe_seed: 0 };
        let measured = || measure::causality(component.bytes(), &spec, &state, &input).unwrap();
        let mut runs = [(); 5].map(|()| measured());
        runs.sort();
        let [proof, evaluation] = runs[2].map(|time| time.as_secs_f64() * 1e3);
        println!("{name}: proof {proof:.1} ms of {evaluation:.1} ms, {:.1}%", 100.0 * proof / evaluation);
    }
}
