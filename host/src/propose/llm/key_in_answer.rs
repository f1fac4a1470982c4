//! Detects a key that is split over the events of a stream or hidden behind JSON escapes, so that its bytes appear
//! nowhere in one piece. Encodings such as base64 are not checked. Pure.

use crate::propose::llm::key::Key;
use crate::propose::llm::sse::Events;
use serde_json::Value;
use std::collections::BTreeMap;

/// The texts of an answer by field: the parts of one field over all events and array elements, in order.
type Texts = BTreeMap<String, String>;

/// Whether the answer's texts contain the key, or may contain it: a body that has escapes but cannot be read counts as
/// containing it.
pub(super) fn holds(key: &Key, body: &[u8]) -> bool {
    let mut texts = Texts::new();
    let whole = serde_json::from_slice::<Value>(body);
    let is_read = match whole {
        Ok(value) => {
            collect(&value, "", &mut texts);
            true
        }
        Err(_) => collect_events(body, &mut texts),
    };
    !is_read || texts.values().any(|text| key.is_in(text))
}

/// Returns false if a part with escapes could not be read.
fn collect_events(body: &[u8], texts: &mut Texts) -> bool {
    let (mut events, mut is_read, mut any) = (Events::default(), true, false);
    let mut take = |data: &str| {
        any = true;
        match serde_json::from_str::<Value>(data) {
            Ok(value) => collect(&value, "", texts),
            Err(_) => is_read &= !has_escapes(data.as_bytes()),
        }
        Ok(false)
    };
    let ended = events.push(body, &mut take).and_then(|_| events.finish(&mut take));
    is_read && (any && ended.is_ok() || !has_escapes(body))
}

/// Whether there are escapes that could hide a character of a key.
fn has_escapes(body: &[u8]) -> bool {
    body.windows(2).any(|two| matches!(two, b"\\u" | b"\\/"))
}

fn collect(value: &Value, path: &str, texts: &mut Texts) {
    match value {
        Value::String(text) => texts.entry(path.into()).or_default().push_str(text),
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, path, texts)),
        Value::Object(fields) => {
            for (name, field) in fields {
                texts.entry(format!("{path}/")).or_default().push_str(name);
                collect(field, &format!("{path}/{name}"), texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-test-0123456789abcdef";

    fn found(body: &str) -> bool {
        holds(&Key::new(KEY).unwrap(), body.as_bytes())
    }

    /// A stream with the key split over events, in this field.
    fn pieces(field: &str) -> String {
        let pieces = KEY.as_bytes().chunks(7).map(|piece| String::from_utf8_lossy(piece).into_owned());
        pieces.map(|piece| format!("data: {{\"choices\":[{{\"delta\":{{\"{field}\":\"{piece}\"}}}}]}}\n\n")).collect()
    }

    #[test]
    fn a_key_in_pieces_or_behind_escapes_is_found() {
        for field in ["content", "reasoning_content", "whatever"] {
            assert!(found(&pieces(field)), "{field}");
            let all = pieces(field);
            assert!(found(&all[..all.len() - 20]), "the last piece is cut off: {field}");
        }
        let escaped: String = KEY.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
        for body in [
            format!("{{\"error\":\"{escaped}\"}}"),
            format!("data: {{\"x\":\"{escaped}\"}}\n\n"),
            format!("data: {{\"{escaped}\":1}}\n\n"),
            format!("data: {{\"x\":\"{escaped}"),
            format!("{{\"error\":\"{escaped}"),
        ] {
            assert!(found(&body), "{body}");
        }
    }

    #[test]
    fn answers_without_it_are_left_as_they_came() {
        for body in [
            pieces("content").replace("sk-", "ks-"),
            "{\"error\":\"a \\u0041 line\\n\"}".into(),
            "<html>not found</html>".into(),
            ": ping\n\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n".into(),
            String::new(),
        ] {
            assert!(!found(&body), "{body}");
        }
    }
}
