//! The merge of three sequences of pieces: what lies between two of them (`base` and `theirs`) is done to the third
//! (`ours`). See S. Khanna, K. Kunal, B. C. Pierce, "A Formal Investigation of Diff3" (2007).

use crate::guest::source::Piece;
use crate::propose::patch::conflict::Conflict;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::ops::Range;

/// Characters of a place that an error names.
const PLACE_CHARS: usize = 80;
/// Tokens of two texts that are compared within pieces. Beyond, both are said to change the same place.
const MOST_TOKENS: usize = 4000;

/// A replacement of some pieces by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// Which pieces of the old sequence.
    pub old: Range<usize>,
    /// By which of the new one.
    pub new: Range<usize>,
}

/// How close two changes may come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Statements may be put at the same place, one after the other.
    Pieces,
    /// Tokens side by side belong together.
    Tokens,
}

/// The replacements that make `new` of `old`.
pub fn hunks(old: &[Piece], new: &[Piece]) -> Vec<Hunk> {
    let ops = capture_diff_slices(Algorithm::Myers, old, new);
    let changed = ops.into_iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
    let mut found: Vec<Hunk> = Vec::new();
    for op in changed {
        let (old, new) = (op.old_range(), op.new_range());
        match found.last_mut().filter(|last| last.old.end == old.start && last.new.end == new.start) {
            Some(last) => (last.old.end, last.new.end) = (old.end, new.end),
            None => found.push(Hunk { old, new }),
        }
    }
    found
}

/// `ours` with these replacements of `base` by pieces of `theirs`.
///
/// # Errors
/// `ours` differs from `base` at the same place.
pub fn merge(base: &[Piece], ours: &[Piece], theirs: &[Piece], changes: &[Hunk]) -> Result<String, Conflict> {
    Merge { base, ours, theirs, level: Level::Pieces, own: hunks(base, ours) }.text(changes)
}

struct Merge<'a> {
    base: &'a [Piece],
    ours: &'a [Piece],
    theirs: &'a [Piece],
    level: Level,
    /// What makes `ours` of `base`.
    own: Vec<Hunk>,
}

impl Merge<'_> {
    fn text(&self, changes: &[Hunk]) -> Result<String, Conflict> {
        let (mut out, mut at) = (String::new(), 0);
        let mut rest = changes;
        while let Some((first, mut others)) = rest.split_first() {
            let mut reach = first.old.clone();
            let mut region = vec![first];
            loop {
                let wider = self.own.iter().filter(|own| self.meets(&own.old, &reach)).fold(reach.clone(), hull);
                while let Some((next, after)) = others.split_first().filter(|(next, _)| next.old.start < wider.end) {
                    region.push(next);
                    others = after;
                }
                let wider = region.iter().fold(wider, |wide, hunk| hull(wide, hunk));
                if wider == reach {
                    break;
                }
                reach = wider;
            }
            rest = others;
            let here = self.in_ours(&reach);
            out.push_str(&texts(self.ours, at..here.start));
            out.push_str(&self.region(&reach, &here, &region)?);
            at = here.end;
        }
        out.push_str(&texts(self.ours, at..self.ours.len()));
        Ok(out)
    }

    /// The text of a region: one change where `ours` is like `base`, or several that meet changes of `ours`.
    fn region(&self, reach: &Range<usize>, here: &Range<usize>, region: &[&Hunk]) -> Result<String, Conflict> {
        let theirs = spliced(self.base, reach, self.theirs, region);
        let (ours, base) = (slice(self.ours, here), slice(self.base, reach));
        if ours == base {
            let has_it = reach.is_empty() && self.has_put(reach.start, &theirs);
            return Ok(if has_it { String::new() } else { theirs.iter().map(Piece::text).collect() });
        }
        if ours == theirs {
            return Ok(texts(self.ours, here.clone()));
        }
        let conflict = || {
            let shown = if ours.is_empty() { base } else { ours };
            let text: String = shown.iter().map(Piece::text).collect();
            let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            Conflict::Place { place: line.chars().take(PLACE_CHARS).collect() }
        };
        if self.level == Level::Tokens {
            return Err(conflict());
        }
        let split = |pieces: &[Piece]| pieces.iter().flat_map(Piece::split).collect::<Vec<Piece>>();
        let (base, ours, theirs) = (split(base), split(ours), split(&theirs));
        if base.len() + ours.len() + theirs.len() > MOST_TOKENS {
            return Err(conflict());
        }
        let inner = Merge { base: &base, ours: &ours, theirs: &theirs, level: Level::Tokens, own: hunks(&base, &ours) };
        inner.text(&hunks(&base, &theirs)).map_err(|_| conflict())
    }

    /// Whether `ours` has these pieces too, among those that it put at the same place.
    fn has_put(&self, at: usize, pieces: &[Piece]) -> bool {
        let own = self.own.iter().find(|own| own.old == (at..at)).map(|own| slice(self.ours, &own.new));
        own.is_some_and(|own| own.windows(pieces.len().max(1)).any(|some| some == pieces))
    }

    /// Whether a change of `ours` and another one have to be looked at together.
    fn meets(&self, own: &Range<usize>, other: &Range<usize>) -> bool {
        match self.level {
            Level::Pieces => own.start < other.end && other.start < own.end,
            Level::Tokens => own.start <= other.end && other.start <= own.end,
        }
    }

    /// Where pieces of `base` are in `ours`. What `ours` has put before them is left out, at the level of statements.
    fn in_ours(&self, base: &Range<usize>) -> Range<usize> {
        let before = |hunk: &&Hunk| match self.level {
            Level::Pieces => hunk.old.end <= base.start,
            Level::Tokens => hunk.old.end < base.start,
        };
        let shifted = |at: usize, last: Option<&Hunk>| last.map_or(at, |hunk| hunk.new.end + (at - hunk.old.end));
        let start = shifted(base.start, self.own.iter().rfind(before));
        let until = |hunk: &&Hunk| match self.level {
            Level::Pieces => hunk.old.end <= base.end && (hunk.old.start < base.end || base.is_empty()),
            Level::Tokens => hunk.old.end <= base.end,
        };
        let end = shifted(base.end, self.own.iter().rfind(until));
        start..end.max(start)
    }
}

fn hull(wide: Range<usize>, hunk: &Hunk) -> Range<usize> {
    wide.start.min(hunk.old.start)..wide.end.max(hunk.old.end)
}

fn slice<'a>(pieces: &'a [Piece], range: &Range<usize>) -> &'a [Piece] {
    pieces.get(range.clone()).unwrap_or_default()
}

fn texts(pieces: &[Piece], range: Range<usize>) -> String {
    slice(pieces, &range).iter().map(Piece::text).collect()
}

/// A region of `base` with replacements by pieces of `theirs`.
fn spliced(base: &[Piece], reach: &Range<usize>, theirs: &[Piece], region: &[&Hunk]) -> Vec<Piece> {
    let (mut out, mut at) = (Vec::new(), reach.start);
    for hunk in region {
        out.extend_from_slice(slice(base, &(at..hunk.old.start)));
        out.extend_from_slice(slice(theirs, &hunk.new));
        at = hunk.old.end;
    }
    out.extend_from_slice(slice(base, &(at..reach.end)));
    out
}
