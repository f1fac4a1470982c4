//! Makes untrusted text safe to show. The result has no characters that control a terminal, hide, or reorder text.
//! Pure.

/// The text with control, bidirectional and invisible characters as `\u{…}`. Line feeds and tabs stay.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if effect(c).is_some() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Text as a cell of a table. Spreadsheets execute what begins like a formula, so that gets a quote before it.
pub fn cell(text: &str) -> String {
    let begins_a_formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if begins_a_formula { format!("'{text}") } else { text.to_owned() }
}

/// A text for a field of one line: line feeds and tabs become spaces, and what acts is written out.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// At most `max_chars` characters of a text. `mark` is appended if it was cut.
pub fn cut(text: &str, max_chars: usize, mark: &str) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}{mark}", &text[..end]),
        None => text.to_owned(),
    }
}

/// The longest prefix of a text that has at most `max_bytes` bytes and splits no character.
pub fn cut_bytes(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// The first line that has words, escaped, at most `max_chars` characters. `…` is appended if it was cut.
pub fn line(text: &str, max_chars: usize) -> String {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    // Cut first, because escaping the rest would only cost time.
    let some: String = first.chars().take(max_chars.saturating_add(1)).collect();
    cut(&one_line(&some), max_chars, "…")
}

/// Effect of a character besides being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Controls a terminal.
    Controls,
    /// Changes the direction of the text around it.
    Reorders,
    /// Is invisible, or joins or changes its neighbours.
    Hides,
}

/// The effect of a character besides being read; `None` for line feeds and tabs.
pub fn effect(c: char) -> Option<Effect> {
    match c {
        '\n' | '\t' => None,
        // Arabic letter mark, direction marks, overrides and embeddings, isolates.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Effect::Reorders)
        }
        // The rest of Unicode's Default_Ignorable_Code_Point: soft hyphen, joiners, fillers of Hangul, inherent vowels
        // of Khmer, selectors of variants, vowel separator, zero-width spaces and joiners, word joiner, invisible
        // operators, deprecated shaping, byte order mark, shorthand and musical controls, tags.
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => Some(Effect::Hides),
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' => Some(Effect::Hides),
        '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' => Some(Effect::Hides),
        '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' => Some(Effect::Hides),
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => Some(Effect::Hides),
        // Separators of lines and paragraphs, the empty pattern of braille, interlinear marks, controls of hieroglyphs.
        '\u{2028}' | '\u{2029}' | '\u{2800}' | '\u{fff9}'..='\u{fffb}' => Some(Effect::Hides),
        '\u{13430}'..='\u{1345f}' => Some(Effect::Hides),
        c => c.is_control().then_some(Effect::Controls),
    }
}

/// A text as one word of a shell.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./,:@%+".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into(),
        false => format!("'{}'", printable(text).replace('\'', "'\\''")),
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
        for invisible in "\u{3164}\u{115f}\u{1160}\u{1d173}\u{17b4}\u{180b}\u{fe0f}\u{34f}\u{2800}\u{ffa0}".chars() {
            assert_eq!(effect(invisible), Some(Effect::Hides), "{invisible:?}");
        }
    }

    #[test]
    fn a_field_is_one_line() {
        assert_eq!(one_line("a\nb\tc\u{2028}d\u{85}e\r"), "a b c\\u{2028}d\\u{85}e\\r");
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
