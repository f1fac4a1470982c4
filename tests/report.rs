//! `host report`: the summary of a night for other people.

use crate::common::home::{Home, lines, said, trials};

fn written(home: &Home, args: &[&str]) -> Vec<String> {
    let made = home.host(&[&["--json", "report"], args].concat());
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    let files = lines(&made)[0]["files"].as_array().unwrap().clone();
    let (last, texts) = files.split_last().unwrap();
    let png = std::fs::read(home.path(last.as_str().unwrap())).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{} bytes", png.len());
    texts.iter().map(|file| std::fs::read_to_string(home.path(file.as_str().unwrap())).unwrap()).collect()
}

#[test]
fn a_night_is_shown_from_the_store_alone() {
    let (home, _) = Home::after_a_night();
    let night = written(home, &["--to", "once"]);
    assert_eq!(night, written(home, &["1", "--to", "again"]), "the same night, the same files");
    let [page, picture] = night.try_into().unwrap();
    let log = trials(&home.host(&["log", "--json"]));
    let document = roxmltree::Document::parse(&picture).unwrap();
    let marks = document.descendants().filter(|node| node.has_attribute("data-trial"));
    assert_eq!(marks.count(), log.len());
    assert!(picture.contains(&format!("0.04 s of training per experiment · {} trials", log.len())), "{picture}");
    assert!(picture.contains("baseline ") && !picture.contains("<script") && !picture.contains("url("), "{picture}");
    for trial in &log {
        assert!(page.contains(&format!("id=\"t{}\"", trial["number"])), "{trial}");
    }
    assert!(page.contains("What it changes of the seed guest") && page.contains("Its dearest lines"));
}

#[test]
fn a_night_leaves_its_page() {
    let (home, night) = Home::after_a_night();
    let page = std::fs::read_to_string(home.path(".host/report.html")).unwrap();
    let (_, sample) = night.split_once("the champion writes:\n  | ").unwrap();
    assert!(page.contains("<h3>It writes</h3>") && page.contains(sample.lines().next().unwrap()), "{page}");
    assert!(!page.contains("under way"), "it has ended");
    assert!(home.path(".host/progress.svg").is_file());
}

#[test]
fn nights_of_one_store_or_of_two_are_compared() {
    let (home, _) = Home::after_a_night();
    let _other = home.copy_of_store("other");
    let ways = [["1", "1"], ["1", "other"], [".host:1", "other:1"]];
    let pages = ways.map(|[a, b]| written(home, &[a, b, "--to", "both"]));
    assert_eq!(pages[0], pages[1]);
    assert_eq!(pages[1], pages[2]);
    let [page, picture] = &pages[0][..] else { panic!() };
    assert!(page.contains("Two nights side by side") && page.contains("A: night 1") && page.contains("B: night 1"));
    roxmltree::Document::parse(picture).unwrap();
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
    let sealed = home.host(&["report", "--seal", "7"]);
    assert!(said(&sealed).contains("the store has no night 7"), "{}", said(&sealed));
}

#[test]
fn what_cannot_be_shown_is_said() {
    let (home, _) = Home::after_a_night();
    let fails = |code: i32, args: &[&str], wanted: &str| {
        let failed = home.host(args);
        assert_eq!(failed.status.code(), Some(code), "{}", said(&failed));
        assert!(said(&failed).contains(wanted), "{}", said(&failed));
    };
    fails(1, &["report", "77"], "the store has no night 77; `host log` lists nights");
    fails(1, &["report", "--store", "nowhere"], "there is no store in nowhere");
    fails(1, &["report", "1", "nowhere:1"], "there is no store in nowhere");
    fails(1, &["report", "1", "1", "--seal"], "compare nights without it");
    fails(2, &["report", "1", "1", "1"], "unexpected value '1' for '[NIGHT]...'");
    fails(1, &["report", "--to", "night.toml"], "cannot write night.toml");
}
