//! Text that a stranger may have written, made harmless to read: no character that acts on a terminal, hides, or reorders
//! what is seen. Pure.

/// The text with control, bidirectional and invisible characters as `\u{…}`; line feeds and tabs stay.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// At most `max_chars` characters of a text; `mark` follows where something was cut.
pub fn cut(text: &str, max_chars: usize, mark: &str) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}{mark}", &text[..end]),
        None => text.to_owned(),
    }
}

/// The longest start of a text that has at most `max_bytes` bytes and splits no character.
pub fn cut_bytes(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// At most `max_chars` characters of the text's first line with words in it, escaped; `…` where something was cut.
pub fn line(text: &str, max_chars: usize) -> String {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    // Escaping what is beyond the cap would only cost time.
    let some: String = first.chars().take(max_chars.saturating_add(1)).collect();
    cut(&printable(&some).replace('\t', " "), max_chars, "…")
}

/// Whether a character does something other than being read: it acts on a terminal, hides, or reorders.
pub fn acts(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Soft hyphen, Arabic letter mark, zero-width and direction marks, separators, overrides, isolates, joiners, byte
        // order mark, interlinear marks, tags, variation selectors' supplement.
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e01ef}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        assert_eq!(printable("a\u{1b}[31m\n\tb\r"), "a\\u{1b}[31m\n\tb\\r");
        assert_eq!(printable("x\u{202e}y\u{200b}z\u{e0041}"), "x\\u{202e}y\\u{200b}z\\u{e0041}");
        assert_eq!(printable("naïve → ü 数"), "naïve → ü 数");
    }

    #[test]
    fn a_cut_splits_no_character() {
        assert_eq!(cut("naïve", 3, "…"), "naï…");
        assert_eq!(cut("naïve", 5, "…"), "naïve");
        assert_eq!(cut("naïve", 0, " (cut)"), " (cut)");
        assert_eq!(cut_bytes("naïve", 3), "na");
        assert_eq!(cut_bytes("naïve", 4), "naï");
        assert_eq!(cut_bytes("naïve", 99), "naïve");
    }

    #[test]
    fn a_line_is_one_and_short() {
        assert_eq!(line("\n  first\tword \nsecond", 20), "first word");
        assert_eq!(line("abcdef", 3), "abc…");
        assert_eq!(line("abc", 3), "abc");
        assert_eq!(line("", 3), "");
    }
}
