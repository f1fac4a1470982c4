//! `host promote`: the keeps of a night on larger terms.

use crate::common::home::{Home, said};
use crate::common::tiny;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A home whose store has kept a better rate, and a policy of larger terms.
fn home() -> Home {
    let home = Home::new();
    home.start_slowly("night.toml", "0.002");
    // Corpora and seed guest of larger terms are those of the night.
    home.write_policy("larger.toml", 0.05, 2);
    home.set("larger.toml", "task.scale", 1.5);
    home.set("larger.toml", "task.corpora", vec!["shakespeare"]);
    home.set("larger.toml", "task.seed_guest", "gpt");
    home
}

/// The names of all blobs of the store.
fn blobs(home: &Home) -> BTreeSet<PathBuf> {
    let folders = std::fs::read_dir(home.path(".host/blobs")).unwrap().map(|folder| folder.unwrap().path());
    folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|blob| blob.unwrap().path()).collect()
}

#[test]
fn keeps_are_trained_on_larger_terms_alone_and_together() {
    let home = home();
    let nothing = home.host(&["promote", "--policy", "./larger.toml"]);
    assert_eq!(nothing.status.code(), Some(1));
    std::fs::write(home.path("better.rs"), tiny("0.01")).unwrap();
    let kept = home.host(&["try", "better.rs", "--policy", "./night.toml"]);
    assert!(said(&kept).contains("better on 2 random seeds, confirmed"), "{}", said(&kept));
    let promoted = home.host(&["promote", "--policy", "./larger.toml"]);
    assert_eq!(promoted.status.code(), Some(0), "{}", said(&promoted));
    let said_all = said(&promoted);
    assert!(said_all.contains("each keep (1) and all together, at scale 1.5 and 0.05 s: at most 6 runs"), "{said_all}");
    assert!(said_all.contains("  yes      LR 0.002 → 0.01"), "{said_all}");
    assert!(said_all.contains("signs            1 of 1 agree"), "{said_all}");
    assert!(said_all.contains("the gains add up, within two standard errors"), "{said_all}");

    let before = blobs(&home);
    let again = home.host(&["--json", "promote", "--policy", "./larger.toml"]);
    let lines: Vec<Value> = String::from_utf8(again.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [alone, together, summary] = lines.as_slice() else { panic!("{}", said(&again)) };
    assert_eq!((&alone["keep"], &alone["holds"]), (&Value::from(1), &Value::from("yes")));
    assert_eq!((&together["keep"], &together["gain"]), (&Value::Null, &alone["gain"]));
    assert_eq!(summary["transfer"]["signs_agree"], 1);
    assert_eq!(blobs(&home), before, "every run was in the store");
}
