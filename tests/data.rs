//! `host data`: the user's own text becomes a corpus, or the reason is said.

use crate::common::home::{Home, lines, said};
use std::fs;
use std::io::Write;

/// Ten texts of 40 kB, no two alike.
fn write_numbers(home: &Home, folder: &str) {
    fs::create_dir(home.path(folder)).unwrap();
    for i in 0..10 {
        let text: String = (i * 9_000..i * 9_000 + 7_000).map(|n| format!("{n}\n")).collect();
        fs::write(home.path(folder).join(format!("{i}.txt")), text).unwrap();
    }
}

#[test]
fn a_failing_add_leaves_the_corpus_of_that_name() {
    let home = Home::new();
    write_numbers(&home, "numbers");
    fs::write(home.path("one"), "x").unwrap();
    assert!(home.host(&["data", "add", "mine", "numbers"]).status.success());
    let listed = |home: &Home| said(&home.host(&["data", "list"]));
    let before = listed(&home);
    let failed = home.host(&["data", "add", "mine", "one"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(said(&failed).contains("too few") && listed(&home) == before, "{}", said(&failed));
    let other = home.host(&["data", "add", "mine", "words"]);
    assert!(said(&other).contains("another text had this name"), "{}", said(&other));
}

#[test]
fn short_json_lines_become_a_corpus_and_what_is_left_out_is_said() {
    let home = Home::new();
    fs::create_dir(home.path("mixed")).unwrap();
    let mut packed = flate2_writer(&home.path("mixed/lines.jsonl.gz"));
    for i in 0..4_000u32 {
        writeln!(packed, "{{\"id\": {i}, \"text\": \"message {i} of {}\"}}", i.wrapping_mul(2_654_435_761)).unwrap();
    }
    packed.finish().unwrap();
    fs::write(home.path("mixed/.hidden"), "text").unwrap();
    std::os::unix::fs::symlink("lines.jsonl.gz", home.path("mixed/link")).unwrap();
    let added = home.host(&["data", "add", "mixed", "mixed"]);
    let text = said(&added);
    assert!(added.status.success() && text.contains("4000 documents"), "{text}");
    assert!(text.contains("left out: 1 (hidden): .hidden") && text.contains("1 (a link): link"), "{text}");
    let shown = lines(&home.host(&["--json", "data", "show", "mixed"]));
    let bytes = shown[0]["splits"].as_array().unwrap().iter().map(|split| split["bytes"].as_u64().unwrap());
    let bytes: Vec<u64> = bytes.collect();
    assert!(bytes[0] > 80_000 && bytes[3].abs_diff(bytes[0] / 36) < 500, "{bytes:?}");
    let field = home.host(&["data", "add", "other", "mixed", "--field", "body"]);
    assert!(said(&field).contains("line 1: no text in the field \"body\""), "{}", said(&field));
}

fn flate2_writer(path: &std::path::Path) -> flate2::write::GzEncoder<fs::File> {
    flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast())
}
