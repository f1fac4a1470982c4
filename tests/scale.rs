//! A store with many trials: what it costs before the first trial of a night, and to list.

use crate::common::home::{Home, Running};
use nightlab::record::key::{Hash, SourceKey};
use nightlab::record::store::{AnswerOutcome, Finished, NewAnswer, Role, Store};
use std::process::Stdio;

/// Seconds of processor time that a process has used so far.
fn processor_seconds(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in ticks of 10 ms.
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Adds trials to the last night of a store: each with a source, an answer and an experiment of its own.
pub fn add_trials(store: &Store, count: u64) {
    let night = store.nights().unwrap().pop().unwrap();
    let last = store.trials_in(&night.context).unwrap().pop().unwrap().trial;
    let source = String::from_utf8(store.get_blob(&last.source_blob).unwrap()).unwrap();
    let record = store.find_experiment(&last.found.experiment.unwrap()).unwrap().unwrap();
    let outcome = store.outcome(&record).unwrap();
    let state = store.get_blob(&record.state_blob.unwrap()).unwrap();
    for number in last.number + 1..=last.number + count {
        let source = format!("{source}\nconst TRIAL: u64 = {number};\n");
        let mut manifest = record.manifest.clone();
        manifest.random_seed = number;
        store
            .record_experiment(&Finished {
                manifest: &manifest,
                outcome: &outcome,
                state: Some(&state),
                checkpoints: &[],
                evaluation: None,
                finished_unix_ms: 1,
                wall_ms: 1,
                word: None,
            })
            .unwrap();
        let answer = NewAnswer {
            first: None,
            unix_ms: 1,
            proposer: "evolve",
            parent: 0,
            outcome: AnswerOutcome::Ready,
            stage: None,
            fault: "",
            text: Some(&source),
            hypothesis: "",
            description: "a constant",
            operator: "constant",
            sent: None,
            wall_ms: 1,
        };
        let mut trial = last.clone();
        trial.number = number;
        trial.proposal = Some(store.add_answer(night.id, &answer, &[]).unwrap());
        trial.source_blob = Hash::of(source.as_bytes());
        trial.found.source_key = Some(SourceKey::of(source.as_bytes()));
        trial.found.experiment = Some(manifest.key());
        store.add_trial(night.id, &trial, &[(manifest.key(), Role::Search)]).unwrap();
    }
}

/// Processor seconds that something took with many trials.
struct Took {
    /// Until the first trial began.
    begin: f64,
    log: f64,
    report: f64,
    /// Size of the report in bytes.
    page: u64,
}

fn measure(count: u64) -> Took {
    let home = Home::new();
    assert!(home.host(&["run", "--policy", "./night.toml"]).status.success());
    // On a disk, each of the writes would wait for it.
    let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let at = memory.path().join("store");
    std::process::Command::new("cp").arg("-r").arg(home.path(".host")).arg(&at).status().unwrap();
    add_trials(&Store::open(&at).unwrap(), count);
    std::fs::remove_dir_all(home.path(".host")).unwrap();
    std::os::unix::fs::symlink(&at, home.path(".host")).unwrap();
    home.write_policy("longer.toml", 0.04, count as u32 + 100);
    let log = seconds_of(&home, &["log"]);
    let report = seconds_of(&home, &["report", "--to", "."]);
    let page = std::fs::metadata(home.path("report.html")).unwrap().len();
    let mut night = Running::start(&home, "./longer.toml");
    let mut events = night.events();
    // The baseline, which is number 0, may be told to have started too.
    while night.wait_for(&mut events, "started")["number"] == 0 {}
    Took { begin: processor_seconds(night.id()), log, report, page }
}

fn seconds_of(home: &Home, command: &[&str]) -> f64 {
    let mut child = home.command(command).stdout(Stdio::null()).spawn().unwrap();
    let mut seconds = 0.0;
    while child.try_wait().unwrap().is_none() {
        seconds = processor_seconds(child.id());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    seconds
}

/// What does not depend on the number of trials is in the bound: a toolchain, a task, a baseline.
#[test]
fn many_trials_cost_little() {
    let Took { begin, log, report, page } = measure(1_500);
    assert!(begin < 12.0 && log < 1.0, "{begin} s before the first trial, {log} s to list");
    // Five thousand bytes for each trial.
    assert!(report < 12.0 && page < 7_500_000, "{report} s to report, {page} bytes");
}

#[test]
#[ignore = "takes minutes; `cargo test --release --test end_to_end scale:: -- --ignored --nocapture` prints figures"]
fn figures_of_many_trials() {
    for count in [10_000, 100_000] {
        let Took { begin, log, report, page } = measure(count);
        println!(
            "{count} trials: {begin:.2} s before the first trial, {log:.2} s to list, {report:.2} s to report in {page} bytes"
        );
    }
}
