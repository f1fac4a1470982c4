//! Which sources are accepted, which are refused, and what determines the key.

use super::*;
use crate::guest::source::limits::MAX_OPEN_TOKENS;
use crate::record::key::SourceKey;
use proc_macro2::TokenStream;
use proptest::prelude::*;

const GUEST: &str = "//! A guest.\nuse guest_sdk::prelude::*;\n\nconst LR: f32 = 0.02; // tuned\n\n\
    /// Trains.\nfn train(lab: &mut Lab) {\n    while let Some(b) = lab.next_batch(16, 128) {\n        \
    step(&b, LR, [1, 2]);\n    }\n}\nguest!(train, model);\n";

fn key_of(text: &str) -> SourceKey {
    Source::parse(text).unwrap().key()
}

fn refusal(text: &str) -> String {
    Source::parse(text).unwrap_err().to_string()
}

#[test]
fn golden_key() {
    assert_eq!(key_of(GUEST).to_string(), "4eaaefbe27bdc95ae428cd792f3bd0ce0ef65320069a859fcdbe6dc0fa52fb4d");
}

#[test]
fn comments_docs_and_layout_do_not_count() {
    let same = "use guest_sdk::prelude::*; const LR: f32 = 0.02;\n/* x */ fn train(lab: &mut Lab,) { while let \
        Some(b) = lab.next_batch(16, 128,) { step(&b,LR,[1,2,],); } } guest!(train, model);";
    assert_eq!(key_of(GUEST), key_of(same));
    assert_ne!(key_of(GUEST), key_of(&GUEST.replace("0.02", "0.020")));
    assert_ne!(key_of(GUEST), key_of(&GUEST.replace("[1, 2]", "[2, 1]")));
}

#[test]
fn lone_semicolons_are_no_statements() {
    let with = GUEST.replace("step(&b, LR, [1, 2]);", "step(&b, LR, [1, 2]);; ;");
    assert_ne!(with, GUEST);
    assert_eq!(key_of(GUEST), key_of(&with));
}

#[test]
fn layout_counts_where_the_program_can_see_it() {
    for see in ["line!()", "stringify!(a)", "std::panic::Location::caller()"] {
        let (near, far) = (format!("fn f() {{ {see}; }}"), format!("\nfn f() {{ {see}; }}"));
        assert_ne!(key_of(&near), key_of(&far), "{see}");
    }
}

#[test]
fn refused_with_position() {
    let cases = [
        "const A: &str = include_str!(\"/etc/passwd\");",
        "const A: &[u8] = include_bytes!(\"/etc/passwd\");",
        "include!(\"x.rs\");",
        "const A: &str = env!(\"HOME\");",
        "use std::env as e; const A: &str = e!(\"HOME\");",
        "const A: Option<&str> = option_env!(\"HOME\");",
        "macro_rules! m { ($i:ident) => { $i!(\"/etc/passwd\") } } const A: &str = m!(include_str);",
        "macro_rules! m { () => { r#include_str!(\"/etc/passwd\") } }",
        "#[path = \"/etc/passwd\"] mod x;",
        "#[debugger_visualizer(gdb_script_file = \"/etc/passwd\")] mod x {}",
        "mod x;",
        "mod a { mod x; }",
        "macro_rules! m { ($n:ident) => { mod $n; } }",
        "macro_rules! m { ($k:tt) => { #[path = \"/etc/passwd\"] $k x; } } m!(mod);",
        "extern crate alloc;",
        "extern \"C\" { fn f(); }",
        "#[link(name = \"m\")] mod a {}",
        "#[no_mangle] pub fn f() {}",
        "#[unsafe(no_mangle)] pub fn f() {}",
        "#[unsafe(export_name = \"train\")] pub fn f() {}",
        "#[cfg_attr(all(), path = \"/etc/passwd\")] mod x {}",
        "#![feature(rustc_private)]",
        "#![crate_type = \"proc-macro\"]",
        "#![doc = include_str!(\"/etc/passwd\")]",
        "#[proc_macro] pub fn f() {}",
        "core::arch::global_asm!(\"\");",
        "fn f() { unsafe { core::arch::asm!(\"\") } }",
        "use serde::Serialize;",
        "use ::libc::c_int;",
        "use {std::fmt, rand::Rng};",
    ];
    for text in cases {
        let error = Source::parse(&format!("\n{text}")).unwrap_err();
        let SourceError::Refused { at, .. } = error else { panic!("{text}: {error}") };
        assert_eq!(at.line, 2, "{text}");
    }
}

#[test]
fn characters_that_hide_are_named() {
    for (text, line, column, code) in [
        ("\u{feff}fn f() {}", 1, 1, "U+FEFF"),
        ("fn f() {}\n// a\u{202e}b", 2, 5, "U+202E"),
        ("fn f() {}\0", 1, 10, "U+0000"),
    ] {
        let said = refusal(text);
        assert!(said.starts_with(&format!("train.rs:{line}:{column}: ")) && said.contains(code), "{said}");
    }
    assert_eq!(Source::parse(" \n"), Err(SourceError::Empty));
    Source::parse("fn f() {}\r\n\tconst A: &str = \"👩‍💻 naïve\";").unwrap();
}

#[test]
fn ordinary_rust_passes() {
    for text in [
        "#![allow(dead_code)]\n//! Doc.\nuse std::collections::BTreeMap; mod a { pub fn f() {} } use a::f;",
        "enum E { A } use E::*; use self::E as F; fn f() { unsafe { core::hint::unreachable_unchecked() } }",
        "#[derive(Clone, Debug)] struct S { path: usize, link: u32 } macro_rules! m { ($x:expr) => { $x } }",
        "use guest_sdk::prelude::{Tensor, *}; #[allow(unused)] const fn f() {}",
    ] {
        Source::parse(text).unwrap();
    }
}

#[test]
fn syntax_errors_have_a_line() {
    assert!(refusal("fn f() {}\nfn g( {}\n").starts_with("train.rs:2:"));
    assert!(refusal("fn f() {}\nconst A: &str = \"").starts_with("train.rs:2:"));
}

#[test]
fn depth_is_refused_before_it_is_recursed_into() {
    let deep = |open: &str, middle: &str, close: &str, n: usize| {
        format!("const A: u8 = {}{middle}{};", open.repeat(n), close.repeat(n))
    };
    for text in [
        deep("(", "1", ")", 100_000),
        deep("[", "1", "]", 100_000),
        deep("{", "1", "}", 100_000),
        deep("!", "1", "", 200_000),
        deep("-", "1", "", 200_000),
        deep("1+", "1", "", 100_000),
        deep("a=", "1", "", 100_000),
        deep("||", "1", "", 100_000),
        deep("if a{}else ", "{}", "", 20_000),
        format!("type A = {}u8;", "&".repeat(200_000)),
        format!("type A = {}u8{};", "V<".repeat(50_000), ">".repeat(50_000)),
    ] {
        assert!(matches!(Source::parse(&text), Err(SourceError::TooDeep { .. })), "{}", &text[..40]);
    }
    // Just below the limit, the parser has enough stack.
    for (open, close) in [("(", ")"), ("!", ""), ("&", ""), ("1+", ""), ("||", ""), ("if a{}else ", ""), ("f(", ")")] {
        let tokens = if open.len() > 2 { 1000 } else { MAX_OPEN_TOKENS / 2 - 10 };
        let text = deep(open, "{}", close, tokens);
        assert!(!matches!(Source::parse(&text), Err(SourceError::TooDeep { .. } | SourceError::Parser(_))), "{open}");
    }
}

#[test]
fn size_is_capped() {
    let at = format!("fn f() {{}}{}", " ".repeat(MAX_SOURCE_BYTES - 9));
    assert!(Source::parse(&at).is_ok());
    assert_eq!(Source::parse(&format!("{at} ")), Err(SourceError::TooLarge { bytes: MAX_SOURCE_BYTES + 1 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn reformatting_keeps_the_key(gaps in proptest::collection::vec(0usize..4, 64)) {
        let tokens: TokenStream = GUEST.parse().unwrap();
        let mut gap = gaps.iter().cycle();
        let text: String = tokens.to_string().split(' ')
            .flat_map(|word| [word, [" ", "\n", "  ", " /* c */ "][*gap.next().unwrap()]]).collect();
        prop_assert_eq!(key_of(GUEST), key_of(&text));
    }

    #[test]
    fn a_literal_changes_the_key(a in 0u32..1000, b in 0u32..1000) {
        let of = |n: u32| key_of(&GUEST.replace("16", &n.to_string()));
        prop_assert_eq!(a == b, of(a) == of(b));
    }

    #[test]
    fn any_text_is_answered(text in "[a-z#!\\[\\](){}<>;:,'\"/*&|=+ \n0-9]{0,120}") {
        let _ = Source::parse(&text);
    }
}
