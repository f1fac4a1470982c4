//! The page of a finding: Markdown that any Git host shows, with the signed text in it. It is a function of that text,
//! so that nothing on it can be changed.

use crate::community::error::FormError;
use crate::community::finding::Finding;
use crate::community::form::{MAX_HEAD_BYTES, Signed};
use crate::community::purpose::Purpose;
use crate::record::key::Hash;
use std::fmt::Write as _;

/// Largest page in bytes.
pub const MAX_PAGE_BYTES: usize = 2 * MAX_HEAD_BYTES;
/// First line of each page; invisible where it is shown.
const MARK: &str = "<!-- nightlab finding 1 -->";
const FENCE: &str = "```";
/// Longest words of a folder's name, in characters.
const SLUG_CHARS: usize = 40;

/// The folder of what a lab publishes, in a commons.
pub const LABS: &str = "labs";
/// Files of a finding.
pub const PAGE: &str = "README.md";
pub const SOURCE: &str = "train.rs";

impl Signed<Finding> {
    /// Its folder in a commons: of this lab alone, and another one for each experiment.
    pub fn folder(&self) -> String {
        let (by, experiment) = (self.by, self.text.evidence.experiment().short());
        format!("{LABS}/{by}/findings/{}{experiment}", slug(self.text.change.text()))
    }

    /// The hash of what was signed, by which it is known.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.to_bytes())
    }

    /// Whether a file is a page.
    pub fn is_page(bytes: &[u8]) -> bool {
        bytes.strip_prefix(MARK.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'\n'))
    }

    pub fn page(&self) -> String {
        let Finding { change, hypothesis, author, parent, credits, bpb, .. } = &self.text;
        let experiment = self.text.evidence.experiment();
        let licence =
            |licence: Option<&_>| licence.map_or("no licence given".into(), |licence| format!("licence {licence}"));
        let mut out = format!("{MARK}\n# Finding {}\n\n    {change}\n\n", experiment.short());
        let _ = writeln!(out, "- {bpb:.4} bits per byte on held-out text{}.", self.gain());
        let _ =
            writeln!(out, "- [{SOURCE}]({SOURCE}), {}, by the key `{author}`.", licence(self.text.licence.as_ref()));
        let _ = writeln!(out, "- Measured by the lab `{}`.", self.by);
        let _ = writeln!(out, "- Made from the source with the BLAKE3 hash `{parent}`.");
        for owed in credits.iter() {
            let terms = licence(owed.licence.as_ref());
            let _ = writeln!(out, "- It goes back to the key `{}`, {terms}, in the file `{}`.", owed.author, owed.file);
        }
        if let Some(words) = hypothesis.words() {
            let _ = write!(out, "\nWhat its author hoped for:\n\n    {words}\n");
        }
        let (folder, signed) = (self.folder(), self.to_bytes());
        let signed = String::from_utf8_lossy(&signed);
        let _ = write!(
            out,
            "\nTo prove or refute it, in a lab that has run a night on the same terms:\n\n    host verify {folder}\n\nThis is \
             signed, and the text above follows from it:\n\n{FENCE}text\n{}\n{FENCE}\n",
            signed.trim_end_matches('\n')
        );
        out
    }

    fn gain(&self) -> String {
        let Finding { delta, p_better, pairs, .. } = &self.text;
        let mut parts = Vec::new();
        parts.extend(delta.map(|delta| format!("{delta} against what it met")));
        parts.extend(p_better.map(|p| format!("better with probability {p}")));
        parts.extend(pairs.map(|pairs| format!("on {pairs} random seeds")));
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }

    /// Reads a page, and refuses everything but the one that its signed text makes.
    pub fn read_page(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > MAX_PAGE_BYTES {
            return Err(FormError::TooLong { purpose: Purpose::Finding, cap: MAX_PAGE_BYTES });
        }
        if !Self::is_page(bytes) {
            return Err(FormError::Purpose(Purpose::Finding));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| FormError::NotText(error.valid_up_to()))?;
        let signed =
            text.split_once(&format!("\n{FENCE}text\n")).and_then(|(_, rest)| rest.split_once(&format!("\n{FENCE}\n")));
        let (signed, _) = signed.ok_or(FormError::NoEnd(MAX_PAGE_BYTES))?;
        let read = Self::read(format!("{signed}\n\n").as_bytes())?;
        let page = read.page();
        if page == text {
            return Ok(read);
        }
        let at = page.bytes().zip(text.bytes()).position(|(a, b)| a != b);
        Err(FormError::Page { at: at.unwrap_or_else(|| page.len().min(text.len())) })
    }
}

/// Letters and digits of a change, for the name of a folder.
fn slug(change: &str) -> String {
    let mut out = String::new();
    for c in change.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => out.push(c),
            _ if !out.is_empty() && !out.ends_with('-') => out.push('-'),
            _ => {}
        }
        if out.len() >= SLUG_CHARS {
            break;
        }
    }
    match out.trim_end_matches('-') {
        "" => String::new(),
        words => format!("{words}-"),
    }
}
