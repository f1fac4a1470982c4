//! Experiment keys and results. Honest guests give bit-identical results on every run, and the three keys detect
//! repeats.

use crate::common::{Place, guest};
use nightlab::data::Split;
use nightlab::experiment::prepare::Candidate;
use nightlab::experiment::replay::{replay, replay_interval};
use nightlab::guest::source::Source;
use nightlab::record::key::BehaviourKey;
use nightlab::record::outcome::Status;

fn tiny(place: &Place) -> Candidate {
    place.bench.prepare(&guest("guests/tiny")).unwrap()
}

#[test]
fn an_honest_guest_trains_and_scores() {
    let place = Place::new();
    for name in ["guests/tiny", "guests/ema"] {
        let run = place.run(&place.compile(&guest(name)), 1);
        assert_eq!(run.outcome.status, Status::Completed, "{name}");
        let score = run.outcome.score.unwrap();
        assert!(score.bpb < place.bench.task.unigram_bpb - 0.3, "{name}: {} bpb", score.bpb);
        assert_eq!(score.chunk_nats.len(), place.bench.task.search.len());
        assert_eq!(run.outcome.intervals.len(), place.bench.spec.intervals as usize);
        let losses = run.outcome.curve.iter().filter(|point| point.key == "loss").count() as u64;
        assert_eq!(losses, run.outcome.totals.steps);
    }
}

#[test]
fn threads_do_not_show_in_any_bit() {
    let mut place = Place::new();
    let component = place.compile(&guest("guests/tiny"));
    let alone = place.run(&component, 7).outcome;
    // A separate store, or the second run would only be looked up.
    let mut other = Place::new();
    other.bench.spec.threads = 2;
    let together = other.run(&component, 7).outcome;
    assert_eq!(alone, together);
    assert_eq!(alone.hash(), together.hash());
    place.bench.spec.threads = 2;
    assert!(place.run(&component, 7).wall.is_none(), "the number of threads is in the experiment's key");
}

#[test]
fn another_random_seed_is_another_run() {
    let place = Place::new();
    let component = place.compile(&guest("guests/tiny"));
    let (one, two) = (place.run(&component, 1), place.run(&component, 2));
    assert_ne!(one.key, two.key);
    assert_ne!(one.outcome.state, two.outcome.state);
    assert_eq!(one.outcome.totals.op_hash, two.outcome.totals.op_hash);
}

#[test]
fn the_dry_run_is_the_run() {
    let place = Place::new();
    for name in ["guests/tiny", "guests/ema"] {
        let candidate = place.bench.prepare(&guest(name)).unwrap();
        let run = place.run(&candidate.component, 3);
        let real = run.outcome.totals;
        assert_eq!(real, candidate.dry_run.train, "{name}");
        assert_eq!(run.outcome.fuel, candidate.dry_run.fuel, "{name}");
    }
}

#[test]
fn another_layout_is_the_same_source() {
    let place = Place::new();
    let text = guest("guests/tiny");
    let relaid = text.replace("    ", "\t").replace(";\n", "; // again\n\n");
    let (text, relaid) = (Source::parse(&text).unwrap(), Source::parse(&relaid).unwrap());
    assert_ne!(text.text(), relaid.text());
    assert_eq!(text.key(), relaid.key());
    let toolchain = place.bench.toolchain.as_ref().unwrap();
    assert_eq!(toolchain.compile_key(&text), toolchain.compile_key(&relaid));
}

#[test]
fn dead_code_makes_another_component_that_behaves_the_same() {
    let place = Place::new();
    let text = guest("guests/tiny");
    let branch = "    if lab.task().vocab == 7 {\n        lab.log_number(\"seven\", 7.0);\n    }\n    let net = init(";
    let padded = text.replacen("    let net = init(", branch, 1);
    assert_ne!(text, padded);
    let (plain, padded) = (tiny(&place), place.bench.prepare(&padded).unwrap());
    assert_ne!(plain.source_key, padded.source_key);
    assert_ne!(plain.component.key(), padded.component.key());
    assert!(plain.behaviour.is_some());
    assert_eq!(plain.behaviour, padded.behaviour);
    let faster = place.bench.prepare(&text.replace("LR: f32 = 0.02", "LR: f32 = 0.03")).unwrap();
    assert_ne!(plain.behaviour, faster.behaviour);
}

/// A guest that lowers its rate when the loss rises, so its behaviour depends on values that it reads.
fn reader() -> String {
    let text = guest("guests/tiny");
    let text = text.replace(
        "adam.step(&loss.backward(), 1.0 - lab.progress());",
        "let now = loss.item();\n        if now > last { rate *= 0.98; }\n        last = now;\n        adam.step(&loss.backward(), rate);",
    );
    text.replace("    while let", "    let (mut last, mut rate) = (f32::MAX, 1.0);\n    while let")
}

#[test]
fn a_guest_that_reads_values_replays_but_has_no_behaviour() {
    let place = Place::new();
    let candidate = place.bench.prepare(&reader()).unwrap();
    assert!(candidate.dry_run.advisory);
    assert_eq!(BehaviourKey::new(&candidate.dry_run), None);
    let run = place.run(&candidate.component, 1);
    assert_eq!(run.outcome.read_log.len() as u64, run.outcome.totals.steps);
    let record = run.record.unwrap();
    let again = replay(&place.bench, &record, &candidate.component, &mut |_| {}).unwrap();
    assert!(again.identical, "{again:?}");
    let last = run.outcome.intervals.len() as u32 - 1;
    let part = replay_interval(&place.bench, &record, &candidate.component, last, &mut |_| {}).unwrap();
    assert!(part.identical, "{part:?}");
}

#[test]
fn a_replay_is_identical_on_any_number_of_threads() {
    let mut place = Place::new();
    let component = place.compile(&guest("guests/tiny"));
    let record = place.run(&component, 1).record.unwrap();
    for threads in [1, 2] {
        place.bench.spec.threads = threads;
        let found = replay(&place.bench, &record, &component, &mut |_| {}).unwrap();
        assert!(found.identical && found.compared == place.bench.spec.intervals, "{found:?}");
    }
}

#[test]
fn a_replay_that_differs_names_the_first_interval() {
    let place = Place::new();
    let component = place.compile(&guest("guests/tiny"));
    let mut record = place.run(&component, 1).record.unwrap();
    record.manifest.random_seed = 2;
    let found = replay(&place.bench, &record, &component, &mut |_| {}).unwrap();
    assert_eq!((found.identical, found.interval), (false, Some(0)), "{found:?}");
}

#[test]
fn every_interval_can_be_executed_alone() {
    let place = Place::new();
    let component = place.compile(&guest("guests/ema"));
    let run = place.run(&component, 1);
    let record = run.record.unwrap();
    for interval in 1..run.outcome.intervals.len() as u32 {
        let found = replay_interval(&place.bench, &record, &component, interval, &mut |_| {}).unwrap();
        assert!(found.identical, "{found:?}");
        assert!(found.steps <= run.outcome.totals.steps);
    }
    assert!(replay_interval(&place.bench, &record, &component, 0, &mut |_| {}).is_err());
}

#[test]
fn a_damaged_blob_costs_a_run_and_is_mended() {
    let place = Place::new();
    let component = place.compile(&guest("guests/tiny"));
    let first = place.run(&component, 1);
    let record = first.record.clone().unwrap();
    let state = nightlab::record::key::Hash(first.outcome.state.unwrap());
    let path = place.bench.store.blob_path(&state);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = place.bench.store.model(&record).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    let again = place.run(&component, 1);
    assert!(again.wall.is_some(), "a damaged record is run again");
    assert_eq!(again.outcome, first.outcome);
    assert!(place.run(&component, 1).wall.is_none(), "the same bits mend it");
}

#[test]
fn the_sealed_split_is_read_once_for_each_model() {
    let place = Place::new();
    let run = place.run(&place.compile(&guest("guests/tiny")), 1);
    let component = place.compile(&guest("guests/tiny"));
    let look = || place.bench.known_score(&component, &run, Split::Test, "report", &|| false).unwrap().unwrap();
    assert_eq!(look(), look());
    assert_eq!(place.bench.store.count_scores(&place.bench.task.hash(), "test").unwrap(), 1);
}
