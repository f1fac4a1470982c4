//! Tests with correct and faulty policy files.

use super::load::POLICIES;
use super::*;
use crate::record::causality::Accepted;
use crate::record::spend::Caps;
use proptest::prelude::*;

const MINIMAL: &str = "[task]\ncorpora = [\"shakespeare\"]\ncontext = 64\neval_chunks = 8\n\n[budget]\nprofile = \"zen-2c\"\nseconds = 2.0\n";

fn fault(text: &str) -> String {
    Policy::parse("night.toml", text).unwrap_err().to_string()
}

#[test]
fn shipped_policies_load_with_their_profiles() {
    for (name, _) in POLICIES {
        let policy = Policy::load(name).unwrap();
        assert_eq!(policy.profile().unwrap().name, policy.budget.profile);
        assert_eq!(policy.task.corpora, ["shakespeare", "rust-src"]);
    }
}

#[test]
fn a_typo_is_shown_with_line_and_nearest_field() {
    let text = MINIMAL.replace("seconds", "secnods");
    assert_eq!(
        fault(&text),
        "night.toml:8:1: unknown field `secnods`, expected one of `profile`, `profile_hash`, `seconds`\n  8 | secnods = 2.0\n    | ^^^^^^^\n  help: did you mean `seconds`?"
    );
}

#[test]
fn a_value_out_of_range_is_shown_with_its_line() {
    assert_eq!(
        fault(&MINIMAL.replace("context = 64", "context = 4")),
        "night.toml:3:11: task.context: 4 is out of range: 8 to 4096\n  3 | context = 4\n    |           ^"
    );
    assert!(fault(&MINIMAL.replace("2.0", "nan")).contains("budget.seconds: NaN is out of range: 0.01 to 86400"));
    let rules = format!("{MINIMAL}\n[rules]\ntrained_share = 1.5\n");
    assert!(fault(&rules).contains("night.toml:11:17: rules.trained_share: 1.5 is out of range: 0 to 1"));
    let split = MINIMAL.replace("context = 64", "context = 64\nsplit = \"hidden\"");
    assert!(fault(&split).contains("night.toml:4:9: unknown variant `hidden`, expected `public` or `secret`"));
    let proposer = format!("{MINIMAL}\n[search]\nproposers = [\"oracle\"]\n");
    assert!(fault(&proposer).contains("night.toml:11:13: search.proposers: no proposer is called `oracle`"));
}

#[test]
fn proposers_are_tables_and_their_faults_have_lines() {
    let table = "\n[search]\nproposers = [\"llm.local\", \"command.agent\", \"evolve\"]\n\n[llm.local]\ndialect = \"openai\"\n\
                 base_url = \"http://localhost:1\"\nmodel = \"m\"\n\n[command.agent]\nargv = [\"agent\"]\n";
    let text = format!("{MINIMAL}{table}");
    let policy = Policy::parse("p", &text).unwrap();
    assert_eq!(policy.llm["local"].model, "m");
    assert_eq!(Policy::parse("p", &policy.canonical().unwrap()).unwrap(), policy);
    let said = fault(&text.replace("\"llm.local\"", "\"llm.remote\""));
    assert!(said.contains("night.toml:11:13: search.proposers: no proposer is called `llm.remote`"), "{said}");
    assert!(said.contains("there is `evolve`, `inbox`, `commons`, `llm.local`, `command.agent`"), "{said}");
    let said = fault(&text.replace("http://localhost:1", "localhost"));
    assert!(said.contains("night.toml:15:12: llm.local.base_url: "), "{said}");
    let said = fault(&text.replace("[\"agent\"]", "[]"));
    assert!(said.contains("night.toml:19:8: command.agent.argv: "), "{said}");
    let said = fault(&text.replace("\"evolve\"", "\"llm.local\""));
    assert!(said.contains("`llm.local` is named twice"), "{said}");
}

#[test]
fn caps_are_whole_millionths() {
    let policy = Policy::parse("p", &format!("{MINIMAL}\n[caps]\ndollars = 0.29\nrequests = 5\n")).unwrap();
    let caps = Caps { requests: Some(5), tokens: None, micro_dollars: Some(290_000) };
    assert_eq!(policy.caps.in_whole_numbers(), caps);
    assert!(fault(&format!("{MINIMAL}\n[caps]\ndollars = -1.0\n")).contains("caps.dollars: -1 is out of range"));
}

#[test]
fn a_policy_may_insist_on_a_proof() {
    let policy = |value: &str| format!("{MINIMAL}\n[limits]\ncausality = \"{value}\"\n");
    assert_eq!(Policy::parse("p", &policy("proved")).unwrap().limits.causality, Accepted::Proved);
    let default = Policy::parse("p", MINIMAL).unwrap();
    assert_eq!(Policy::parse("p", &policy("proved-or-probed")).unwrap(), default);
    let said = fault(&policy("guessed"));
    assert!(said.starts_with("night.toml:11:13: ") && said.contains("`proved` or `proved-or-probed`"), "{said}");
}

#[test]
fn wrong_types_missing_fields_and_bad_syntax_are_located() {
    assert!(fault(&MINIMAL.replace("64", "\"x\"")).starts_with("night.toml:3:11: invalid type: string"));
    assert!(fault(&MINIMAL.replace("eval_chunks = 8\n", "")).contains("missing field `eval_chunks`"));
    assert!(fault(&MINIMAL.replace("[budget]", "[budget")).starts_with("night.toml:6:"));
}

#[test]
fn a_long_line_is_shown_around_the_fault() {
    let (before, name) = ("a = 1, ".repeat(100_000), "n".repeat(100_000));
    let message = fault(&format!("x = {{ {before}{name} = }}\n"));
    assert!(message.len() < 2000, "{} bytes", message.len());
    let message = fault(&format!("{MINIMAL}\n{name} = 1\n"));
    assert!(message.contains("unknown field") && message.len() < 2000, "{} bytes", message.len());
}

#[test]
fn unknown_names_say_what_is_shipped() {
    let message = Policy::load("overnigth").unwrap_err().to_string();
    assert!(message.contains("`overnight`, `promote`, `smoke`"), "{message}");
    assert!(Policy::load("no/such.toml").unwrap_err().to_string().starts_with("cannot read no/such.toml"));
    let mut policy = Policy::parse("p", MINIMAL).unwrap();
    policy.budget.profile_hash = Some("0".repeat(64));
    assert!(matches!(policy.profile().unwrap_err(), PolicyError::ProfileDiffers { .. }));
}

#[test]
fn the_canonical_form_is_pinned_and_ignores_layout() {
    let policy = Policy::parse("p", MINIMAL).unwrap();
    let again = Policy::parse("p", &policy.canonical().unwrap()).unwrap();
    assert_eq!(policy, again);
    let other = Policy::parse("p", &format!("# a comment\n{}", MINIMAL.replace(" = ", "="))).unwrap();
    assert_eq!(policy.canonical().unwrap(), other.canonical().unwrap());
    let digest = blake3::derive_key("lab policy v1", policy.canonical().unwrap().as_bytes());
    assert_eq!(
        blake3::Hash::from_bytes(digest).to_hex().as_str(),
        "8fdeb840e500143e8adea3be83d40219ccad2c3ec899650bcf447b2939c57003"
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Policy::parse("p", &text);
    }

    #[test]
    fn damaged_policies_are_errors_or_policies(at in 0usize..MINIMAL.len(), with in "[\\[\\]=\"é\n.0-9a-z]{1,3}") {
        let text = format!("{}{with}{}", &MINIMAL[..at], &MINIMAL[at + 1..]);
        if let Err(error) = Policy::parse("p", &text) {
            prop_assert!(error.to_string().starts_with("p:"));
        }
    }
}

#[test]
fn the_schema_knows_every_field_of_a_policy_and_its_range() {
    let schema = Policy::schema().unwrap();
    insta::assert_snapshot!("schema", serde_json::to_string_pretty(&schema).unwrap());
    for (name, text) in POLICIES {
        let policy: toml::Table = text.parse().unwrap();
        for (table, fields) in &policy {
            for (field, value) in fields.as_table().unwrap() {
                // A model and a program have names of their own.
                let known = match table.as_str() {
                    "llm" | "command" => format!("/properties/{table}/additionalProperties/properties"),
                    _ => format!("/properties/{table}/properties/{field}"),
                };
                let known = schema.pointer(&known).unwrap_or_else(|| panic!("{name}: {table}.{field} is not known"));
                if value.is_integer() {
                    assert!(known["minimum"].is_number() && known["maximum"].is_number(), "{table}.{field}: {known}");
                }
            }
        }
    }
    let ranges = Policy::load("overnight").unwrap().ranges();
    for range in ranges {
        let field = format!("/properties/{}", range.field.replace('.', "/properties/"));
        assert_eq!(schema.pointer(&field).unwrap()["maximum"], range.high, "{}", range.field);
    }
}
