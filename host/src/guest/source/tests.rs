//! Which sources are accepted, which are refused, and what determines the key.

use super::*;
use crate::guest::source::limits::{MAX_GROUPS, MAX_OPEN_TOKENS};
use crate::record::key::SourceKey;
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
    assert_eq!(key_of(GUEST).to_string(), "b5d6384fc77c7cd33f757d77a935ca9ab02ddd84bcfbb5260dfd7321f06c13a0");
}

#[test]
fn comments_docs_and_layout_do_not_count() {
    let same = "use guest_sdk::prelude::*; const LR: f32 = 0.02;\n/* x */ fn train(lab: &mut Lab) { while let \
        Some(b)=lab.next_batch(16, 128) { step(&b,LR,[1,2]); } } guest!(train, model);";
    assert_eq!(key_of(GUEST), key_of(same));
    assert_ne!(key_of(GUEST), key_of(&GUEST.replace("0.02", "0.020")));
    assert_ne!(key_of(GUEST), key_of(&GUEST.replace("[1, 2]", "[2, 1]")));
}

#[test]
fn sources_that_the_compiler_tells_apart_have_two_keys() {
    let calls = [
        ("m!(1.5)", "m!(1 .5)"),
        ("m!(1..5)", "m!(1. .5)"),
        ("m!(a >> b)", "m!(a > > b)"),
        ("m!(a += b)", "m!(a + = b)"),
        ("m!(a..=b)", "m!(a.. =b)"),
        ("m!(a::b)", "m!(a: :b)"),
        ("m!(&&a)", "m!(& &a)"),
        ("m!(x\"y\")", "m!(x \"y\")"),
        ("m!(x#y)", "m!(x #y)"),
        ("m!(a,)", "m!(a)"),
        ("m!(/** a */ b)", "m!(b)"),
        ("m!(\"a\")", "m!(r\"a\")"),
        ("m!(1)", "m!(01)"),
        ("m!((a))", "m!([a])"),
        ("m!((a) b)", "m!((a b))"),
        ("/** a */ 1", "1"),
        ("1 .0", "1.0"),
    ];
    for (a, b) in calls {
        let of = |call: &str| key_of(&format!("fn f() -> u8 {{ let a = {call}; }}"));
        assert_ne!(of(a), of(b), "{a}");
    }
    // The compiler reads these marks one by one, with and without blanks.
    for (a, b) in [("a=-1", "a = - 1"), ("a=&*b", "a = & * b"), ("!(-a)", "! ( - a )"), ("a|-b", "a | - b")] {
        let of = |call: &str| key_of(&format!("fn f() {{ {call}; }}"));
        assert_eq!(of(a), of(b), "{a}");
    }
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
        "macro_rules! m { (#[a($m:tt $n:tt $b:tt)] $p:ident) => { #[$p = \"/f\"] $m x; } } m! { #[a(mod x {})] path }",
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
    for empty in [" \n", "//! words", "// words", "#![allow(dead_code)]"] {
        assert_eq!(Source::parse(empty), Err(SourceError::Empty));
    }
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
        format!("type A = {}u8{};", "V<u8,".repeat(30_000), ">".repeat(30_000)),
        format!("type A = {}u8;", "fn()->".repeat(30_000)),
        format!("type A = {}u8;", "for<'a,>".repeat(20_000)),
        deep("|a,|", "1", "", 50_000),
        deep("loop{}=", "1", "", 30_000),
        deep("loop{}+", "1", "", 30_000),
        deep("m!{}+", "1", "", 30_000),
        deep("for S{} in ", "a", "{}", 15_000),
        deep("match{}{_=>", "1", "}", 15_000),
        deep("x.f({}).", "a", "", 20_000),
        deep("x[{}].", "a", "", 20_000),
        deep("return ", "1", "", 30_000),
        deep("a..", "1", "", 50_000),
        deep("1 as u8 as ", "u8", "", 20_000),
        deep("&mut ", "a", "", 40_000),
        deep("*&", "a", "", 40_000),
        deep("m!(", "", ")", 50_000),
        deep("'a:loop{", "", "}", 20_000),
        deep("a?.b", "", "", 50_000),
        format!("fn f() {{ let {}a = 1; }}", "&".repeat(100_000)),
        format!("fn f() {{ let {}a{} = 1; }}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("fn f() {{ let {}a = 1; }}", "b @ ".repeat(50_000)),
        format!("use {}b;", "a::".repeat(50_000)),
        format!("use {}b{};", "a::{".repeat(40_000), "}".repeat(40_000)),
        format!("{}{}", "mod a {".repeat(30_000), "}".repeat(30_000)),
        format!("fn f() {{ {} }}", format!("{}match 1 {{", "-".repeat(1000)).repeat(200) + &"}".repeat(200)),
    ] {
        assert!(matches!(Source::parse(&text), Err(SourceError::TooDeep { .. })), "{}", &text[..40]);
    }
    // Just below the limit, the parser has enough stack.
    for (open, close) in [
        ("(", ")"),
        ("!", ""),
        ("&", ""),
        ("1+", ""),
        ("||", ""),
        ("if a{}else ", ""),
        ("f(", ")"),
        ("loop{}=", ""),
        ("|a,|", ""),
        ("match{}{_=>", "}"),
        ("a=", ""),
    ] {
        let tokens = if close.is_empty() { MAX_OPEN_TOKENS / open.len().min(8) - 10 } else { MAX_GROUPS / 2 - 2 };
        let text = deep(open, "{}", close, tokens);
        assert!(!matches!(Source::parse(&text), Err(SourceError::TooDeep { .. } | SourceError::Parser)), "{open}");
    }
}

/// Parts that open something, in several places, with and without what closes them. Whatever of them nests has to be
/// counted: an overflow of the parser's stack would end the process.
#[test]
fn no_way_of_nesting_is_missed() {
    const PARTS: [(&str, &str); 56] = [
        ("(", ")"),
        ("[", "]"),
        ("{", "}"),
        ("f(", ")"),
        ("a[", "]"),
        ("!", ""),
        ("-", ""),
        ("*", ""),
        ("&", ""),
        ("&mut ", ""),
        ("&raw const ", ""),
        ("a+", ""),
        ("a=", ""),
        ("a+=", ""),
        ("a..", ""),
        ("..", ""),
        ("a&&", ""),
        ("||", ""),
        ("|a|", ""),
        ("|a,b|", ""),
        ("|S{a},|", ""),
        ("|_:V<a,b>|", ""),
        ("move||", ""),
        ("loop{}+", ""),
        ("{}=", ""),
        ("{}..", ""),
        ("S{}.a=", ""),
        ("if a{}else ", "{}"),
        ("if ", "{}"),
        ("if let a=", "{}"),
        ("match ", "{}"),
        ("match a{b=>", "}"),
        ("match{}{a if ", "=>b}"),
        ("for S{} in ", "{}"),
        ("while ", "{}"),
        ("'a:", ""),
        ("break ", ""),
        ("break 'a ", ""),
        ("return ", ""),
        ("let S{}=", ";"),
        ("let a:V<", ">;"),
        ("a as ", ""),
        ("a as V<u8,", ">"),
        ("V<", ">"),
        ("V<u8,", ">"),
        ("V::<{1},", ">"),
        ("fn(", ")"),
        ("fn()->", ""),
        ("for<'a,'b>", ""),
        ("impl A<", ">"),
        ("dyn A+", ""),
        ("<a as ", ">::b"),
        ("#[a]", ""),
        ("m!{}.a+", ""),
        ("unsafe{", "}"),
        ("const{", "}"),
    ];
    const PLACES: [(&str, &str); 4] = [("fn f(){", "}"), ("type A=", ";"), ("fn f(){let ", "=1;}"), ("fn f(a:", "){}")];
    for (open, close) in PLACES {
        for (part, end) in PARTS {
            let times = (MAX_SOURCE_BYTES - 100) / (part.len() + end.len());
            for closed in ["".to_owned(), end.repeat(times)] {
                let _ = Source::parse(&format!("{open}{}a{closed}{close}", part.repeat(times)));
            }
        }
    }
}

/// Comments nest too, and never deepen a tree. Long texts of short parts are usual.
#[test]
fn length_is_no_depth() {
    let long = |part: &str| part.repeat(MAX_SOURCE_BYTES / 2 / part.len());
    for text in [
        format!("{}{} fn f() {{}}", "/*".repeat(60_000), "*/".repeat(60_000)),
        format!("{}fn f() {{}}", long("//! a\n")),
        format!("{}fn f() {{}}", long("/// a\n")),
        format!("{}fn f() {{}}", long("#[allow(a)]\n")),
        format!("const A: &[u8] = &[{}];", long("1, ")),
        format!("const A: &[f32] = &[{}];", long("-1.0, ")),
        format!("const A: &[bool] = &[{}];", long("a<b, c>d, ")),
        format!("struct S {{ {} }}", long("a: Vec<Vec<f32>>, ")),
        format!("fn f() {{ {} }}", long("if a < b { c() } ")),
        format!("fn f() {{ {} }}", long("a = b + 1; ")),
        format!("fn f() {{ {} }}", long("for i in 0..4 { a(i) }\n")),
        format!("fn f() {{ match a {{ {} }} }}", long("Some(1) => {}\n")),
        format!("impl S {{ {} }}", long("fn f(&self) -> Vec<f32> { a }\n")),
        long("fn f() {}\n"),
        long("mod a{}"),
        format!("macro_rules! m {{ {} }}", long("(a) => { b };\n")),
    ] {
        assert!(Source::parse(&text).is_ok(), "{}: {:?}", &text[..40], Source::parse(&text));
    }
}

#[test]
fn numbers_are_capped() {
    let number = |digits: usize| Source::parse(&format!("const A: f64 = {}.0;", "1".repeat(digits)));
    assert!(number(300).is_ok());
    assert!(matches!(number(200_000), Err(SourceError::LongNumber { .. })));
    assert!(Source::parse(&format!("const A: &str = \"{}\";", "1".repeat(9000))).is_ok(), "text is no number");
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
        let mut gap = gaps.iter().cycle();
        let text: String = GUEST.replace("//! A guest.", "").replace("/// Trains.", "").replace("// tuned", "").split(' ')
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

/// Letters that say nothing about each other.
fn noise(length: usize) -> Vec<u8> {
    let mut letters = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut letters);
    letters.iter().map(|byte| b'a' + byte % 16).collect()
}

fn carried(text: &str) -> u64 {
    let seed = Source::parse(crate::guest::seed::SEED_GUEST).unwrap();
    Source::parse(text).unwrap().carried(Some(&seed)).unwrap().bytes()
}

/// 4000 letters of 4 bits each: 2000 bytes, however they are written.
#[test]
fn data_counts_in_whatever_form_it_is_written() {
    let letters = noise(4000);
    let each = |write: &dyn Fn(u8) -> String| letters.iter().map(|&letter| write(letter)).collect::<String>();
    let functions: String = (b'a'..=b'p').map(|k| format!("fn {}() {{ put({k}) }}\n", char::from(k))).collect();
    let number: Vec<String> = letters
        .chunks(8)
        .map(|part| format!("0x{}", part.iter().map(|b| format!("{:x}", b - b'a')).collect::<String>()))
        .collect();
    for (form, source) in [
        ("a string", format!("static T: &str = \"{}\";", each(&|k| char::from(k).into()))),
        ("bytes", format!("static T: &[u8] = b\"{}\";", each(&|k| format!("\\x{k:02x}")))),
        ("characters", format!("static T: [char; 4000] = [{}];", each(&|k| format!("'{}',", char::from(k))))),
        ("numbers", format!("static T: [u32; 500] = [{}];", number.join(","))),
        (
            "fractions",
            format!(
                "static T: [f64; 500] = [{}];",
                number.join(".0,").replace("0x", "0.").replace(['a', 'b', 'c', 'd', 'e', 'f'], "7")
            ),
        ),
        ("names", each(&|k| format!("static {}: u8 = 0;", char::from(k)))),
        ("the order of calls", format!("{functions} fn f() {{ {} }}", each(&|k| format!("{}();", char::from(k))))),
        ("functions", each(&|k| format!("fn f() -> u8 {{ {k} }}"))),
        (
            "a match",
            format!("fn f(i: u32) -> u8 {{ match i {{ {} _ => 0 }} }}", each(&|k| format!("_ if g() => {k},"))),
        ),
        ("words of a macro", format!("m!({});", each(&|k| format!("{},", char::from(k))))),
        (
            "marks of a macro",
            format!(
                "m!({});",
                each(&|k| ["+", "-", "*", "/", "!", "&", "|", "<", ">", "%", "^", "@", ".", ":", "$", "?"]
                    [usize::from(k - b'a')]
                .to_owned()
                    + ";")
            ),
        ),
        ("layout", format!("fn f() -> u32 {{ line!() }} {}", each(&|k| " ".repeat(usize::from(k - b'a')) + "\n"))),
        ("documents of a macro", format!("m! {{ /** {} */ fn f() {{}} }}", each(&|k| char::from(k).into()))),
    ] {
        assert!(carried(&source) >= 1800, "{form}: {}", carried(&source));
    }
    let comments = format!("/// {0}\nfn f() {{}} // {0}", each(&|k| char::from(k).into()));
    assert!(carried(&comments) < 100, "the compiler does not see comments: {}", carried(&comments));
    let computed = "static T: [u8; 1 << 16] = { let mut t = [0; 1 << 16]; let mut i = 0; while i < t.len() { t[i] = i as u8; i += 1 } t };";
    assert!(carried(computed) < 150, "a table that is computed is no data: {}", carried(computed));
}

#[test]
fn literals_count_by_their_values() {
    let literals = |text: &str| Source::parse(text).unwrap().carried(None).unwrap().literals;
    assert_eq!(literals("const A: &str = \"\\u{20ac}uro\";"), 6);
    assert_eq!(literals("const A: &[u8] = br#\"12\"#; const B: char = 'é'; const C: u8 = b'x';"), 2 + 2 + 1);
    assert_eq!(literals("const A: u64 = 0xffff_ffff; const B: f32 = 0.25; const C: f64 = 1e9;"), 5 + 2 + 2);
}
