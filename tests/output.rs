//! Output is not the night: readers that go away, closed terminals and files that cannot be written.

use crate::common::home::{Home, Running, said, trials};
use crate::common::tiny;
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

fn log(home: &Home) -> Vec<Value> {
    trials(&home.host(&["log", "--json"]))
}

/// A home whose seed guest learns slowly, and `better.rs`, which is kept.
fn home_with_a_gain() -> Home {
    let home = Home::new();
    std::fs::write(home.path("better.rs"), tiny("0.02")).unwrap();
    home.start_slowly("night.toml", "0.002");
    home
}

fn try_better(home: &Home) -> String {
    let tried = home.host(&["try", "better.rs", "--policy", "./night.toml"]);
    assert_eq!(tried.status.code(), Some(0), "{}", said(&tried));
    said(&tried)
}

#[test]
fn a_night_whose_reader_goes_away_goes_on() {
    let home = Home::new();
    let mut command = home.command(&["run", "--policy", "./night.toml"]);
    let mut night = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(night.stdout.take());
    assert_eq!(night.wait().unwrap().code(), Some(0));
    assert!(log(&home).iter().filter(|trial| trial["bpb"].is_number()).count() >= 2);
}

/// The terminal closes: the night ends in order.
#[test]
fn the_end_of_the_terminal_ends_a_night_in_order() {
    let home = Home::new();
    home.write_policy("night.toml", 0.04, 500);
    let mut night = Running::start(&home, "./night.toml");
    let mut told = night.events();
    night.wait_for(&mut told, "trial");
    assert!(Command::new("kill").args(["-HUP", &night.id().to_string()]).status().unwrap().success());
    let summary = night.wait_for(&mut told, "summary");
    assert_eq!(summary["interrupted"], true);
    assert!(home.path(".host/report.md").is_file());
}

#[test]
fn a_night_that_was_started_by_nohup_outlives_the_terminal() {
    let home = Home::new();
    let mut command = Command::new("nohup");
    let inner = home.command(&["--json", "run", "--policy", "./night.toml"]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(home.path(""));
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).process_group(0);
    let mut night = Running::of(&mut command);
    let mut told = night.events();
    night.wait_for(&mut told, "baseline");
    assert!(Command::new("kill").args(["-HUP", &night.id().to_string()]).status().unwrap().success());
    assert_eq!(night.wait_for(&mut told, "summary")["interrupted"], false);
}

#[test]
fn files_for_people_never_end_a_night() {
    let home = Home::new();
    for name in ["results.tsv", "report.md", "report.html", "champion"] {
        std::fs::create_dir_all(home.path(".host").join(name)).unwrap();
        std::fs::write(home.path(".host").join(name).join("in the way"), "").unwrap();
    }
    let night = home.host(&["run", "--policy", "./night.toml"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    assert!(said(&night).contains("results.tsv"), "{}", said(&night));
    assert!(said(&night).contains("report.html"), "{}", said(&night));
}

#[test]
fn a_keep_has_its_report_and_champion_at_once_and_again_if_they_are_lost() {
    let home = home_with_a_gain();
    assert!(try_better(&home).contains("keep"));
    let champion = || std::fs::read_to_string(home.path(".host/champion/train.rs")).unwrap_or_default();
    let report = || std::fs::read_to_string(home.path(".host/report.md")).unwrap_or_default();
    assert_eq!(champion(), tiny("0.02"));
    assert!(report().contains("Champion: trial #1"), "{}", report());
    assert!(home.path(".host/champion/model.safetensors").is_file());
    // As if the process had been killed after the keep.
    std::fs::remove_dir_all(home.path(".host/champion")).unwrap();
    std::fs::remove_file(home.path(".host/report.md")).unwrap();
    assert!(try_better(&home).contains("same"));
    assert_eq!(champion(), tiny("0.02"));
    assert!(report().contains("Champion: trial #1"), "{}", report());
}
