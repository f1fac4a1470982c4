//! The card of a component that was sent in the place of a source. It stands where a source's text would: in the store,
//! in records, in reports. It is a function of the component's bytes, so nobody can write a card that lies.

use crate::record::key::{Hash, SourceKey};
use crate::system::sanitize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use wasmparser::{KnownCustom, Parser, Payload, ProducersFieldValue};

/// First word of a card. No Rust source begins so.
const COMPONENT: &str = "component ";
/// Names of tools that a card repeats, and their longest form in characters.
const MOST_TOOLS: usize = 6;
const TOOL_CHARS: usize = 40;
/// First byte of what is hashed into the key of a card. The keys of sources have others.
const CARD: u8 = 2;

/// A text that names a component by the hash of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    component: Hash,
    text: String,
}

impl Card {
    /// The card of these bytes, which need not be a component: it says what came.
    pub fn of(bytes: &[u8]) -> Self {
        let component = Hash::of(bytes);
        let mut text = format!("{COMPONENT}{component}\nbytes {}\n", bytes.len());
        for tool in tools(bytes) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "made with {tool}");
        }
        Self { component, text }
    }

    /// A text that has the form of a card. Whether it is the card of the component that it names is seen when that is
    /// there.
    pub fn read(text: &str) -> Option<Self> {
        let component = text.lines().next()?.strip_prefix(COMPONENT)?.parse().ok()?;
        Some(Self { component, text: text.to_owned() })
    }

    /// Hash of the component's bytes, which names its blob.
    pub fn component(&self) -> Hash {
        self.component
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key that stands for a source key.
    pub fn key(&self) -> SourceKey {
        SourceKey::of(&[&[CARD], &self.component.0[..]].concat())
    }

    /// The card in one line.
    pub fn words(&self) -> String {
        let rest: Vec<&str> = self.text.lines().skip(1).map(|line| line.trim_start_matches("made with ")).collect();
        sanitize::line(&format!("component {}, {}", self.component.short(), rest.join(", ")), 160)
    }
}

/// The languages and tools that the component says it was made with.
fn tools(bytes: &[u8]) -> BTreeSet<String> {
    let mut tools = BTreeSet::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().map_while(Result::ok) {
            for ProducersFieldValue { name, version } in field.values.into_iter().map_while(Result::ok) {
                if tools.len() == MOST_TOOLS {
                    return tools;
                }
                tools.insert(sanitize::line(format!("{name} {version}").trim(), TOOL_CHARS));
            }
        }
    }
    tools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_what_came() {
        let card = Card::of(b"\0asm\x0d\0\x01\0");
        assert_eq!(Card::read(card.text()), Some(card.clone()));
        assert_eq!(card.text(), format!("component {}\nbytes 8\n", card.component()));
        assert_eq!(card.words(), format!("component {}, bytes 8", card.component().short()));
        assert_ne!(card.key(), Card::of(b"other").key());
        for text in ["", "fn main() {}", "component", "component 12", "components"] {
            assert_eq!(Card::read(text), None, "{text}");
        }
    }

    #[test]
    fn tools_are_named_and_their_names_do_nothing() {
        let mut producers = wasm_encoder::ProducersSection::new();
        let mut field = wasm_encoder::ProducersField::new();
        field.value("clang", "14.0.6").value("a\nb\u{1b}[2J", "1").value(&"x".repeat(500), "2");
        producers.field("processed-by", &field);
        let mut module = wasm_encoder::Module::new();
        module.section(&producers);
        let card = Card::of(&module.finish());
        assert_eq!(card.text().lines().count(), 5, "{card:?}");
        assert!(card.text().contains("made with clang 14.0.6\n"), "{card:?}");
        assert!(card.text().len() < 300 && !card.text().contains('\u{1b}'), "{card:?}");
    }
}
