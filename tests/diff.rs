//! `host diff`: what one source changes in another, and the change carried onto a third.

use crate::common::home::{Home, said};
use serde_json::Value;

const HIDDEN: &str = "relu_squared()";
const LOSS: &str = "        lab.log(\"loss\", &loss);\n";

/// Writes a version of the tiny guest with another activation and rate, and a line more.
fn write_sources(home: &Home) -> String {
    let tiny = crate::common::tiny("0.02");
    std::fs::write(home.path("tiny.rs"), &tiny).unwrap();
    let more = format!("{LOSS}        lab.log(\"again\", &loss);\n");
    let new = tiny.replace(HIDDEN, "gelu()").replace(LOSS, &more).replace("LR: f32 = 0.02", "LR: f32 = 0.03");
    std::fs::write(home.path("new.rs"), new).unwrap();
    tiny
}

#[test]
fn a_change_is_shown_in_parts_and_carried_onto_another_source() {
    let home = Home::new();
    let tiny = write_sources(&home);
    let shown = home.host(&["--json", "diff", "tiny.rs", "new.rs"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let lines: Vec<&str> =
        shown["parts"].as_array().unwrap().iter().map(|part| part["line"].as_str().unwrap()).collect();
    assert_eq!(
        lines,
        ["const LR: f32 = 0.03;", "let hidden = x.linear(&net.weight(\"fc\")).gelu();", "lab.log(\"again\", &loss);",]
    );
    assert_eq!(shown["description"], "LR 0.02 → 0.03; +2 −1 lines in model, train");
    assert!(shown["diff"].as_str().unwrap().contains("+const LR: f32 = 0.03;\n"), "{shown}");

    // Somebody else changed the width and the line with the activation.
    let other =
        tiny.replace("WIDTH: usize = 16", "WIDTH: usize = 24").replace("let hidden = x.", "let hidden = (&x * 2.0).");
    std::fs::write(home.path("other.rs"), &other).unwrap();
    let merged = home.host(&["diff", "tiny.rs", "new.rs", "--onto", "other.rs", "--parts", "2,3"]);
    let merged = String::from_utf8(merged.stdout).unwrap();
    let wanted = other.replace(HIDDEN, "gelu()").replace(LOSS, &format!("{LOSS}        lab.log(\"again\", &loss);\n"));
    assert_eq!(merged, wanted);

    std::fs::write(home.path("silu.rs"), tiny.replace(HIDDEN, "silu()")).unwrap();
    let conflict = home.host(&["diff", "tiny.rs", "new.rs", "--onto", "silu.rs"]);
    assert_eq!(conflict.status.code(), Some(1));
    assert!(said(&conflict).contains("both changed the same place: let hidden = x."), "{}", said(&conflict));
    assert!(said(&conflict).contains("`--parts` takes those parts that can"), "{}", said(&conflict));
    let without = home.host(&["diff", "tiny.rs", "new.rs", "--onto", "silu.rs", "--parts", "1", "--write", "out.rs"]);
    assert!(said(&without).contains("out.rs: LR 0.02 → 0.03"), "{}", said(&without));
    let wrong = home.host(&["diff", "tiny.rs", "new.rs", "--onto", "silu.rs", "--parts", "4"]);
    assert!(said(&wrong).contains("the change has parts 1 to 3, not 4"), "{}", said(&wrong));
}

#[test]
fn sources_are_files_trials_hashes_the_seed_and_the_champion() {
    let home = Home::new();
    write_sources(&home);
    let nothing = home.host(&["diff", "tiny.rs", "#1"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(said(&nothing).contains("`#1` is no source"), "{}", said(&nothing));
    let tried = home.host(&["try", "--screen", "new.rs", "--policy", "./night.toml"]);
    assert!(said(&tried).contains("screened"), "{}", said(&tried));
    let of = |before: &str, after: &str| said(&home.host(&["diff", before, after]));
    let words = "LR 0.02 → 0.03; +2 −1 lines in model, train";
    assert!(of("seed", "1").contains(&format!("seed → #1: {words}\n  part 1: ")), "{}", of("seed", "1"));
    let log: Value = serde_json::from_slice(&home.host(&["--json", "log", "-n", "1"]).stdout).unwrap();
    let experiment = log["experiment"].as_str().unwrap();
    assert!(of("champion", experiment).contains(&format!("seed → #1: {words}")), "nothing is kept yet");
    assert!(of("#1", "0").contains("#1 → seed: LR 0.03 → 0.02"), "{}", of("#1", "0"));
    std::fs::write(home.path("broken.rs"), "fn (").unwrap();
    assert!(of("seed", "broken.rs").contains("broken.rs does not parse"), "{}", of("seed", "broken.rs"));
}
