//! Nights: who proposed each trial and its cost, the files that are written while something trains, and a night
//! replayed from the store.

use crate::common::home::{Home, Running, said, trials};
use crate::common::{Place, guest, tiny, unlucky};
use nightlab::experiment::judge::{Experience, Noise, Selection};
use nightlab::experiment::runner::Experiment;
use nightlab::guest::component::Component;
use nightlab::night::{Champion, Contest, Depth, Night, Outsider, Plan, Seen, Stop};
use nightlab::policy::Policy;
use nightlab::record::ending::Ending;
use nightlab::record::outcome::Status;
use nightlab::record::retention::Retention;
use nightlab::record::store::{ExperimentRecord, Model};
use serde_json::Value;

fn log(home: &Home) -> Vec<Value> {
    trials(&home.host(&["log", "--json"]))
}

/// A trial's content and result, without its times.
fn essence(trial: &Value) -> Vec<Value> {
    ["number", "parent", "source_key", "description", "verdict", "bpb", "delta"].map(|key| trial[key].clone()).to_vec()
}

#[test]
fn a_night_with_evolve_alone_is_the_same_every_time() {
    let night = || {
        let home = Home::new();
        home.write_policy("night.toml", 0.04, 5);
        let night = home.host(&["run", "--policy", "./night.toml"]);
        assert_eq!(night.status.code(), Some(0), "{}", said(&night));
        log(&home).iter().map(essence).collect::<Vec<_>>()
    };
    let first = night();
    assert!(first.len() >= 5, "{first:?}");
    assert_eq!(first, night());
}

#[test]
fn a_recorded_night_runs_again_without_whoever_wrote_it() {
    let home = Home::new();
    let nothing = home.host(&["run", "--policy", "./night.toml", "--from-recorded"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(said(&nothing).contains("no night of this store has recorded proposals"), "{}", said(&nothing));
    let night = home.host(&["run", "--policy", "./night.toml"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    let first = log(&home);

    let again = home.host(&["--json", "run", "--policy", "./night.toml", "--from-recorded", "1"]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let second = log(&home).split_off(first.len());
    // A recorded proposal is at hand before the trial in front of it is judged, so its parent may be an older champion.
    let results = |trials: &[Value]| -> Vec<Vec<Value>> {
        let without_parent = |mut of: Vec<Value>| {
            of.remove(1);
            of
        };
        trials.iter().map(|trial| without_parent(essence(trial).to_vec())).collect()
    };
    assert_eq!(results(&first), results(&second));
    assert!(second.iter().all(|trial| trial["proposer"] == "recorded"));
    let missing = home.host(&["run", "--policy", "./night.toml", "--from-recorded", "77"]);
    assert!(said(&missing).contains("night 77 has no recorded proposals"), "{}", said(&missing));
}

#[test]
fn a_trial_that_was_not_kept_loses_its_weights_in_time_and_they_can_be_made_again() {
    let place = Place::new();
    let bench = &place.bench;
    let rules = Retention { keep_runs: 1, quota_gb: 1.0 };
    let policy = Policy { store: rules, ..Policy::load("smoke").unwrap() };
    let seed_guest = bench.prepare(&guest("guests/tiny")).unwrap();
    let plan = Plan::for_one(&policy, "smoke", "", seed_guest.clone());
    let (stop, mut tell) = (Stop::new(), |_| {});
    let mut night = Night::begin(bench, plan, &stop, &mut tell).unwrap();
    let mut attempt = |source: String| {
        let outsider = Outsider { author: "inbox", operator: "file", source, hypothesis: String::new() };
        night.try_text(outsider).unwrap().unwrap()
    };
    let slower = tiny("0.002");
    let slower = (bench.prepare(&slower).unwrap().component, attempt(slower));
    assert_eq!(slower.1.trial.found.verdict, Ending::Discard, "{:?}", slower.1);
    // Like an experiment that ran ahead and was not used.
    bench.run(&[Experiment { component: &slower.0, random_seed: 77 }], &mut |_, _| {}, &|| false).unwrap();
    let with_weights = |component: &Component| {
        let runs = bench.store.experiments_of(&component.key()).unwrap();
        let is_kept = |run: &&ExperimentRecord| matches!(bench.store.model(run), Ok(Model::Kept(_)));
        let has_checkpoints = |run: &&ExperimentRecord| !bench.store.checkpoints(&run.key).unwrap().is_empty();
        [runs.len(), runs.iter().filter(is_kept).count(), runs.iter().filter(has_checkpoints).count()]
    };
    assert_eq!(with_weights(&slower.0), [2, 2, 2]);
    assert_eq!(attempt("no Rust".into()).trial.found.verdict, Ending::Refused);
    assert_eq!(with_weights(&slower.0), [2, 1, 1], "the last run keeps its own");
    assert_eq!(with_weights(&seed_guest.component), [3, 1, 1], "the baseline keeps those of its first run");

    let key = slower.1.trial.found.experiment.unwrap();
    let record = bench.store.find_experiment(&key).unwrap().unwrap();
    assert!(matches!(bench.store.model(&record), Ok(Model::LetGo(_))));
    let again = bench.run_before(&record.manifest).unwrap();
    assert!(again.is_some_and(|run| run.outcome.status == Status::Completed), "it is not trained again for its score");
    let made = bench.model(&slower.0, &record, &mut |_| {}, &|| false).unwrap().unwrap();
    let record = bench.store.find_experiment(&key).unwrap().unwrap();
    assert_eq!(bench.store.model(&record).unwrap(), Model::Kept(made));
}

#[test]
fn the_collection_says_what_it_frees_and_a_model_that_was_let_go_still_writes() {
    let home = Home::new();
    let night = home.host(&["run", "--policy", "./night.toml"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    let gc = |args: &[&str]| -> Value {
        let output = home.host(&[&["--json", "store", "gc"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(gc(&["--dry-run"])["runs"], 0, "the default rules keep the few runs of this night");
    let policy = std::fs::read_to_string(home.path("night.toml")).unwrap();
    std::fs::write(home.path("night.toml"), policy + "\n[store]\nkeep_runs = 0\n").unwrap();
    std::fs::write(home.path("no.rs"), "no Rust").unwrap();
    home.host(&["try", "no.rs", "--policy", "./night.toml"]);
    assert_eq!(gc(&["--dry-run"])["runs"], 0, "the trial let go of what there was");

    let trial = log(&home).into_iter().find(|trial| trial["verdict"] != "keep" && trial["experiment"].is_string());
    let key = trial.unwrap()["experiment"].as_str().unwrap().to_owned();
    let show = || -> Value { serde_json::from_slice(&home.host(&["--json", "show", &key]).stdout).unwrap() };
    assert_eq!(show()["model"], "let-go");
    let sample = || home.host(&["sample", "--experiment", &key, "--prompt", "oak ", "--length", "9"]);
    let (first, second) = (sample(), sample());
    let words = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(words.contains("were let go to save space: training it again"), "{}", said(&first));
    assert!(second.stderr.is_empty() && first.stdout == second.stdout, "{}", said(&second));
    assert_eq!(show()["model"], "kept");
    let checked = home.host(&["store", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    let would = gc(&["--dry-run"]);
    assert_eq!((&would["runs"], &would["weights_bytes"]), (&1.into(), &gc(&[])["weights_bytes"]));
    assert_eq!(show()["model"], "let-go");
}

#[test]
fn a_champion_that_fails_says_nothing_against_the_candidate() {
    let place = Place::new();
    let candidate = place.bench.prepare(&unlucky(&tiny("0.004"))).unwrap();
    let completes = |seed: &u64| place.run(&candidate.component, *seed).outcome.status == Status::Completed;
    let (lucky, others): (Vec<u64>, Vec<u64>) = (1..=16).partition(completes);
    let champion = Champion { trial: 0, candidate: candidate.clone(), description: "fails now and then".into() };
    let contest = Contest {
        bench: &place.bench,
        champion: &champion,
        noise: Noise::prior(3.0),
        rule: &Selection::default(),
        experience: &Experience::default(),
        operator: "b",
        seen: &Seen::default(),
        seeds: &[lucky[0], others[0]],
        rungs: &[],
        depth: Depth::Judge,
        stop: &Stop::new(),
    };
    let Some(judged) = contest.judge(&tiny("0.02"), &mut |_| {}).unwrap() else { panic!("stopped") };
    assert_eq!((judged.found.verdict, judged.runs.len()), (Ending::Noise, 4), "{judged:?}");
    let reason = &judged.found.reason;
    assert!(
        reason.starts_with("not proven on 1 random seed: the champion failed") && reason.contains("no luck"),
        "{judged:?}"
    );
}

#[test]
fn the_policys_bound_holds_over_restarts_and_the_command_lines_from_now() {
    let home = Home::new();
    home.write_policy("night.toml", 0.04, 4);
    let trained = || log(&home).iter().filter(|trial| trial["bpb"].is_number()).count();
    let mut night = Running::start(&home, "./night.toml");
    let mut told = night.events();
    night.wait_for(&mut told, "trial");
    night.wait_for(&mut told, "trial");
    drop(night);
    let before = trained();
    assert!((1..4).contains(&before), "{before}");
    let run = |args: &[&str]| {
        let ran = home.host(&[&["run", "--policy", "./night.toml"], args].concat());
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    };
    run(&[]);
    assert_eq!(trained(), 4, "the night goes on to its own end");
    run(&["--experiments", "1"]);
    assert_eq!(trained(), 5);
    run(&[]);
    assert_eq!(trained(), 8, "a night that only the command line ended goes on");
}

/// A screening decides nothing, and a later trial goes on from its run.
#[test]
fn what_was_screened_is_recorded_and_may_be_tried() {
    let home = Home::new();
    std::fs::write(home.path("new.rs"), tiny("0.002")).unwrap();
    let host = |args: &[&str]| {
        let output = home.host(&[args, &["new.rs", "--policy", "./night.toml"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    };
    let screened = host(&["try", "--screen"]);
    assert!(screened.contains("screened"), "{screened}");
    assert!(host(&["try", "--screen"]).contains("the same source as #1"));
    let tried = host(&["try"]);
    assert!(tried.contains("discard") && tried.contains("worse on 1 random seed"), "{tried}");
    let verdicts: Vec<_> = log(&home).iter().map(|trial| trial["verdict"].clone()).collect();
    assert_eq!(verdicts, ["screened", "same", "discard"]);
    assert_eq!(log(&home)[0]["experiment"], log(&home)[2]["experiment"], "its run counts");
}

#[test]
fn a_kept_mutation_meets_its_predecessor_again() {
    let home = Home::new();
    home.start_slowly("night.toml", "0.002");
    home.set("night.toml", "selection.recheck_every", 1);
    std::fs::write(home.path("better.rs"), tiny("0.01")).unwrap();
    let kept = home.host(&["try", "better.rs", "--policy", "./night.toml"]);
    assert!(said(&kept).contains("better on 2 random seeds, confirmed"), "{}", said(&kept));
    let night = home.host(&["run", "--policy", "./night.toml", "--experiments", "1"]);
    assert!(said(&night).contains("#1 met its predecessor again, on one more random seed: -0."), "{}", said(&night));
    // The night may keep more, which meets its predecessor too.
    assert!(["1 of 1", "2 of 2"].iter().any(|held| said(&night).contains(&format!("held again       {held} times"))));
    let report = std::fs::read_to_string(home.path(".host/report.md")).unwrap();
    assert!(report.contains("better 1 times of 1") || report.contains("better 2 times of 2"), "{report}");
}

#[test]
fn a_policy_of_the_first_version_runs_and_is_told_what_took_the_place_of_its_seeds() {
    let home = Home::new();
    let policy = std::fs::read_to_string(home.path("night.toml")).unwrap();
    std::fs::write(home.path("night.toml"), policy.replace("most_seeds = 4", "fresh_seeds = 2")).unwrap();
    let night = home.host(&["run", "--policy", "./night.toml", "--experiments", "1"]);
    assert!(night.status.success(), "{}", said(&night));
    assert!(said(&night).contains("policy           selection.fresh_seeds has no effect"), "{}", said(&night));
    let checked = home.host(&["policy", "check", "./night.toml"]);
    assert!(said(&checked).contains("selection.fresh_seeds has no effect"), "{}", said(&checked));
}

#[test]
fn a_rung_drops_what_is_hopeless_and_passes_the_rest() {
    let home = Home::new();
    home.start_slowly("night.toml", "0.005");
    home.set("night.toml", "selection.rungs", vec![0.02]);
    for (name, rate) in [("worse.rs", "0.003"), ("better.rs", "0.01")] {
        std::fs::write(home.path(name), tiny(rate)).unwrap();
    }
    let tried = |file: &str| said(&home.host(&["try", file, "--policy", "./night.toml"]));
    let worse = tried("worse.rs");
    assert!(worse.contains("0.02 s: baseline") && worse.contains("worse at 0.02 s: +"), "{worse}");
    tried("better.rs");
    let log = log(&home);
    assert_eq!((&log[0]["bpb"], &log[0]["experiment"]), (&Value::Null, &Value::Null), "figures of another kind");
    assert!(log[1]["bpb"].is_number() && log[1]["experiment"].is_string(), "{log:?}");
    let report = home.host(&["report", "--seal"]);
    assert!(said(&report).contains("shorter runs"), "{}", said(&report));

    home.set("night.toml", "selection.rungs", vec![0.02, 0.01]);
    let refused = said(&home.host(&["policy", "check", "./night.toml"]));
    assert!(refused.contains("selection.rungs: budgets in seconds, rising, all below budget.seconds"), "{refused}");
}
