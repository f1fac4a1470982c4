//! Sources: parsed, cut into pieces, compared with the seed guest, carried onto it, and changed by the search.

use nightlab::guest::seed::SEED_GUEST;
use nightlab::guest::source::{Source, pieces};
use nightlab::propose::evolve;
use nightlab::propose::patch::{Patch, Text};
use std::sync::LazyLock;

static SEED: LazyLock<Text> = LazyLock::new(|| Text::parse(SEED_GUEST).expect("the seed guest is a source"));

/// # Panics
/// On a fault.
pub fn sources(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(source) = Source::parse(text) else { return };
    let whole: String = pieces(source.text()).expect("a source has pieces").iter().map(|piece| piece.text()).collect();
    assert_eq!(whole, source.text());
    let parsed = Text::parse(source.text()).expect("a source can be compared");
    let patch = Patch::between(&SEED, &parsed);
    let carried = patch.onto(&SEED, patch.parts()).expect("all parts of a change make the change");
    // All but comments is the same.
    let carried = Text::parse(&carried).expect("a source stays one");
    assert!(Patch::between(&carried, &parsed).parts().is_empty());
    let _ = evolve::possible(source.text());
}
