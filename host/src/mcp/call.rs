//! The calls of the MCP server: name, description, schema and arguments of each tool. Pure. The docs of the argument
//! types are part of the schemas that clients read.

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// A tool call with parsed arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Read the brief, `program.md`.
    Brief,
    /// Read the reference of the functions that a guest may call.
    Reference(Find),
    /// Read the champion, which is the source to change.
    Champion,
    /// Tell what the search knows, and list earlier trials.
    Ideas(Ideas),
    /// Read one trial with its source.
    Trial(OneTrial),
    /// Compile a source and run it dry.
    DryRun(Text),
    /// Train a source on one random seed and compare it, without a verdict.
    Screen(Attempt),
    /// Train and judge a source.
    Try(Attempt),
    /// Read the log and the standing of the night.
    Night(Log),
}

/// No arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Part of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// Only the entries and paragraphs that hold this word, such as `rope` or `next_batch`.
    #[serde(default)]
    pub find: Option<String>,
}

/// Which ideas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ideas {
    /// Which trials: all of them where absent.
    #[serde(default)]
    pub which: Which,
    /// At most so many of each kind, newest first: 1 to 500, by default 40.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Ideas by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// Everything.
    #[default]
    All,
    /// What became the champion.
    Kept,
    /// What was worse, not proven, refused, or broke; with the reason.
    Failed,
}

/// A trial by its number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneTrial {
    /// Its number, as `ideas` and `night` have it; 0 is the baseline.
    pub number: u64,
}

/// A source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The whole text of train.rs. Give this or `file`.
    #[serde(default)]
    pub source: Option<String>,
    /// A file of the lab's folder by its relative path, such as train.rs. Give this or `source`.
    #[serde(default)]
    pub file: Option<String>,
}

/// A source and what is hoped for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The whole text of train.rs. Give this or `file`.
    #[serde(default)]
    pub source: Option<String>,
    /// A file of the lab's folder by its relative path, such as train.rs. Give this or `source`.
    #[serde(default)]
    pub file: Option<String>,
    /// The idea, and why it should help, in one line.
    #[serde(default)]
    pub hypothesis: Option<String>,
}

/// How much of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The last so many trials: 1 to 500, by default 20.
    #[serde(default)]
    pub last: Option<u32>,
}

/// Why a call cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    Unknown(String),
    Arguments(String),
}

impl Call {
    pub fn parse(name: &str, arguments: Option<JsonObject>) -> Result<Self, CallError> {
        match name {
            "brief" => read::<Nothing>(name, arguments).map(|_| Self::Brief),
            "reference" => read(name, arguments).map(Self::Reference),
            "champion" => read::<Nothing>(name, arguments).map(|_| Self::Champion),
            "ideas" => read(name, arguments).map(Self::Ideas),
            "trial" => read(name, arguments).map(Self::Trial),
            "dry_run" => read(name, arguments).map(Self::DryRun),
            "screen" => read(name, arguments).map(Self::Screen),
            "try" => read(name, arguments).map(Self::Try),
            "night" => read(name, arguments).map(Self::Night),
            _ => {
                let known: Vec<String> = tools().into_iter().map(|tool| tool.name.into_owned()).collect();
                let name = crate::system::sanitize::line(name, 80);
                Err(CallError::Unknown(format!("no tool is called `{name}`: there are {}", known.join(", "))))
            }
        }
    }
}

fn read<T: DeserializeOwned>(name: &str, arguments: Option<JsonObject>) -> Result<T, CallError> {
    serde_json::from_value(Value::Object(arguments.unwrap_or_default())).map_err(|error| {
        let reason = crate::system::sanitize::line(&error.to_string(), 300);
        CallError::Arguments(format!("the arguments of `{name}` do not read: {reason}. Call it again with others."))
    })
}

/// All tools, in the order in which a new client needs them.
pub fn tools() -> Vec<Tool> {
    vec![
        looks::<Nothing>("brief", "The brief of the search, program.md: goal, rules, ideas. Read this first."),
        looks::<Find>(
            "reference",
            "What a guest may use: the contract and the SDK, generated from what guests are compiled against. Long; \
             `find` narrows it down to a word.",
        ),
        looks::<Nothing>(
            "champion",
            "The source to change, with its bits per byte, their noise, and the dry run's facts: steps, FLOPs, \
             parameters, memory, where the budget time goes.",
        ),
        looks::<Ideas>(
            "ideas",
            "What the search knows: effects of changes that were measured, near-misses, operators that nobody has tried here, \
             what fails. Then the trials: kept, failed with the reason, repeats. Do not repeat them.",
        ),
        looks::<OneTrial>("trial", "One trial in full, with its source."),
        looks::<Text>(
            "dry_run",
            "Checks a source in about a second without training: either facts (steps, FLOPs, parameters, peak memory, \
             where the budget time goes) and whether it repeats a trial, or the fault with its line.",
        ),
        trains("screen", SCREEN),
        trains("try", TRY),
        looks::<Log>("night", "Where the search stands (baseline, champion, verdicts) and the last trials of the log."),
    ]
}

const SCREEN: &str = "Trains a source on one random seed and compares it with the champion, without a verdict: for ideas that \
                      you want to shape before you `try` them. It is recorded, and `try` goes on from there. Takes one \
                      training run, longer while others train.";
const TRY: &str = "Trains a source on fixed terms, scores it and decides: keep, discard, noise, same. It answers after the first \
                   random seed. If the result is open then, it is judged on further seeds while you go on, and `trial` with \
                   the number has the verdict. Reports progress and can be cancelled until it answers. A source that does \
                   not pass the dry run is not tried.";

fn trains(name: &'static str, description: &'static str) -> Tool {
    let notes = ToolAnnotations::new().read_only(false).destructive(false).idempotent(true).open_world(false);
    Tool::new(name, description, schema::<Attempt>()).with_annotations(notes)
}

fn looks<T: JsonSchema>(name: &'static str, description: &'static str) -> Tool {
    let looks_only = ToolAnnotations::new().read_only(true).open_world(false);
    Tool::new(name, description, schema::<T>()).with_annotations(looks_only)
}

fn schema<T: JsonSchema>() -> Arc<JsonObject> {
    match schemars::schema_for!(T).to_value() {
        Value::Object(schema) => Arc::new(schema),
        _ => Arc::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(name: &str, arguments: Value) -> Result<Call, CallError> {
        Call::parse(name, arguments.as_object().cloned())
    }

    #[test]
    fn every_tool_that_is_listed_is_understood() {
        for tool in tools() {
            let arguments = if tool.name == "trial" { json!({ "number": 3 }) } else { json!({}) };
            assert!(parse(&tool.name, arguments).is_ok(), "{}", tool.name);
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
        }
    }

    #[test]
    fn what_does_not_read_says_why() {
        let failed = Ideas { which: Which::Failed, limit: None };
        assert_eq!(parse("ideas", json!({ "which": "failed" })), Ok(Call::Ideas(failed)));
        let Err(CallError::Arguments(typo)) = parse("dry_run", json!({ "sorce": "fn" })) else { panic!() };
        assert!(typo.contains("unknown field `sorce`, expected `source` or `file`"), "{typo}");
        let Err(CallError::Arguments(kind)) = parse("trial", json!({ "number": "one" })) else { panic!() };
        assert!(kind.contains("invalid type"), "{kind}");
        let Err(CallError::Unknown(unknown)) = parse("rm\u{1b}", json!({})) else { panic!() };
        assert!(unknown.contains("`rm\\u{1b}`: there are brief, reference"), "{unknown}");
    }
}
