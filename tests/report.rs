//! `host report`: the summary of a night for other people.

use crate::common::home::{Home, lines, said, trials};

#[test]
fn a_night_is_drawn_from_the_store_alone() {
    let (home, _) = Home::after_a_night();
    let draw = |file: &str, args: &[&str]| {
        let drawn = home.host(&[&["report", "--json", "--svg", file], args].concat());
        assert_eq!(drawn.status.code(), Some(0), "{}", said(&drawn));
        assert_eq!((&lines(&drawn)[0]["night"], &lines(&drawn)[0]["file"]), (&1.into(), &file.into()));
        std::fs::read_to_string(home.path(file)).unwrap()
    };
    let night = draw("night.svg", &[]);
    assert_eq!(night, draw("again.svg", &["--night", "1"]), "the same night, the same picture");
    let log = trials(&home.host(&["log", "--json"]));
    let document = roxmltree::Document::parse(&night).unwrap();
    let marks = document
        .descendants()
        .filter(|node| node.has_tag_name("title") && node.text().is_some_and(|text| text.starts_with('#')));
    assert_eq!(marks.count(), log.len());
    assert!(night.contains(&format!("0.04 s of training per experiment · {} trials", log.len())), "{night}");
    assert!(night.contains("baseline ") && !night.contains("<script") && !night.contains("url("), "{night}");
}

#[test]
fn a_night_of_tries_alone_has_a_report_and_the_sealed_test() {
    let home = Home::new();
    let tiny = crate::common::guest("guests/tiny");
    std::fs::write(home.path("train.rs"), tiny.replace("LR: f32 = 0.02", "LR: f32 = 0.03")).unwrap();
    let tried = home.host(&["try", "--policy", "night.toml", "train.rs"]);
    assert_eq!(tried.status.code(), Some(0), "{}", said(&tried));
    let seal = || {
        let sealed = home.host(&["report", "--seal"]);
        assert_eq!(sealed.status.code(), Some(0), "{}", said(&sealed));
        let report = std::fs::read_to_string(home.path(".host/report.md")).unwrap();
        (said(&sealed), report)
    };
    let (told, report) = seal();
    assert!(told.contains("sealed test") && report.contains("Sealed test split: champion"), "{told}\n{report}");
    assert!(report.contains("LR 0.02 → 0.03"), "{report}");
    assert!(home.path(".host/champion/train.rs").exists());
    let (again, _) = seal();
    let reads = |text: &str| text.lines().find(|line| line.starts_with("sealed test")).map(str::to_owned);
    assert_eq!(reads(&told), reads(&again), "it is read once for each model");
    let log = lines(&home.host(&["log", "--json"]));
    assert_eq!(log.len(), 1, "it adds no trial and no night: {log:?}");
    let drawn = home.host(&["report", "--seal", "--night", "7"]);
    assert!(said(&drawn).contains("the store has no night 7"), "{}", said(&drawn));
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let (home, _) = Home::after_a_night();
    let fails = |code: i32, args: &[&str], wanted: &str| {
        let failed = home.host(args);
        assert_eq!(failed.status.code(), Some(code), "{}", said(&failed));
        assert!(said(&failed).contains(wanted), "{}", said(&failed));
    };
    fails(2, &["report"], "--svg <FILE>");
    fails(1, &["report", "--svg", "night.svg", "--night", "77"], "the store has no night 77; `host log` lists nights");
    fails(1, &["report", "--svg", "night.svg", "--store", "nowhere"], "there is no store in nowhere");
    fails(1, &["report", "--svg", "nowhere/night.svg"], "cannot write nowhere/night.svg");
}
