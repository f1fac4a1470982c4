//! Takes the thoughts out of a model's text. Many servers leave them in the answer, and drafts in thoughts look like
//! answers. What cannot be told from a thought is dropped: a lost answer is asked for again, an applied draft is not
//! noticed. Pure; input is untrusted.

use std::borrow::Cow;

/// Names of tags around thoughts. A prefix such as `seed:` may stand before them.
const THOUGHTS: [&str; 16] = [
    "think",
    "thinking",
    "thought",
    "thoughts",
    "reasoning",
    "reason",
    "reflection",
    "scratchpad",
    "analysis",
    "draft",
    "rationale",
    "monologue",
    "inner_monologue",
    "think_fast",
    "think_faster",
    "antthinking",
];
/// Special tokens that open and close thoughts without being a pair of tags.
const OPENERS: [&str; 4] = ["begin_of_thought", "start_thinking", "begin_think", "inner_prefix"];
const CLOSERS: [&str; 4] = ["end_of_thought", "end_thinking", "end_think", "inner_suffix"];
/// Names of marks that open the answer.
const ANSWERS: [&str; 9] = [
    "answer",
    "final_answer",
    "final",
    "response",
    "solution",
    "output",
    "begin_of_solution",
    "start_response",
    "start_text",
];
/// Special tokens that may be left at the end of an answer.
const LAST_TOKENS: [&str; 9] = [
    "<|return|>",
    "<|end|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end_of_solution|>",
    "<end_of_turn>",
    "</s>",
];
/// What IBM's Granite says before its thoughts and before its answer.
const GRANITE: [[&str; 2]; 2] =
    [["Here is my thought process", "Here is my response"], ["Here's my thought process", "Here's my response"]];
/// Longest mark in bytes, with its brackets and attributes.
const MARK_BYTES: usize = 80;

/// The text without thoughts and without the marks around thoughts and answers.
pub fn without_thoughts(text: &str) -> String {
    let text = without_last_tokens(text);
    if let Some(said) = final_channel(text).or_else(|| after_bare_channels(text)).or_else(|| after_granite(text)) {
        return said;
    }
    let (mut said, mut at, mut thinks) = (String::new(), 0, None::<Kind>);
    for mark in marks(text) {
        match mark.kind {
            kind @ (Kind::Opens | Kind::OpensDetails) => {
                if thinks.is_none() {
                    said.push_str(text.get(at..mark.start).unwrap_or_default());
                    thinks = Some(kind);
                }
            }
            // Thoughts without a beginning: the server took their first mark for part of the prompt. After the end of
            // a thought, they were nested.
            Kind::Closes => {
                if thinks.is_none() {
                    said.clear();
                }
                thinks = None;
            }
            // Other text may be in `<details>` too.
            Kind::ClosesDetails if thinks != Some(Kind::OpensDetails) => continue,
            Kind::ClosesDetails => thinks = None,
            Kind::OpensAnswer => {
                said.clear();
                thinks = None;
            }
            Kind::ClosesAnswer => {
                if thinks.is_none() {
                    said.push_str(text.get(at..mark.start).unwrap_or_default());
                }
            }
        }
        at = mark.end;
    }
    if thinks.is_none() {
        said.push_str(text.get(at..).unwrap_or_default());
    }
    said
}

fn without_last_tokens(text: &str) -> &str {
    let mut text = text;
    while let Some(rest) = LAST_TOKENS.iter().find_map(|token| text.trim_end().strip_suffix(token)) {
        text = rest;
    }
    text
}

/// The messages of the channel `final`, in OpenAI's harmony format:
/// `<|start|>assistant<|channel|>final<|message|>…<|end|>`. A message without a channel is an answer too. The first
/// tokens may be missing. `None` if the text has another format.
fn final_channel(text: &str) -> Option<String> {
    const MESSAGE: &str = "<|message|>";
    const CHANNEL: &str = "<|channel|>";
    const ENDS: [&str; 5] = ["<|end|>", "<|return|>", "<|call|>", "<|start|>", CHANNEL];
    if !text.contains(MESSAGE) && !text.contains(CHANNEL) {
        return None;
    }
    let mut parts = text.split(MESSAGE);
    let mut before = parts.next().unwrap_or_default();
    let mut said = String::new();
    for part in parts {
        let name = match before.rsplit_once(CHANNEL) {
            Some((_, name)) => name,
            None => before.rsplit_once("<|start|>assistant").map_or(before, |(_, rest)| rest),
        };
        let name: String = name.trim_start().chars().take_while(char::is_ascii_alphanumeric).collect();
        if matches!(name.as_str(), "final" | "") {
            let end = ENDS.iter().filter_map(|end| part.find(end)).min().unwrap_or(part.len());
            said.push_str(part.get(..end).unwrap_or_default());
            said.push('\n');
        }
        before = part;
    }
    Some(said)
}

/// Harmony whose special tokens are lost: `analysisLet me see.assistantfinalThe answer.`
fn after_bare_channels(text: &str) -> Option<String> {
    if !text.trim_start().starts_with("analysis") {
        return None;
    }
    text.rsplit_once("assistantfinal").map(|(_, answer)| answer.to_owned())
}

fn after_granite(text: &str) -> Option<String> {
    let [_, answer] = GRANITE.into_iter().find(|[thoughts, _]| text.trim_start().starts_with(thoughts))?;
    let (_, said) = text.rsplit_once(answer).unwrap_or_default();
    Some(said.trim_start_matches([':', '*', ' ']).to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Opens,
    Closes,
    /// `<details type="reasoning">`, as some servers fold thoughts for web pages.
    OpensDetails,
    ClosesDetails,
    OpensAnswer,
    ClosesAnswer,
}

/// A mark, with its place in the text.
struct Mark {
    kind: Kind,
    start: usize,
    end: usize,
}

/// The marks of thoughts and answers in their order. Marks in quotes are spoken about.
fn marks(text: &str) -> impl Iterator<Item = Mark> {
    text.match_indices(['<', '[', '◁']).filter_map(|(start, open)| {
        let close = match open {
            "<" => '>',
            "[" => ']',
            _ => '▷',
        };
        let rest = text.get(start + open.len()..)?;
        let length = rest.char_indices().take_while(|(at, _)| *at <= MARK_BYTES).find(|(_, c)| *c == close)?.0;
        let end = start + open.len() + length + close.len_utf8();
        let inner = rest.get(..length)?;
        let kind = kind(open, inner)?;
        let before = text.get(..start).unwrap_or_default().chars().next_back();
        let after = text.get(end..).unwrap_or_default().chars().next();
        let is_quoted = before == after && before.is_some_and(|c| matches!(c, '`' | '"' | '\''));
        // `Vec<thought>` is a type.
        let is_type = open == "<"
            && !inner.starts_with(['/', '|'])
            && !inner.ends_with('|')
            && before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':'));
        (!is_quoted && !is_type).then_some(Mark { kind, start, end })
    })
}

/// The kind of a mark by the text between its brackets; `None` if it is another text.
fn kind(open: &str, inner: &str) -> Option<Kind> {
    match inner {
        // The channels of Gemma: `<|channel>thought … <channel|>`.
        "|channel" => return Some(Kind::Opens),
        "channel|" => return Some(Kind::Closes),
        // The format of Solar: `<|think|>…<|end|><|begin|>assistant<|content|>…`.
        "|content|" => return Some(Kind::OpensAnswer),
        _ => {}
    }
    let inner = inner.trim_matches('|');
    let (closes, inner) = inner.strip_prefix('/').map_or((false, inner), |rest| (true, rest));
    let (name, attributes) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
    let name = name.rsplit(':').next().unwrap_or_default();
    let is_lower = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let is_upper = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    // Types are written in camel case, and indices in small letters.
    let is_mark = if open == "[" { is_upper } else { is_lower || is_upper || name == "antThinking" };
    if !is_mark {
        return None;
    }
    let name: Cow<str> = name.to_ascii_lowercase().into();
    let is_of = |names: &[&str]| names.contains(&name.as_ref());
    let about_thoughts = ["reason", "think", "thought"].iter().any(|word| attributes.contains(word));
    match (closes, name.as_ref()) {
        (false, "details") => about_thoughts.then_some(Kind::OpensDetails),
        (true, "details") => Some(Kind::ClosesDetails),
        (true, _) if is_of(&THOUGHTS) => Some(Kind::Closes),
        (false, _) if is_of(&CLOSERS) => Some(Kind::Closes),
        (false, _) if is_of(&THOUGHTS) || is_of(&OPENERS) => Some(Kind::Opens),
        (false, _) if is_of(&ANSWERS) => Some(Kind::OpensAnswer),
        (true, _) if is_of(&ANSWERS) => Some(Kind::ClosesAnswer),
        (false, "end_of_solution" | "end_response" | "end_text") => Some(Kind::ClosesAnswer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thoughts_of_many_models_are_left_out() {
        for text in [
            "<think>draft</think>answer",
            "<think>\ndraft\n</think>\n\nanswer\n",
            "draft\n</think>\nanswer",
            "<think>draft</think>draft</think>answer",
            "<think>a <think>b</think> draft </think>answer",
            "answer <think>draft</think>",
            "<thinking>draft</thinking>answer",
            "<antThinking>draft</antThinking>answer",
            "<thought>draft</thought>answer",
            "<think effort=\"low\">draft</think>answer",
            "<THINKING>draft</THINKING>answer",
            "<reasoning>draft<reflection>no</reflection>draft</reasoning>answer",
            "[THINK]draft[/THINK]answer",
            "draft[/THINK]answer",
            "<seed:think>draft</seed:think>answer",
            "◁think▷draft◁/think▷answer",
            "<|begin_of_thought|>draft<|end_of_thought|><|begin_of_solution|>answer<|end_of_solution|>",
            "<|START_THINKING|>draft<|END_THINKING|><|START_RESPONSE|>answer<|END_RESPONSE|>",
            "<|inner_prefix|>draft<|inner_suffix|>answer",
            "<|channel>thought\ndraft<channel|>answer",
            "<|think|>draft<|end|><|begin|>assistant<|content|>answer<|end|>",
            "<think>draft</think><answer>answer</answer>",
            "draft <answer>answer</answer>",
            "<think>draft <answer>answer</answer>",
            "<details type=\"reasoning\" done=\"true\"><summary>Thought for 3 s</summary>draft</details>answer",
            "<|channel|>analysis<|message|>draft<|end|><|start|>assistant<|channel|>final<|message|>answer<|return|>",
            "analysis<|message|>draft<|end|><|start|>assistant<|channel|>final<|message|>answer",
            "draft<|end|><|start|>assistant<|channel|>final<|message|>answer",
            "<|channel|>commentary to=x <|constrain|>json<|message|>draft<|call|><|channel|>final<|message|>answer",
            "<|start|>assistant<|message|>answer<|end|>",
            "analysisWe draft.assistantfinalanswer",
            "Here is my thought process:\ndraft\nHere is my response: answer",
            "<think>I shall end with `</think>`, draft</think>answer",
            "answer<|im_end|>\n",
            "answer",
        ] {
            assert_eq!(without_thoughts(text).trim(), "answer", "{text}");
        }
    }

    #[test]
    fn thoughts_without_end_leave_nothing() {
        for text in [
            "<think>draft",
            "[THINK]draft",
            "<|channel|>analysis<|message|>draft",
            "<|channel|>analysis draft",
            "Here is my thought process: draft",
            "draft</think>",
        ] {
            assert_eq!(without_thoughts(text).trim(), "", "{text}");
        }
    }

    #[test]
    fn text_that_only_looks_alike_stays() {
        for text in [
            "let x: Vec<thought> = think();",
            "fn a<Output>() -> [think; 3] { a::<Answer>() }",
            "It works without `<think>` and '</think>'.",
            "<details><summary>More</summary>text</details>",
            "if a < think && b > c {}",
            "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE",
        ] {
            assert_eq!(without_thoughts(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(
            text in "(<think>|</think>|<\\|channel\\|>|<\\|message\\|>|<answer>|</answer>|\\[THINK\\]|◁|<details|final|analysis|\\PC|\n){0,40}",
        ) {
            let once = without_thoughts(&text);
            prop_assert!(once.len() <= text.len() + 40);
        }
    }
}
