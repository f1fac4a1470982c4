//! Golden digests and vectors: what the numerics class is, written down.

use bits::{Variant, digests, report, vectors};

const ADVICE: &str = "a change of these is a new numerics class; within a class that is not frozen, `cargo xtask golden` \
    writes them anew";

/// The first line that differs.
#[track_caller]
fn assert_same(golden: &str, now: &str) {
    let number = golden.lines().zip(now.lines()).position(|(golden, now)| golden != now);
    let at = number.unwrap_or(golden.lines().count().min(now.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("nothing").to_owned();
    assert!(golden == now, "line {}: {}\nwas: {}\n{ADVICE}", at + 1, line(now), line(golden));
}

#[test]
fn digests_are_those_of_the_class() {
    assert_same(include_str!("../../golden/digests.txt"), &report(&digests(Variant::fast(2)).unwrap()));
}

#[test]
fn vectors_are_those_of_the_class() {
    assert_same(include_str!("../../golden/vectors.txt"), &vectors::text().unwrap());
}
