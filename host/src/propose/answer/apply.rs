//! Applies an [`Answer`] to the parent. Each block must match exactly one place: first byte for byte, then ignoring
//! blanks at line ends, then ignoring indentation, last within one line.

use crate::guest::source::MAX_SOURCE_BYTES;
use crate::propose::answer::format::{Answer, AnswerError, Block, Change};
use crate::propose::answer::read::is_blank;
use std::ops::Range;

/// Longest search text in bytes that is looked for within a line.
const WITHIN_A_LINE: usize = 1000;
/// Lines of a search text that are compared to find the nearest place.
const COMPARED_LINES: usize = 40;
/// Characters of a line that are compared and shown.
const COMPARED_CHARS: usize = 120;
/// Largest number of lines that an error shows.
const SHOWN_LINES: usize = 8;
/// Number of places that an error names.
const NAMED_PLACES: usize = 5;

/// The new file that an answer makes from `parent`. Line ends become `\n`.
///
/// # Errors
/// A block matches nowhere (with the nearest lines) or several times, or the answer changes nothing.
pub fn apply(answer: &Answer, parent: &str) -> Result<String, AnswerError> {
    let parent = parent.replace("\r\n", "\n");
    let child = match &answer.change {
        Change::Whole(text) => text.clone(),
        Change::Blocks(blocks) => apply_blocks(blocks, &parent)?,
    };
    if child.len() > MAX_SOURCE_BYTES {
        return Err(AnswerError::ResultTooLarge { bytes: child.len() });
    }
    if child.trim_end() == parent.trim_end() { Err(AnswerError::Unchanged) } else { Ok(child) }
}

/// A replacement for some lines of the parent.
struct Edit {
    block: usize,
    lines: Range<usize>,
    text: Vec<String>,
}

fn apply_blocks(blocks: &[Block], parent: &str) -> Result<String, AnswerError> {
    let lines: Vec<&str> = parent.split('\n').collect();
    let edits = blocks.iter().enumerate().map(|(i, block)| locate(i + 1, block, &lines));
    let mut edits = edits.collect::<Result<Vec<Edit>, _>>()?;
    edits.sort_by_key(|edit| (edit.lines.start, edit.block));
    for pair in edits.windows(2) {
        if let [a, b] = pair
            && b.lines.start < a.lines.end
        {
            let (first, second) = (a.block.min(b.block), a.block.max(b.block));
            return Err(AnswerError::Overlap { first, second });
        }
    }
    let mut child: Vec<&str> = Vec::new();
    let mut at = 0;
    for edit in &edits {
        child.extend(lines.get(at..edit.lines.start).unwrap_or_default());
        child.extend(edit.text.iter().map(String::as_str));
        at = edit.lines.end;
    }
    child.extend(lines.get(at..).unwrap_or_default());
    Ok(child.join("\n"))
}

fn locate(number: usize, block: &Block, parent: &[&str]) -> Result<Edit, AnswerError> {
    if is_blank(&block.search) {
        return Err(AnswerError::EmptySearch { block: number });
    }
    let forms = [(block.search.as_slice(), block.replace.as_slice()), trimmed(block)];
    let views: [fn(&str) -> &str; 3] = [|line| line, str::trim_end, str::trim];
    for ((search, replace), view) in forms.into_iter().flat_map(|form| views.map(|view| (form, view))) {
        let seen: Vec<&str> = parent.iter().map(|line| view(line)).collect();
        let wanted: Vec<&str> = search.iter().map(|line| view(line)).collect();
        match places(&seen, &wanted).as_slice() {
            [] => {}
            [start] => {
                let (searched, found) = (search.iter().map(String::as_str), parent.iter().skip(*start).copied());
                let text = indented(replace, searched, found);
                return Ok(Edit { block: number, lines: *start..*start + search.len(), text });
            }
            many => return Err(ambiguous(number, many)),
        }
    }
    let (search, replace) = trimmed(block);
    if let ([search], [replace]) = (search, replace)
        && search.len() <= WITHIN_A_LINE
        && let Some(edit) = within_a_line(number, search.trim(), replace.trim(), parent)?
    {
        return Ok(edit);
    }
    Err(AnswerError::NotFound { block: number, nearest: nearest(search, parent) })
}

/// Where `wanted` begins in `lines`, matches that overlap included. Linear (Knuth, Morris and Pratt), since both texts
/// may be a hundred thousand equal lines.
fn places(lines: &[&str], wanted: &[&str]) -> Vec<usize> {
    // For each length of a match, the length of the next shorter one that ends at the same line.
    let mut shorter = vec![0];
    let next = |shorter: &[usize], mut length: usize, line: &str| {
        while length == wanted.len() || wanted[length] != line {
            if length == 0 {
                return 0;
            }
            length = shorter[length];
        }
        length + 1
    };
    for (at, line) in wanted.iter().enumerate() {
        let length = if at == 0 { 0 } else { next(&shorter, shorter[at], line) };
        shorter.push(length);
    }
    let mut found = Vec::new();
    let mut length = 0;
    for (at, line) in lines.iter().enumerate() {
        length = next(&shorter, length, line);
        if length == wanted.len() && length > 0 {
            found.push(at + 1 - length);
        }
    }
    found
}

/// The search text without empty lines at both ends, and the replacement without the same number of empty lines.
fn trimmed(block: &Block) -> (&[String], &[String]) {
    let blank = |line: &&String| line.trim().is_empty();
    let ends = |lines: &[String]| {
        let before = lines.iter().take_while(blank).count();
        (before, lines.iter().rev().take_while(blank).count().min(lines.len() - before))
    };
    let ((before, after), (above, below)) = (ends(&block.search), ends(&block.replace));
    let cut = |lines: &[String], before: usize, after: usize| before..lines.len().saturating_sub(after).max(before);
    let search = block.search.get(cut(&block.search, before, after)).unwrap_or_default();
    let replace = block.replace.get(cut(&block.replace, before.min(above), after.min(below))).unwrap_or_default();
    (search, replace)
}

/// The replacement, with the indentation of the first searched line exchanged for that of the line found.
fn indented<'a>(
    replace: &[String],
    searched: impl Iterator<Item = &'a str>,
    found: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let indent = |line: &'a str| line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
    let first = searched.zip(found).find(|(searched, _)| !searched.trim().is_empty());
    let (from, to) = first.map_or(("", ""), |(searched, found)| (indent(searched), indent(found)));
    let moved = |line: &String| match line.strip_prefix(from) {
        Some(rest) if !rest.trim().is_empty() => format!("{to}{rest}"),
        _ => line.clone(),
    };
    if from == to { replace.to_vec() } else { replace.iter().map(moved).collect() }
}

/// Matches a search text that is part of one line, at word boundaries.
fn within_a_line(block: usize, search: &str, replace: &str, parent: &[&str]) -> Result<Option<Edit>, AnswerError> {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut found = Vec::new();
    for (number, line) in parent.iter().enumerate() {
        // Every start counts: matches that overlap are as ambiguous as others.
        for at in line.char_indices().map(|(at, _)| at).filter(|&at| line[at..].starts_with(search)) {
            let (before, after) =
                (line.get(..at).unwrap_or_default(), line.get(at + search.len()..).unwrap_or_default());
            let splits_before = word(before.chars().next_back()) && word(search.chars().next());
            let splits_after = word(after.chars().next()) && word(search.chars().next_back());
            if !splits_before && !splits_after {
                found.push((number, at));
            }
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        &[(number, at)] => {
            let mut text = parent.get(number).copied().unwrap_or_default().to_owned();
            text.replace_range(at..at + search.len(), replace);
            Ok(Some(Edit { block, lines: number..number + 1, text: vec![text] }))
        }
        many => Err(ambiguous(block, &many.iter().map(|(number, _)| *number).collect::<Vec<_>>())),
    }
}

fn ambiguous(block: usize, starts: &[usize]) -> AnswerError {
    let named: Vec<String> = starts.iter().take(NAMED_PLACES).map(|start| (start + 1).to_string()).collect();
    let more = if starts.len() > NAMED_PLACES { ", …" } else { "" };
    AnswerError::Ambiguous { block, count: starts.len(), lines: named.join(", ") + more }
}

/// The lines of the parent that are most similar to the search text, with their numbers.
fn nearest(search: &[String], parent: &[&str]) -> String {
    let wanted: Vec<&str> = search.iter().take(COMPARED_LINES).map(|line| line.trim()).collect();
    let mut best = (0, 0);
    for start in 0..parent.len() {
        let lines = parent.iter().skip(start).zip(&wanted);
        let score: usize = lines.map(|(line, wanted)| likeness(line.trim(), wanted)).sum();
        if score > best.0 {
            best = (score, start);
        }
    }
    let (_, start) = best;
    let shown = parent.iter().enumerate().skip(start).take(wanted.len().clamp(1, SHOWN_LINES));
    let shown = shown.map(|(i, line)| {
        let line: String = line.chars().take(COMPARED_CHARS).collect();
        format!("{:>5} | {line}", i + 1)
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// Number of equal bytes at the start and end of two lines, within their first [`COMPARED_CHARS`]. An equal line counts
/// double.
fn likeness(a: &str, b: &str) -> usize {
    if a == b {
        return 2 * a.len().min(COMPARED_CHARS);
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let before = a.iter().zip(b).take(COMPARED_CHARS).take_while(|(a, b)| a == b).count();
    let left = a.len().min(b.len()).min(COMPARED_CHARS) - before;
    before + a.iter().rev().zip(b.iter().rev()).take(left).take_while(|(a, b)| a == b).count()
}
