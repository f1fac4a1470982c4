//! What can be compared on one machine: golden digests and vectors, every path and number of threads, ways of flushing,
//! sessions side by side, runs that go on from a checkpoint; and that nothing is left out.

mod coverage;
mod golden;
mod sessions;

use bits::{Digest, Variant, digests};

/// The first digest that is not the same, by name.
fn first_difference(want: &[Digest], got: &[Digest]) -> Option<String> {
    let differs = want.iter().zip(got).find(|(want, got)| want != got).map(|(want, _)| want.name.clone());
    differs.or_else(|| (want.len() != got.len()).then(|| format!("{} digests, not {}", got.len(), want.len())))
}

#[test]
fn paths_and_threads_never_show() {
    let want = digests(Variant::plain()).unwrap();
    for variant in Variant::all().into_iter().filter(|&variant| variant != Variant::plain()) {
        assert_eq!(first_difference(&want, &digests(variant).unwrap()), None, "{variant}");
    }
}
