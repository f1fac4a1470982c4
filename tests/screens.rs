//! Screens as users see them, each in a file in `snapshots/`. Times, hashes and values of this machine are replaced by
//! words in brackets. `INSTA_UPDATE=always cargo test --release --test end_to_end screens::` updates the files.

use crate::common::home::{Home, said};
use crate::common::{HOST, tiny};
use crate::manual::commands;
use std::process::{Command, Output};

/// Patterns for text that differs between machines, compilers and days, and the words that replace it.
const REDACTED: [(&str, &str); 17] = [
    (r"\b[0-9a-f]{64}\b", "[hash]"),
    (r"\b[0-9a-f]{12}\b", "[hash]"),
    (r"\b(show|replay) [0-9a-f]{8}\b", "$1 [hash]"),
    (r"bytes      [\d,]+", "bytes      [bytes]"),
    (r"data       [\d.]+ kB", "data       [bytes]"),
    (r"(?s)help: there is a method.*", "[the compiler's help]"),
    (r"rustc \d+\.\d+\.\d+[^,\n]*(, LLD [^,\n]*)?", "[compiler]"),
    (r"(/[^\s/]+)*/tests/guests/tiny.rs", "[guest]"),
    (r"\b\d+ (min \d\d s|h \d\d min)\b", "[time]"),
    (r"(in|took|after)( +)\d+ s\b", "$1$2[time]"),
    (r"\b\d\d:\d\d  ", "[time]  "),
    (r"fuel       [\d,]+", "fuel       [fuel]"),
    (r"Start from \S+/", "Start from [folder]/"),
    (r"wasm on, landlock \w+, seccomp \w+", "wasm on, [walls]"),
    (r"(?m)^     … .*\n", ""),
    // A proposal that waits when the night ends may be there or not, and then this table.
    (r"(?m)^ *proposer  proposed .*\n", ""),
    (r"(?m)^ *evolve {5,}\d+ .*\n", ""),
];

fn snapshot(name: &str, screen: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    REDACTED.iter().for_each(|(what, word)| settings.add_filter(what, *word));
    settings.bind(|| insta::assert_snapshot!(name, screen));
}

fn shown(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    said(output)
}

#[test]
fn help() {
    let page = |args: &[&str]| shown(&Command::new(HOST).args(args).arg("--help").output().unwrap(), 0);
    snapshot("help", &page(&[]));
    for command in commands(&[]) {
        snapshot(&format!("help-{command}"), &page(&[&command]));
        for sub in commands(&[&command]) {
            snapshot(&format!("help-{command}-{sub}"), &page(&[&command, &sub]));
        }
    }
}

#[test]
fn a_night_and_what_it_leaves() {
    let (home, night) = Home::after_a_night();
    snapshot("night", night);
    snapshot("log", &shown(&home.host(&["log"]), 0));
    let log = crate::common::home::trials(&home.host(&["log", "--json"]));
    let trial = log.iter().find(|trial| trial["experiment"].is_string()).unwrap();
    snapshot("show-experiment", &shown(&home.host(&["show", trial["experiment"].as_str().unwrap()]), 0));
    snapshot("show-component", &shown(&home.host(&["show", trial["component_key"].as_str().unwrap()]), 0));
    snapshot("report", &shown(&home.host(&["report", "--to", "screen"]), 0));
}

#[test]
fn ideas_without_a_store() {
    let (home, _) = Home::after_a_night();
    snapshot("ideas", &shown(&home.host(&["ideas", "--store", "nowhere"]), 0));
}

#[test]
fn policies() {
    let (home, _) = Home::after_a_night();
    snapshot("policy-check", &shown(&home.host(&["policy", "check", "night.toml"]), 0));
    let text = std::fs::read_to_string(home.path("night.toml")).unwrap();
    std::fs::write(home.path("field.toml"), text.replace("seconds =", "secnods =")).unwrap();
    snapshot("policy-wrong-field", &shown(&home.host(&["policy", "check", "field.toml"]), 1));
    std::fs::write(home.path("value.toml"), text.replace("replicas = 2", "replicas = -2")).unwrap();
    snapshot("policy-wrong-value", &shown(&home.host(&["policy", "check", "value.toml"]), 1));
    snapshot("policy-unknown", &shown(&home.host(&["run", "--policy", "overnigth"]), 1));
}

#[test]
fn errors() {
    let (home, _) = Home::after_a_night();
    snapshot("no-store", &shown(&home.host(&["log", "--store", "nowhere"]), 1));
    snapshot("no-such-hash", &shown(&home.host(&["show", "0000000000"]), 1));
    snapshot("no-command", &shown(&home.host(&[]), 2));
    snapshot("no-such-command", &shown(&home.host(&["lgo"]), 2));
    let store = home.copy_of_store("faulty");
    let faults = [
        ("does-not-compile", tiny("0.02").replace("adam.step(", "adam.stop(")),
        ("does-not-parse", tiny("0.02").replacen('}', "", 1)),
        ("wrong-shape", crate::common::guest("hostile/shape_error")),
    ];
    for (name, text) in faults {
        let file = format!("{name}.rs");
        std::fs::write(home.path(&file), text).unwrap();
        let tried = home.host(&["--store", store.to_str().unwrap(), "try", &file, "--policy", "./night.toml"]);
        // The lines before are the same in every night.
        let screen = shown(&tried, 1);
        snapshot(&format!("try-{name}"), screen.split_once("\n\n").map_or("", |(_, rest)| rest));
    }
}
