//! Nights as their owner sees them: who proposed what, at what cost; what is written while something trains; the same
//! night again from the store.

mod common;

use common::home::{Home, said, trials};
use serde_json::Value;

fn log(home: &Home) -> Vec<Value> {
    trials(&home.host(&["log", "--json"]))
}

/// What a trial was and how it ended, without its times.
fn essence(trial: &Value) -> Vec<Value> {
    ["number", "parent", "source_key", "description", "verdict", "bpb", "delta"].map(|key| trial[key].clone()).to_vec()
}

#[test]
fn a_night_with_evolve_alone_is_the_same_every_time() {
    let night = || {
        let home = Home::new();
        home.write_policy("night.toml", 0.1, 5);
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
    assert_eq!(first.iter().map(essence).collect::<Vec<_>>(), second.iter().map(essence).collect::<Vec<_>>());
    assert!(second.iter().all(|trial| trial["proposer"] == "recorded"));
    let missing = home.host(&["run", "--policy", "./night.toml", "--from-recorded", "77"]);
    assert!(said(&missing).contains("night 77 has no recorded proposals"), "{}", said(&missing));
}
