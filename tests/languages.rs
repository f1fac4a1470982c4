//! Guests in other languages: each trains the same small model to the same bits as its twin in Rust.

use crate::common::{HOST, Place, component, guest, guest_path};
use nightlab::experiment::runner::Experiment;
use nightlab::guest::component::Component;
use nightlab::guest::toolchain::{Language, LanguageError};
use nightlab::record::limits::Limits;
use nightlab::record::outcome::{Outcome, Status};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Builds a file of `tests/guests`, or says why the test is skipped.
fn built(language: Language, name: &str) -> Option<Result<Component, LanguageError>> {
    let path = guest_path("guests/x").with_file_name(name);
    match language.find(path.parent().unwrap()) {
        Ok(tool) => Some(tool.build(&std::fs::read_to_string(path).unwrap(), Some(Path::new(HOST)))),
        Err(missing) => {
            println!("SKIPPED: {missing}");
            None
        }
    }
}

/// A place where instructions cost nothing. Otherwise a slower language would take fewer steps.
fn place() -> Place {
    let mut place = Place::new();
    let spec = &mut place.bench.spec;
    (spec.profile.guest.free_per_op, spec.limits, spec.wall_limit_ms) = (10_000_000, Limits::default(), 600_000);
    place.bench.forward_ps_per_token = 0;
    place
}

fn outcome(place: &Place, component: &Component) -> Outcome {
    let experiment = Experiment { component, random_seed: 3 };
    place.bench.runner(1).run(&experiment, 7, &mut |_| {}, &|| false).outcome
}

fn trains_like_rust(language: Language, name: &str) {
    let Some(built) = built(language, name) else { return };
    let built = built.unwrap();
    let place = place();
    let (rust, other) = (outcome(&place, &component(&guest("guests/tiny"))), outcome(&place, &built));
    assert_eq!(other.status, Status::Completed);
    assert!(rust.totals.steps > 50, "{:?}", rust.totals);
    assert_eq!((other.totals.ops, other.totals.steps), (rust.totals.ops, rust.totals.steps));
    assert_eq!(other.totals.op_hash, rust.totals.op_hash);
    assert_eq!(other.intervals, rust.intervals);
    assert_eq!(other.curve, rust.curve);
    assert_eq!((other.state, other.score), (rust.state, rust.score));
    // The same prices and the same proof, from the dry run.
    let candidate = |component: &Component| {
        place.bench.store.put_blob(component.bytes()).unwrap();
        place.bench.prepare(nightlab::guest::component::Card::of(component.bytes()).text()).unwrap()
    };
    let (rust, other) = (candidate(&component(&guest("guests/tiny"))), candidate(&built));
    // Python's runtime draws random bytes, whatever the guest does.
    assert_eq!(other.behaviour, rust.behaviour.filter(|_| language != Language::Python));
    assert_eq!(other.dry_run.causality, rust.dry_run.causality);
    assert_eq!(other.dry_run.train.spent_ps, rust.dry_run.train.spent_ps);
}

#[test]
fn c_trains_to_the_bits_of_rust() {
    trains_like_rust(Language::C, "tiny.c");
}

#[test]
fn javascript_trains_to_the_bits_of_rust() {
    trains_like_rust(Language::JavaScript, "tiny.js");
}

#[test]
fn python_trains_to_the_bits_of_rust() {
    trains_like_rust(Language::Python, "tiny.py");
}

#[test]
fn an_error_of_a_tool_names_the_line() {
    let Ok(tool) = Language::C.find(Path::new(".")) else { return };
    let broken = tool.build("#include \"lab.h\"\nvoid train(void) { no_such(); }\n", Some(Path::new(HOST)));
    let error = broken.unwrap_err().to_string();
    assert!(error.contains("train.c:2"), "{error}");
    // The walls of the compiler: nothing of this machine can be included.
    let nosy = tool.build("#include \"/etc/passwd\"\n#include \"lab.h\"\n", Some(Path::new(HOST)));
    let error = nosy.unwrap_err().to_string();
    assert!(!error.contains("root:"), "{error}");
}

#[test]
fn doctor_tells_of_each_language() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| Command::new(HOST).args(args).current_dir(home.path()).output().unwrap();
    let doctor = String::from_utf8_lossy(&run(&["doctor"]).stdout).into_owned();
    for language in Language::ALL {
        let found = language.find(home.path());
        let words = found.as_ref().map_or_else(ToString::to_string, |tool| tool.describe());
        assert!(doctor.contains(&words), "no `{words}` in {doctor}");
        if found.is_err() {
            let file = format!("train.{}", ["c", "js", "py"][language as usize]);
            std::fs::write(home.path().join(&file), "").unwrap();
            let said = String::from_utf8_lossy(&run(&["score", &file]).stderr).into_owned();
            assert!(said.contains(&words), "{said}");
        }
    }
}

/// A tool that does what its maker never meant it to do, because a guest could make it.
#[test]
fn a_tool_reaches_nothing_of_its_users() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    std::fs::create_dir(at("bin")).unwrap();
    std::fs::write(at("secret.txt"), "the secret").unwrap();
    std::fs::write(at("train.py"), "").unwrap();
    let secret = at("secret.txt");
    let try_it = |act: &str| {
        let tool = at("bin/componentize-py");
        std::fs::write(&tool, format!("#!/bin/sh\n{act}\n")).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut host = Command::new(HOST);
        let ended = host.args(["score", "train.py"]).current_dir(home.path()).env("PATH", at("bin")).output().unwrap();
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    let said = try_it(&format!("/bin/ln -s {} train.wasm", secret.display()));
    assert!(said.contains("train.wasm is a symbolic link"), "{said}");
    let said = try_it("/usr/bin/mkfifo train.wasm");
    assert!(said.contains("train.wasm is no plain file"), "{said}");
    let said = try_it("exec 3<> train.wasm; /usr/bin/truncate -s 100M train.wasm");
    assert!(said.contains("train.wasm has more than"), "{said}");
    // The folder above the tool's own is somebody's home here.
    let said = try_it(&format!("/bin/cat {}", secret.display()));
    assert!(said.contains("Permission denied"), "{said}");
}

#[test]
fn nothing_of_the_outside_is_there() {
    let Some(built) = built(Language::Python, "outside.py") else { return };
    let place = place();
    let said = |random_seed| {
        let experiment = Experiment { component: built.as_ref().unwrap(), random_seed };
        place.bench.runner(1).run(&experiment, 7, &mut |_| {}, &|| false).outcome.status.to_string()
    };
    let first = said(1);
    println!("{first}");
    for words in [
        "environment {} arguments []",
        "time 0 0",
        "open: FileNotFoundError",
        "listdir: FileNotFoundError",
        "connect: PermissionError",
        "wasi:sockets/tcp-create-socket create-tcp-socket: access denied",
        "Exception: told",
    ] {
        assert!(first.contains(words), "no `{words}` in {first}");
    }
    // Randomness is a function of the experiment's random seed.
    assert_eq!(first, said(1));
    assert_ne!(first, said(2));
}

/// A model that is random: its score holds only with the experiment's random seed, whatever bench proves it.
#[test]
fn randomness_of_a_score_is_the_experiments() {
    let path = guest_path("guests/x").with_file_name("tiny.py");
    let text = std::fs::read_to_string(path).unwrap();
    let random = text.replace("return linear(", "return (1 + os.urandom(1)[0] / 256) * linear(");
    assert_ne!(text, random);
    let Ok(tool) = Language::Python.find(Path::new(".")) else { return };
    let built = tool.build(&format!("import os\n{random}"), Some(Path::new(HOST))).unwrap();
    let mut place = place();
    let first = outcome(&place, &built);
    assert_eq!(first.status, Status::Completed);
    place.bench.spec.random_seed = 99;
    assert_eq!(outcome(&place, &built).score, first.score);
}

/// `cargo test --release --test end_to_end -- --ignored --nocapture what_each_language_costs`
#[test]
#[ignore = "measures"]
fn what_each_language_costs() {
    let mut place = Place::new();
    (place.bench.spec.limits, place.bench.forward_ps_per_token) = (Limits::default(), 0);
    let mut guests = vec![("Rust", component(&guest("guests/tiny")))];
    for (language, name) in [(Language::C, "tiny.c"), (Language::JavaScript, "tiny.js"), (Language::Python, "tiny.py")]
    {
        guests.extend(built(language, name).map(|built| (language.name(), built.unwrap())));
    }
    for (name, component) in guests {
        place.bench.store.put_blob(component.bytes()).unwrap();
        let card = nightlab::guest::component::Card::of(component.bytes());
        let mut runs = Vec::new();
        for budget_ms in [500, 1000] {
            place.bench.spec.budget_ps = budget_ms * 1_000_000_000;
            let started = Instant::now();
            let dry_run = place.bench.prepare(card.text()).unwrap().dry_run;
            runs.push((dry_run, started.elapsed()));
        }
        let [(half, _), (whole, wall)] = &runs[..] else { unreachable!() };
        let steps = whole.train.steps - half.train.steps;
        let per_step = (whole.fuel - half.fuel) / steps;
        println!(
            "{name:<11} {:>6} kB  dry run {:>5.1} s  start {:>9}  step {:>8}  {:>6} steps in a second  forward {:>5} ns a token",
            component.bytes().len() / 1000,
            wall.as_secs_f64(),
            whole.fuel.saturating_sub(per_step * whole.train.steps),
            per_step,
            whole.train.steps,
            whole.forward.spent_ps / place.bench.spec.forward_tokens() / 1000,
        );
    }
}
