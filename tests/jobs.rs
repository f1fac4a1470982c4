//! Several experiments run at the same time, and this changes no decision and no stored result.

use crate::common::home::{Home, lines, said, trials};
use crate::common::{HOST, Place, guest, tiny, unlucky};
use nightlab::experiment::batch::Run;
use nightlab::experiment::judge::{Experience, Noise, Selection};
use nightlab::experiment::prepare::Candidate;
use nightlab::experiment::runner::Experiment;
use nightlab::night::{Champion, Contest, Depth, Judgement, Seen, Stop};
use nightlab::record::ending::Ending;
use nightlab::record::outcome::{HostFault, Status};
use nightlab::record::trial::Findings;
use nightlab::sandbox::Sandbox;
use serde_json::Value;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// All rows of a query, as text.
fn rows(home: &Home, store: &str, sql: &str) -> Vec<String> {
    let db = rusqlite::Connection::open(home.path(store).join("index.sqlite")).unwrap();
    let mut statement = db.prepare(sql).unwrap();
    let width = statement.column_count();
    let row = |row: &rusqlite::Row| (0..width).map(|i| Ok(format!("{:?}", row.get_ref(i)?))).collect();
    let rows: Vec<Vec<String>> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
    rows.into_iter().map(|row| row.join(" ")).collect()
}

/// The trials in `results.tsv`, without their times.
fn results(home: &Home, store: &str) -> Vec<String> {
    let text = std::fs::read_to_string(home.path(store).join("results.tsv")).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split('\t').collect();
    let time = header.iter().position(|name| *name == "seconds").unwrap_or_else(|| panic!("{header:?}"));
    let without = |line: &str| {
        let mut cells: Vec<&str> = line.split('\t').collect();
        cells.remove(time);
        cells.join("\t")
    };
    text.lines().map(without).collect()
}

#[test]
fn a_night_is_the_same_with_any_number_of_jobs() {
    let home = Home::new();
    std::fs::write(home.path("better.rs"), tiny("0.02")).unwrap();
    home.start_slowly("night.toml", "0.004");
    home.set("night.toml", "selection.most_seeds", 6);
    let night = |store: &str, jobs: &str| {
        let host = |args: &[&str]| {
            let common = ["--store", store, "--jobs", jobs, "--threads", "2", "--json"];
            let output = home.host(&[&common, args].concat());
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            output
        };
        host(&["try", "better.rs", "--policy", "./night.toml"]);
        let summary = lines(&host(&["run", "--policy", "./night.toml", "--experiments", "1"])).pop().unwrap();
        let verdicts: Vec<Value> = trials(&host(&["log"])).iter().map(|trial| trial["verdict"].clone()).collect();
        assert_eq!(verdicts[0], "keep", "further random seeds and the confirm split are part of it");
        (
            results(&home, store),
            rows(&home, store, "SELECT key, outcome_hash FROM experiments ORDER BY rowid"),
            rows(&home, store, "SELECT * FROM runs ORDER BY rowid"),
            rows(&home, store, "SELECT * FROM checkpoints ORDER BY 1, 2"),
            rows(&home, store, "SELECT experiment_key, split, bpb, purpose FROM scores ORDER BY rowid"),
            [summary["runs"].clone(), summary["test_bpb"].clone(), summary["sample"].clone()],
        )
    };
    let one = night("one", "1");
    assert_eq!(one, night("two", "2"));
}

#[test]
fn a_search_is_the_same_with_any_number_of_jobs() {
    let home = Home::new();
    let search = |store: &str, jobs: &str| {
        let guest = crate::common::guest_path("guests/tiny");
        let args = ["--store", store, "--json", "--jobs", jobs, "--threads", "2", "search", "--policy", "./night.toml"];
        let best = format!("{store}.rs");
        let rest = ["--trials", "3", "--guest", guest.to_str().unwrap(), "--write", &best];
        let output = home.host(&[&args[..], &rest].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        (lines(&output), std::fs::read_to_string(home.path(&best)).unwrap())
    };
    let (one, best) = search("one", "1");
    assert_eq!(one.iter().map(|point| point["number"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(one.iter().all(|point| point["bpb"].is_number()), "{one:?}");
    assert_eq!((one, best), search("three", "3"), "more jobs than threads");
}

fn run(place: &Place, candidate: &Candidate, random_seeds: &[u64]) -> Vec<Run> {
    let component = &candidate.component;
    let batch: Vec<_> = random_seeds.iter().map(|&random_seed| Experiment { component, random_seed }).collect();
    place.bench.run(&batch, &mut |_, _| {}, &|| false).unwrap()
}

#[test]
fn a_batch_trains_at_the_same_time_and_a_stop_ends_all_of_it() {
    let mut place = Place::new();
    place.bench.spec.budget_ps = 600_000_000_000_000;
    place.bench.spec.limits.max_ops = u64::MAX;
    let component = &place.compile(&guest("guests/tiny"));
    let batch = [1, 2].map(|random_seed| Experiment { component, random_seed });
    // Each one would train for ten minutes. The second one reports progress only if it does not wait for the first.
    let heard = [AtomicBool::new(false), AtomicBool::new(false)];
    let mut tell = |i: usize, _: &_| heard[i].store(true, Ordering::Relaxed);
    let both = || heard.iter().all(|heard| heard.load(Ordering::Relaxed));
    let runs = place.bench.run(&batch, &mut tell, &both).unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        let Status::HostFault { kind: HostFault::Interrupted, .. } = run.outcome.status else {
            panic!("{:?}", run.outcome.status)
        };
        assert!(run.record.is_none());
    }
}

#[test]
fn what_ended_is_recorded_though_another_one_crashed() {
    let mut place = Place::new();
    let candidate = place.bench.prepare(&guest("guests/tiny")).unwrap();
    // The first child to start crashes.
    let (first, helper) = (place.folder.path().join("first"), place.folder.path().join("helper"));
    let script = format!("#!/bin/sh\n/bin/mkdir {first:?} 2>/dev/null && exit 7\nexec {HOST:?} \"$@\"\n");
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    place.bench.sandbox = Sandbox::new(Some(helper));
    let runs = run(&place, &candidate, &[1, 2, 3]);
    let crashed = |run: &Run| matches!(run.outcome.status, Status::HostFault { kind: HostFault::Crashed, .. });
    assert_eq!(runs.iter().filter(|run| crashed(run)).count(), 1, "{runs:?}");
    assert!(runs.iter().all(|run| run.record.is_none() == crashed(run)));
    let again = run(&place, &candidate, &[1, 2, 3]);
    for (first, again) in runs.iter().zip(&again) {
        assert_eq!(again.outcome.status, Status::Completed);
        assert_eq!(again.wall.is_some(), crashed(first), "only what crashed is run again");
        assert_eq!(again.key, first.key, "in the order of the batch");
    }
}

#[test]
fn what_ran_ahead_and_was_not_needed_belongs_to_no_trial() {
    let judge = |jobs: usize| {
        let mut place = Place::new();
        place.bench.jobs = NonZeroUsize::new(jobs).unwrap();
        let candidate = place.bench.prepare(&tiny("0.004")).unwrap();
        let champion = Champion { trial: 0, candidate, description: "slow".into() };
        let trial = place.bench.prepare(&unlucky(&tiny("0.02"))).unwrap();
        let seeds: Vec<u64> = (1..=16).collect();
        let (lucky, others): (Vec<_>, Vec<_>) = {
            let elsewhere = Place::new();
            let runs = run(&elsewhere, &trial, &seeds);
            seeds.into_iter().zip(runs).partition(|(_, run)| run.outcome.status == Status::Completed)
        };
        let contest = Contest {
            bench: &place.bench,
            champion: &champion,
            noise: Noise::prior(3.0),
            rule: &Selection { least_seeds: 4, most_seeds: 4, ..Selection::default() },
            experience: &Experience::default(),
            operator: "b",
            seen: &Seen::default(),
            seeds: &[lucky[0].0, lucky[1].0, others[0].0, lucky[2].0],
            rungs: &[],
            depth: Depth::Judge,
            stop: &Stop::new(),
        };
        let Some(judged) = contest.judge(&trial.text, &mut |_| {}).unwrap() else { panic!("stopped") };
        let ahead = place.bench.manifest(&trial.component, lucky[2].0);
        (judged, place.bench.run_before(&ahead).unwrap().is_some())
    };
    let essence = |judged: &Judgement| (judged.found.clone(), judged.runs.clone(), judged.trained);
    let (one, ahead) = judge(1);
    let Findings { verdict, reason, .. } = &one.found;
    assert_eq!((*verdict, reason.contains("no luck"), one.trained), (Ending::Failed, true, 5), "{one:?}");
    assert!(!ahead, "one at a time runs what is needed");
    let (six, ahead) = judge(6);
    assert_eq!(essence(&one), essence(&six));
    assert!(ahead, "six at a time run all of it");
}
