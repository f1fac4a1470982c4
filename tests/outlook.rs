//! `host run --dry`: what a night will take, before it begins.

use crate::common::home::{Home, said};
use serde_json::Value;

#[test]
fn a_night_is_looked_at_without_training_or_storing() {
    let home = Home::new();
    let dry = home.host(&["run", "--policy", "./night.toml", "--dry"]);
    assert_eq!(dry.status.code(), Some(0), "{}", said(&dry));
    for wanted in [
        "begins           with a baseline: no trial on these terms is in the store",
        "no run was timed here yet; single operations run at ",
        "the night        about 2 mutations in 6 runs",
        "disk             at most 1.00 GB of weights",
        "cost             none: no proposer that works here has a price",
        "nothing was trained; `host run --policy ./night.toml` begins",
    ] {
        assert!(said(&dry).contains(wanted), "{wanted}: {}", said(&dry));
    }
    assert!(!home.path(".host").exists());
    let night = home.host(&["run", "--policy", "./night.toml", "--experiments", "1"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    let dry = home.host(&["--json", "run", "--policy", "./night.toml", "--dry"]);
    let dry: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!((&dry["outlook"]["goes_on"][0], &dry["outlook"]["goes_on"][1]), (&Value::from(1), &Value::from(1)));
    assert_eq!(dry["outlook"]["pace"]["from"], "runs");
    let endless = std::fs::read_to_string(home.path("night.toml")).unwrap().replace("experiments = 2", "");
    std::fs::write(home.path("endless.toml"), endless).unwrap();
    assert!(said(&home.host(&["run", "--policy", "./endless.toml", "--dry"])).contains("has no end but Ctrl-C"));
}
