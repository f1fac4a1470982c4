//! Reads a model's text as an [`Answer`]: blocks if there are any, else fenced code, else bare code. Line ends, fences
//! and surrounding text do not matter.

use crate::propose::answer::format::{Answer, AnswerError, Block, Change, MAX_ANSWER_BYTES, MAX_BLOCKS};
use crate::propose::answer::thoughts::without_thoughts;
use crate::propose::proposer::HYPOTHESIS_CHARS;
use crate::system::sanitize;

/// Marks of the aider format. The number of signs may vary.
const SEPARATOR: &str = "=======";
const END: &str = ">>>>>>> REPLACE";
/// Fewest signs of a mark.
const MARK_SIGNS: usize = 5;
/// The call at the end of every guest.
const GUEST: &str = "guest!(";

/// Reads the change and the hypothesis. Thoughts are not read.
///
/// # Errors
/// Why the text is not an answer.
pub fn read(text: &str) -> Result<Answer, AnswerError> {
    if text.len() > MAX_ANSWER_BYTES {
        return Err(AnswerError::TooLarge { bytes: text.len() });
    }
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let text = without_thoughts(&text);
    let lines: Vec<&str> = text.split('\n').collect();
    let (blocks, around) = blocks(&lines)?;
    let (change, around) = match blocks.as_slice() {
        [] => whole_file(&lines, true)?,
        [Block { search, replace }] if is_blank(search) && is_file(replace) => (whole(replace), around),
        _ => (Change::Blocks(blocks), around),
    };
    Ok(Answer { hypothesis: hypothesis(&around), change })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Search,
    Separator,
    End,
}

fn mark(line: &str) -> Option<Mark> {
    let line = line.trim();
    let signs = |sign: char| line.chars().take_while(|&c| c == sign).count();
    // All three signs have one byte.
    let after = |count: usize| line.get(count..).unwrap_or_default().trim().to_ascii_uppercase();
    match line.chars().next()? {
        '<' if signs('<') >= MARK_SIGNS => after(signs('<')).starts_with("SEARCH").then_some(Mark::Search),
        '=' if signs('=') >= MARK_SIGNS => after(signs('=')).is_empty().then_some(Mark::Separator),
        '>' if signs('>') >= MARK_SIGNS => {
            let after = after(signs('>'));
            (after.is_empty() || after.starts_with("REPLACE")).then_some(Mark::End)
        }
        _ => None,
    }
}

/// The blocks, and the lines around them.
fn blocks<'a>(lines: &[&'a str]) -> Result<(Vec<Block>, Vec<&'a str>), AnswerError> {
    let (mut blocks, mut around) = (Vec::new(), Vec::new());
    let mut rest = lines.iter().copied();
    while let Some(line) = rest.next() {
        if mark(line) != Some(Mark::Search) {
            around.push(line);
            continue;
        }
        if blocks.len() >= MAX_BLOCKS {
            return Err(AnswerError::TooManyBlocks);
        }
        let block = blocks.len() + 1;
        let mut section = |end: Mark, missing| {
            let mut section = Vec::new();
            for line in rest.by_ref() {
                match mark(line) {
                    Some(found) if found == end => return Ok(section),
                    Some(Mark::Search) => break,
                    _ => section.push(line),
                }
            }
            Err(AnswerError::Unfinished { block, missing })
        };
        let search = section(Mark::Separator, SEPARATOR)?;
        let replace = section(Mark::End, END)?;
        blocks.push(Block { search: owned(unfenced(&search)), replace: owned(unfenced(&replace)) });
    }
    Ok((blocks, around))
}

/// If one fence encloses all lines, the lines within it.
fn unfenced<'a, 'b>(lines: &'b [&'a str]) -> &'b [&'a str] {
    let Some(first) = lines.iter().position(|line| !line.trim().is_empty()) else { return lines };
    let last = lines.iter().rposition(|line| !line.trim().is_empty()).unwrap_or(first);
    match (lines.get(first).and_then(|line| fence(line)), lines.get(last)) {
        (Some(open), Some(close)) if last > first && closes(close, &open) => {
            lines.get(first + 1..last).unwrap_or(lines)
        }
        _ => lines,
    }
}

/// A line that opens a fence: its sign, the number of signs, and its indentation.
struct Fence<'a> {
    sign: char,
    count: usize,
    indent: &'a str,
}

fn fence(line: &str) -> Option<Fence<'_>> {
    let inner = line.trim_start();
    let sign = inner.chars().next().filter(|sign| matches!(sign, '`' | '~'))?;
    let count = inner.chars().take_while(|&c| c == sign).count();
    // The language follows the backticks. If there are more backticks, it is inline code.
    let plain = !inner.get(count..).unwrap_or_default().contains('`');
    let indent = line.get(..line.len() - inner.len()).unwrap_or_default();
    (count >= 3 && plain).then_some(Fence { sign, count, indent })
}

fn closes(line: &str, open: &Fence<'_>) -> bool {
    let line = line.trim();
    line.chars().all(|c| c == open.sign) && line.chars().count() >= open.count
}

/// The only file in the fenced code, and the lines around all fences. The whole answer may be wrapped in one more
/// fence.
fn whole_file<'a>(lines: &[&'a str], may_be_wrapped: bool) -> Result<(Change, Vec<&'a str>), AnswerError> {
    let (mut codes, mut around): (Vec<Vec<&str>>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut rest = lines.iter().copied();
    while let Some(line) = rest.next() {
        let Some(open) = fence(line) else {
            around.push(line);
            continue;
        };
        let inside = rest.by_ref().take_while(|line| !closes(line, &open));
        let inside: Vec<&str> = inside.map(|line| line.strip_prefix(open.indent).unwrap_or(line)).collect();
        if may_be_wrapped && !line.contains("rust") && inside.iter().any(|line| fence(line).is_some()) {
            let (change, within) = whole_file(&inside, false)?;
            return Ok((change, [around, within].concat()));
        }
        codes.push(inside);
    }
    if codes.is_empty() {
        return unfenced_file(lines);
    }
    let mut files: Vec<&Vec<&str>> = codes.iter().filter(|code| is_file(code)).collect();
    files.dedup();
    match files.as_slice() {
        [] => Err(AnswerError::Fragment),
        [file] => Ok((whole(file), around)),
        _ => Err(AnswerError::SeveralFiles { count: files.len() }),
    }
}

/// A file without a fence: from its first line of code or documentation to its `guest!`.
fn unfenced_file<'a>(lines: &[&'a str]) -> Result<(Change, Vec<&'a str>), AnswerError> {
    let begins = |line: &&str| ["//!", "#![", "use "].iter().any(|start| line.starts_with(start));
    let ends = |line: &&str| line.contains(GUEST);
    let (Some(first), Some(last)) = (lines.iter().position(begins), lines.iter().rposition(ends)) else {
        return Err(AnswerError::NoChange);
    };
    match lines.get(first..=last) {
        Some(file) => Ok((whole(file), lines.get(..first).unwrap_or_default().to_vec())),
        None => Err(AnswerError::NoChange),
    }
}

fn is_file(lines: &[impl AsRef<str>]) -> bool {
    lines.iter().any(|line| line.as_ref().contains(GUEST))
}

pub(super) fn is_blank(lines: &[String]) -> bool {
    lines.iter().all(|line| line.trim().is_empty())
}

fn whole(lines: &[impl AsRef<str>]) -> Change {
    let text = lines.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("\n");
    Change::Whole(format!("{}\n", text.trim_matches('\n')))
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// The line that says `Hypothesis:` (or the line after it), else the first line with words.
fn hypothesis(around: &[&str]) -> String {
    let lines: Vec<String> = around.iter().map(|line| plain(line)).filter(|line| !line.is_empty()).collect();
    for (i, line) in lines.iter().enumerate() {
        let Some((head, tail)) = line.split_at_checked("hypothesis".len()) else { continue };
        if !head.eq_ignore_ascii_case("hypothesis") {
            continue;
        }
        let said = tail.trim_start_matches([':', '*', '-', ' ', '—']).trim();
        let next = lines.get(i + 1).map(String::as_str).unwrap_or_default();
        return sanitize::line(if said.is_empty() { next } else { said }, HYPOTHESIS_CHARS);
    }
    sanitize::line(lines.first().map(String::as_str).unwrap_or_default(), HYPOTHESIS_CHARS)
}

/// A line without its Markdown; empty for a fence.
fn plain(line: &str) -> String {
    if fence(line).is_some() {
        return String::new();
    }
    let line = line.trim().trim_start_matches(['#', '>', '*', '-', '_', ' ']).replace("**", "");
    line.trim_end_matches(['*', '_', ' ']).to_owned()
}
