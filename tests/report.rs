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
