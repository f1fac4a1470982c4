//! What the compiler says, as its JSON lines. Pure.

use crate::system::sanitize;
use serde::Deserialize;

/// Most bytes of compiler messages that are kept. A reader fixes the first errors anyway.
pub const MAX_DIAGNOSTIC_BYTES: usize = 16 << 10;

/// Errors about crates that cannot be loaded. A source can only name crates that are always there.
const LOADING: [&str; 8] = ["E0460", "E0461", "E0462", "E0463", "E0464", "E0514", "E0519", "E0786"];

/// Where public text stands that a message may quote: the guest, the SDK and the standard library.
const QUOTABLE: [&str; 4] = ["train.rs", "/guest-sdk/", "/rustc/", "/std/"];

/// A line of `--error-format=json`.
#[derive(Deserialize)]
struct Message {
    rendered: Option<String>,
    level: String,
    message: String,
    code: Option<Code>,
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    is_primary: bool,
}

impl Message {
    fn is_error(&self) -> bool {
        self.level.starts_with("error")
    }

    fn names_a_line(&self) -> bool {
        self.spans.iter().any(|span| span.is_primary && span.file_name == "train.rs")
    }

    /// Whether it may come from a damaged toolchain or from the system: such errors have codes of loading, or none.
    fn is_ambiguous(&self) -> bool {
        let is_summary = self.message.starts_with("aborting due to");
        !is_summary && self.code.as_ref().is_none_or(|code| LOADING.contains(&code.code.as_str()))
    }

    /// The message as people read it. A file that the source made the compiler read is not quoted.
    fn text(&self) -> Option<String> {
        let is_public = |span: &Span| QUOTABLE.iter().any(|place| span.file_name.starts_with(place));
        match self.spans.iter().all(is_public) {
            true => self.rendered.clone(),
            false => Some(format!("{}: in a file that is not the source\n", self.level)),
        }
    }
}

/// The compiler's errors, then its warnings.
pub(super) struct Diagnostics(Vec<Message>);

impl Diagnostics {
    pub(super) fn read(said: &str) -> Self {
        let messages = said.lines().filter_map(|line| serde_json::from_str(line).ok());
        let (mut errors, others): (Vec<Message>, Vec<Message>) = messages.partition(Message::is_error);
        errors.extend(others);
        Self(errors)
    }

    /// Whether the compiler had no memory. Its own words stand outside the diagnostics, in which a guest can have a
    /// say; only the evaluation of constants says it there.
    pub(super) fn tell_of_no_memory(&self, said: &str) -> bool {
        const STARVED: [&str; 4] =
            ["memory allocation of", "out of memory", "Cannot allocate memory", "std::bad_alloc"];
        let plain = said.lines().filter(|line| !line.starts_with('{'));
        plain.into_iter().any(|line| STARVED.iter().any(|words| line.contains(words)))
            || self.0.iter().any(|message| {
                let is_constant = message.code.as_ref().is_some_and(|code| code.code == "E0080");
                is_constant && message.rendered.as_ref().is_some_and(|text| text.contains("more memory than available"))
            })
    }

    /// How the linker ended, if it failed: `signal: 9 (SIGKILL)`. Its whole command line is left out.
    pub(super) fn linker_failure(&self) -> Option<&str> {
        let mut failures = self.0.iter().filter(|message| message.spans.is_empty() && message.code.is_none());
        failures.find_map(|message| {
            let rest = message.message.strip_prefix("linking with ")?;
            rest.lines().next()?.split_once(" failed: ").map(|(_, end)| end)
        })
    }

    /// Whether they prove that the source is at fault: an error names a line of it, and every error is about language.
    pub(super) fn blame_the_source(&self) -> bool {
        let errors = || self.0.iter().filter(|message| message.is_error());
        errors().any(Message::names_a_line) && !errors().any(Message::is_ambiguous)
    }

    /// The rendered messages. `None` if there are none.
    pub(super) fn text(&self) -> Option<String> {
        let text: String = self.0.iter().filter_map(Message::text).collect();
        let text = text.trim();
        (!text.is_empty()).then(|| printable(text, "\n[more was said]"))
    }
}

/// Caps and escapes a text.
pub(super) fn printable(text: &str, note: &str) -> String {
    let clean = sanitize::printable(text.trim());
    if clean.len() <= MAX_DIAGNOSTIC_BYTES {
        return clean;
    }
    format!("{}{note}", sanitize::cut_bytes(&clean, MAX_DIAGNOSTIC_BYTES - note.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(code: &str, file: &str) -> String {
        format!(
            "{{\"rendered\":\"error: quoted\",\"message\":\"quoted\",\"level\":\"error\",\"code\":{{\"code\":\"{code}\"}},\
             \"spans\":[{{\"file_name\":\"{file}\",\"is_primary\":true}}]}}\n"
        )
    }

    #[test]
    fn a_source_is_blamed_for_its_own_lines_alone() {
        let blames = |said: &str| Diagnostics::read(said).blame_the_source();
        let summary = "{\"rendered\":\"\",\"message\":\"aborting due to 1 error\",\"level\":\"error\"}\n";
        assert!(blames(&(line("E0308", "train.rs") + summary)));
        assert!(!blames(&line("E0308", "/guest-sdk/lib.rs")));
        assert!(!blames(&line("E0463", "train.rs")), "a crate of the toolchain is gone");
        assert!(!blames(&(line("E0308", "train.rs") + &line("E0463", "train.rs"))));
        let lost =
            line("", "train.rs").replace("{\"code\":\"\"}", "null").replace("quoted", "extern location does not exist");
        assert!(!blames(&lost) && !blames(&(line("E0432", "train.rs") + &lost)));
        assert!(!blames("Killed"));
    }

    #[test]
    fn a_guest_cannot_speak_for_the_machine() {
        let of_guest = line("", "train.rs").replace("{\"code\":\"\"}", "null");
        for words in ["memory allocation of 5 bytes failed", "SIGXFSZ", "linking with `x` failed: signal: 9"] {
            let said = of_guest.replace("quoted", words);
            let diagnostics = Diagnostics::read(&said);
            assert!(!diagnostics.tell_of_no_memory(&said) && diagnostics.linker_failure().is_none(), "{words}");
        }
        let linking = "{\"rendered\":\"\",\"level\":\"error\",\"message\":\"linking with `rust-lld` failed: signal: 7 (SIGBUS)\"}";
        assert_eq!(Diagnostics::read(linking).linker_failure(), Some("signal: 7 (SIGBUS)"));
        let starved = "memory allocation of 8 bytes failed";
        assert!(Diagnostics::read(starved).tell_of_no_memory(starved));
    }

    #[test]
    fn other_files_are_not_quoted() {
        let text = |said: &str| Diagnostics::read(said).text().unwrap();
        assert_eq!(text(&line("E0308", "train.rs")), "error: quoted");
        assert_eq!(text(&line("E0308", "/guest-sdk/lib.rs")), "error: quoted");
        assert_eq!(text(&line("E0308", "/etc/os-release")), "error: in a file that is not the source");
    }
}
