//! `host score`: scores without a verdict, for optimizers that choose what to try themselves.

use crate::common::home::{Home, lines, said, trials};
use crate::common::{guest, tiny};

#[test]
fn scores_are_told_without_a_verdict_and_made_once() {
    let home = Home::new();
    std::fs::write(home.path("slow.rs"), tiny("0.002")).unwrap();
    let score = |args: &[&str]| home.host(&[&["--json", "score", "--policy", "./night.toml"], args].concat());
    let first = lines(&score(&["slow.rs", "--seeds", "2"]));
    assert_eq!(first.len(), 3, "{first:?}");
    let bpb = |line: usize| first[line]["bpb"].as_f64().unwrap();
    assert!((first[2]["mean_bpb"].as_f64().unwrap() - (bpb(0) + bpb(1)) / 2.0).abs() < 1e-12);
    assert!(first[2]["sd_bpb"].as_f64().unwrap() > 0.0 && first[0]["is_new"] == true, "{first:?}");
    assert_ne!(first[0]["random_seed"], first[1]["random_seed"]);
    let again = lines(&score(&["slow.rs", "--seeds", "1"]));
    assert_eq!((&again[0]["bpb"], &again[0]["is_new"]), (&first[0]["bpb"], &false.into()), "{again:?}");
    assert_eq!(trials(&home.host(&["log", "--json"])).len(), 0, "no trial");

    // A night measures its baseline on the same random seeds.
    assert!(home.host(&["run", "--policy", "./night.toml", "--experiments", "1"]).status.success());
    std::fs::write(home.path("tiny.rs"), guest("guests/tiny")).unwrap();
    let text = said(&home.host(&["score", "tiny.rs", "--seeds", "2", "--policy", "./night.toml"]));
    assert!(text.matches("was in the store").count() == 2 && text.contains("over 2 random seeds"), "{text}");
}

#[test]
fn what_cannot_be_scored_says_why() {
    let home = Home::new();
    let score = |name: &str, source: &str| {
        std::fs::write(home.path(name), source).unwrap();
        home.host(&["--json", "score", name, "--policy", "./night.toml"])
    };
    let refused = score("bad.rs", "fn f() {");
    assert_eq!((refused.status.code(), &lines(&refused)[0]["status"]), (Some(1), &"refused".into()), "{refused:?}");
    let failed = score("failing.rs", &crate::common::unlucky(&tiny("0.02")).replace("item() >= 0.0", "item() >= 99.0"));
    let told = lines(&failed);
    assert_eq!(failed.status.code(), Some(1), "{told:?}");
    assert!(told[0]["reason"].as_str().unwrap().contains("no luck"), "{told:?}");
}
