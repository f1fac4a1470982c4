//! Parses server-sent events (WHATWG HTML, section 9.2) from pieces of any size, with caps. Pure.

use crate::propose::llm::error::AskError;
use serde_json::{Value, json};

/// Longest line in bytes. A delta has some hundred bytes; some servers send a whole answer in one line.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// Splits a stream of bytes into the data of its events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The current line.
    line: Vec<u8>,
    /// Data of the current event.
    data: Option<String>,
    /// The current event is called an error.
    is_error: bool,
    /// The last byte was a carriage return, so a following line feed belongs to it.
    returned: bool,
}

impl Events {
    /// Reads a piece, and passes the data of each completed event to `event` in order, until `event` returns true.
    pub fn push(
        &mut self,
        piece: &[u8],
        event: &mut dyn FnMut(&str) -> Result<bool, AskError>,
    ) -> Result<bool, AskError> {
        for &byte in piece {
            let after_return = std::mem::replace(&mut self.returned, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    if self.end_line(event)? {
                        return Ok(true);
                    }
                }
                _ => {
                    if self.line.len() >= MAX_LINE_BYTES {
                        return Err(AskError::TooLarge { what: "line", limit: MAX_LINE_BYTES });
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(false)
    }

    /// Handles the end of the stream: many servers leave out the last empty line.
    pub fn finish(&mut self, event: &mut dyn FnMut(&str) -> Result<bool, AskError>) -> Result<bool, AskError> {
        Ok(self.end_line(event)? || self.end_event(event)?)
    }

    fn end_line(&mut self, event: &mut dyn FnMut(&str) -> Result<bool, AskError>) -> Result<bool, AskError> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| AskError::Malformed("a line is not UTF-8".into()))?;
        let line = line.trim_start_matches('\u{feff}');
        if line.is_empty() {
            return self.end_event(event);
        }
        // Some servers put errors, or all events, on lines of their own, without a field.
        if line.starts_with(['{', '[']) {
            return Ok(self.end_event(event)? || event(line)?);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {}
            // llama.cpp has a field for errors.
            "error" => self.is_error = true,
            "event" => {
                self.is_error = value == "error";
                return Ok(false);
            }
            // Comments and ids add nothing to the data.
            _ => return Ok(false),
        }
        match &mut self.data {
            Some(data) if data.len() + value.len() >= MAX_LINE_BYTES => {
                return Err(AskError::TooLarge { what: "event", limit: MAX_LINE_BYTES });
            }
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
        Ok(false)
    }

    fn end_event(&mut self, event: &mut dyn FnMut(&str) -> Result<bool, AskError>) -> Result<bool, AskError> {
        let is_error = std::mem::take(&mut self.is_error);
        match self.data.take() {
            Some(data) if is_error => event(&as_error(data)),
            Some(data) => event(&data),
            None => Ok(false),
        }
    }
}

/// The data of an error, in the form that most servers have: `{"error": …}`.
fn as_error(data: String) -> String {
    match serde_json::from_str::<Value>(&data) {
        Ok(Value::Object(fields)) if fields.contains_key("error") => data,
        Ok(value) => json!({ "error": value }).to_string(),
        Err(_) => json!({ "error": data }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<String>, AskError> {
        let mut events = Events::default();
        let mut found = Vec::new();
        let mut keep = |data: &str| {
            found.push(data.to_owned());
            Ok(false)
        };
        for piece in pieces {
            events.push(piece, &mut keep)?;
        }
        events.finish(&mut keep)?;
        Ok(found)
    }

    #[test]
    fn fields_comments_and_line_ends() {
        let stream =
            ": hello\r\nevent: x\r\ndata: one\r\n\r\ndata:two\ndata: lines\n\ndatum: no\nid: 7\rdata\r\rdata: last";
        assert_eq!(read(&[stream.as_bytes()]).unwrap(), ["one", "two\nlines", "", "last"]);
    }

    #[test]
    fn events_of_servers_with_another_idea_of_them() {
        let stream = "data: one\n{\"a\":1}\nerror: {\"code\":400}\n\nevent: error\ndata: no\n\ndata: two\n\n[DONE]\n";
        let wanted = ["one", "{\"a\":1}", "{\"error\":{\"code\":400}}", "{\"error\":\"no\"}", "two", "[DONE]"];
        assert_eq!(read(&[stream.as_bytes()]).unwrap(), wanted);
    }

    #[test]
    fn a_line_without_end_is_too_long() {
        let piece = vec![b'x'; MAX_LINE_BYTES / 2 + 1];
        assert!(matches!(read(&[&piece, &piece]), Err(AskError::TooLarge { .. })));
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!(matches!(read(&[&line, &line]), Err(AskError::TooLarge { .. })));
    }

    #[test]
    fn bytes_that_are_no_text_are_malformed() {
        assert!(matches!(read(&[b"data: \xff\n\n"]), Err(AskError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn where_it_is_cut_does_not_matter(stream in "([a-d: \r\n]|data: |\u{feff}){0,60}", cut in 0usize..80) {
            let bytes = stream.as_bytes();
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(read(&[a, b]), read(&[bytes]));
        }
    }
}
