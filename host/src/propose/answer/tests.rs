//! Which answers are read and applied, which are refused, and the messages.

use super::*;
use crate::propose::proposer::HYPOTHESIS_CHARS;
use proptest::prelude::*;

const PARENT: &str = "\
//! A guest.
use guest_sdk::prelude::*;

const DEPTH: usize = 2; // layers
const LR: f32 = 0.02;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let x = net.embed(\"wte\", tokens);
    x.linear(&net.weight(\"head\"))
}

fn train(lab: &mut Lab) {
    while let Some(batch) = lab.next_batch(8, 64) {
        step(lab, batch);
    }
}

guest!(train, model);
";

fn made(answer: &str) -> Result<String, AnswerError> {
    apply(&read(answer)?, PARENT)
}

fn block(search: &str, replace: &str) -> String {
    format!("<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n")
}

#[test]
fn matches_that_overlap_are_ambiguous() {
    let parent = "const WINDOWS: [usize; 3] = [0, 0, 0];\n";
    let answer = read(&block("0, 0", "0, 64")).unwrap();
    assert!(matches!(apply(&answer, parent), Err(AnswerError::Ambiguous { .. })));
}

#[test]
fn the_format_that_is_asked_for_is_the_one_that_is_read() {
    let answer = read(FORMAT).unwrap();
    assert_eq!(answer.hypothesis, "what you change, and why it should lower bits per byte.");
    assert!(matches!(answer.change, Change::Blocks(blocks) if blocks.len() == 1));
}

#[test]
fn blocks_are_applied() {
    let text = format!(
        "Hypothesis: deeper is better.\n\nI would change two things.\n{}\nand\n```rust\n{}```\nDone.",
        block("const DEPTH: usize = 2; // layers", "const DEPTH: usize = 3; // layers"),
        block("        step(lab, batch);\n    }", "        step(lab, batch);\n        step(lab, batch);\n    }"),
    );
    assert_eq!(read(&text).unwrap().hypothesis, "deeper is better.");
    let wanted =
        PARENT.replace("= 2;", "= 3;").replace("step(lab, batch);", "step(lab, batch);\n        step(lab, batch);");
    assert_eq!(made(&text).unwrap(), wanted);
}

#[test]
fn a_whole_file_is_taken_with_and_without_fence() {
    let child = PARENT.replace("0.02", "0.03");
    let fenced = [
        format!("Hypothesis: faster.\n```rust\n{child}```\n"),
        format!("Hypothesis: faster.\n```\n{child}\n```\nthat is all"),
        format!("**Hypothesis:** faster.\n~~~~ rust train.rs\n{child}~~~~"),
        format!("## Hypothesis\nfaster.\n\n````rust\n{child}````"),
        format!("Hypothesis: faster.\n\n{child}\n"),
        format!("````markdown\nHypothesis: faster.\n```rust\n{child}```\n````\n"),
        format!("Hypothesis: faster.\n```rust\n{child}"),
        format!("<think>\nHypothesis: no.\n```rust\n{PARENT}```</think>\nHypothesis: faster.\n```rust\n{child}```\n"),
        format!("Hypothesis: faster.\n{}", block("", &child)),
        format!("Hypothesis: faster.\nOnly this:\n```rust\nlr(0.03)\n```\nas a file:\n```rust\n{child}```"),
    ];
    for text in fenced {
        for text in [text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
            let answer = read(&text).unwrap();
            assert_eq!(answer.hypothesis, "faster.", "{text}");
            assert_eq!(apply(&answer, PARENT).unwrap(), child, "{text}");
        }
    }
    let indented = child.lines().map(|line| format!("   {line}\n")).collect::<String>();
    assert_eq!(made(&format!("1. So:\n   ```rust\n{indented}   ```")).unwrap(), child);
}

#[test]
fn drift_in_blanks_does_not_matter() {
    let wanted = PARENT.replace("step(lab, batch);", "twice(lab);");
    for (search, replace) in [
        ("        step(lab, batch);   ", "        twice(lab);"),
        ("step(lab, batch);", "twice(lab);"),
        ("\t\tstep(lab, batch);", "\t\ttwice(lab);"),
        ("\n        step(lab, batch);\n\n", "\n        twice(lab);\n\n"),
        ("```rust\n        step(lab, batch);\n```", "```rust\n        twice(lab);\n```"),
    ] {
        assert_eq!(made(&block(search, replace)).unwrap(), wanted, "{search:?}");
    }
    let shifted = block(
        "while let Some(batch) = lab.next_batch(8, 64) {\n    step(lab, batch);\n}",
        "while let Some(batch) = lab.next_batch(8, 64) {\n    twice(lab);\n}",
    );
    assert_eq!(made(&shifted).unwrap(), wanted);
    let marks = "<<<<<<<<< SEARCH train.rs\nstep(lab, batch);\n==========\ntwice(lab);\n>>>>>>>>>\n";
    assert_eq!(made(marks).unwrap(), wanted);
}

#[test]
fn part_of_a_line_is_found_at_the_borders_of_words() {
    assert_eq!(made(&block("LR: f32 = 0.02", "LR: f32 = 0.5")).unwrap(), PARENT.replace("0.02", "0.5"));
    assert!(matches!(made(&block("R: f32 = 0.02", "R: f32 = 1")), Err(AnswerError::NotFound { .. })));
    assert!(matches!(made(&block("net", "x")), Err(AnswerError::Ambiguous { count: 3, .. })));
}

#[test]
fn lines_can_go_and_stay_apart() {
    let gone = "<<<<<<< SEARCH\nconst LR: f32 = 0.02;\n=======\n>>>>>>> REPLACE\n";
    assert_eq!(made(gone).unwrap(), PARENT.replace("const LR: f32 = 0.02;\n", ""));
    let with_the_line_after = block("const LR: f32 = 0.02;\n", "");
    assert_eq!(made(&with_the_line_after).unwrap(), made(gone).unwrap());
    let with_new = made(&block("const LR: f32 = 0.02;", "const LR: f32 = 0.02;\nconst BETA: f32 = 0.9;")).unwrap();
    assert_eq!(with_new, PARENT.replace("0.02;", "0.02;\nconst BETA: f32 = 0.9;"));
}

#[test]
fn refusals_say_which_block_and_what_is_near() {
    let text =
        block("const LR: f32 = 0.02;", "const LR: f32 = 0.5;") + &block("    let x = net.embed(\"wt\", tokens);", "");
    let error = made(&text).unwrap_err().to_string();
    assert_eq!(
        error,
        "block 2: its SEARCH text is not in train.rs; copy the lines exactly as they are. Nearest are\n    8 |     let x = net.embed(\"wte\", tokens);"
    );
    let error = made(&block("}\n", "")).unwrap_err().to_string();
    assert!(error.starts_with("block 1: its SEARCH text is in train.rs 2 times, at lines 10, 16;"), "{error}");
    let twice = block("const LR: f32 = 0.02;", "a") + &block("const LR: f32 = 0.02;", "b");
    assert_eq!(made(&twice), Err(AnswerError::Overlap { first: 1, second: 2 }));
    assert_eq!(made(&block("", "x")), Err(AnswerError::EmptySearch { block: 1 }));
    assert_eq!(made(&block("const LR: f32 = 0.02;", "const LR: f32 = 0.02;")), Err(AnswerError::Unchanged));
    assert_eq!(made("<<<<<<< SEARCH\nx\n"), Err(AnswerError::Unfinished { block: 1, missing: "=======" }));
    let cut = "<<<<<<< SEARCH\nx\n=======\ny\n";
    assert_eq!(made(cut), Err(AnswerError::Unfinished { block: 1, missing: ">>>>>>> REPLACE" }));
    let cut = format!("{cut}{}", block("x", "y"));
    assert_eq!(made(&cut), Err(AnswerError::Unfinished { block: 1, missing: ">>>>>>> REPLACE" }));
}

#[test]
fn a_draft_in_thoughts_is_no_change() {
    let draft = block("const DEPTH: usize = 2; // layers", "const DEPTH: usize = 1; // layers");
    let file = format!("```rust\n{}```", PARENT.replace("= 2", "= 1"));
    let answer = block("const LR: f32 = 0.02;", "const LR: f32 = 0.5;");
    for draft in [draft, file] {
        for text in [
            format!("Hypothesis: no.\n{draft}No, this loses.\n</think>\n\nHypothesis: yes.\n{answer}"),
            format!("[THINK]Hypothesis: no.\n{draft}[/THINK]Hypothesis: yes.\n{answer}"),
            format!(
                "<|channel|>analysis<|message|>{draft}<|end|><|start|>assistant<|channel|>final<|message|>Hypothesis: \
                 yes.\n{answer}<|return|>"
            ),
        ] {
            assert_eq!(read(&text).unwrap().hypothesis, "yes.", "{text}");
            assert_eq!(made(&text).unwrap(), PARENT.replace("0.02", "0.5"), "{text}");
        }
        assert_eq!(read(&format!("<thinking>{draft}")), Err(AnswerError::NoChange));
    }
}

#[test]
fn what_holds_no_change_is_refused() {
    for text in ["", "I refuse.", "\n\n", "<think>forever", "---\n+++\n@@ -1 +1 @@\n-a\n+b\n"] {
        assert_eq!(read(text), Err(AnswerError::NoChange), "{text:?}");
    }
    assert_eq!(read("```rust\nlet x = 1;\n```"), Err(AnswerError::Fragment));
    let two = format!("```rust\n{PARENT}```\n```rust\n{}```", PARENT.replace("= 2", "= 3"));
    assert_eq!(read(&two), Err(AnswerError::SeveralFiles { count: 2 }));
    assert_eq!(made(&format!("```rust\n{PARENT}```")), Err(AnswerError::Unchanged));
}

#[test]
fn sizes_are_capped() {
    let bytes = MAX_ANSWER_BYTES + 1;
    assert_eq!(read(&"x".repeat(bytes)), Err(AnswerError::TooLarge { bytes }));
    assert_eq!(read(&block("a", "b").repeat(MAX_BLOCKS + 1)), Err(AnswerError::TooManyBlocks));
    let big = block("const LR: f32 = 0.02;", &"// x\n".repeat(60_000));
    assert!(matches!(made(&big), Err(AnswerError::ResultTooLarge { .. })));
}

#[test]
fn equal_lines_without_end_are_searched_in_linear_time() {
    let started = std::time::Instant::now();
    let (parent, search) = ("a\n".repeat(100_000), "a\n".repeat(40_000));
    let answer = read(&block(&format!("{search}b"), "c")).unwrap();
    assert!(matches!(apply(&answer, &parent), Err(AnswerError::NotFound { .. })));
    let answer = read(&block(search.trim_end(), "c")).unwrap();
    let error = apply(&answer, &parent).unwrap_err();
    assert!(matches!(error, AnswerError::Ambiguous { .. }), "{error}");
    let line = "- ".repeat(100_000);
    assert!(matches!(apply(&read(&block("- ", "+ ")).unwrap(), &line), Err(AnswerError::Ambiguous { .. })));
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn a_hypothesis_is_one_harmless_line() {
    let said = |text: &str| read(&format!("{text}\n{}", block("a", "b"))).unwrap().hypothesis;
    assert_eq!(said(""), "");
    assert_eq!(said("Here is my change."), "Here is my change.");
    assert_eq!(said("intro\n> **Hypothesis**: `x` helps\nmore"), "`x` helps");
    assert_eq!(said("HYPOTHESIS - \u{1b}[31mred\u{202e}"), "\\u{1b}[31mred\\u{202e}");
    assert_eq!(said(&"h".repeat(1000)).chars().count(), HYPOTHESIS_CHARS + 1);
}

proptest! {
    #[test]
    fn no_text_is_too_strange(
        text in "(<<<<<<< SEARCH\n|=======\n|>>>>>>> REPLACE\n|```rust\n|```\n|  ~~~\n|guest!\\(|use x;\n|Hypothesis:|<think>|\\PC|\n|\r| ){0,40}",
        parent in "(fn f\\(\\) \\{\n|\\}\n|const A: f32 = 1;\n|\\PC|\n|\r\n| ){0,40}",
    ) {
        if let Ok(answer) = read(&text) {
            let _ = apply(&answer, &parent).map_err(|error| error.to_string());
        }
    }

    #[test]
    fn what_a_block_says_is_what_is_made(lines in prop::collection::vec("[a-z]{1,8}( [a-z]{1,3}){0,2}", 3..12), at in 0usize..12, new in "[A-Z]{1,9}") {
        let at = at % lines.len();
        let parent = lines.join("\n") + "\n";
        let answer = read(&block(&lines[at], &new)).unwrap();
        let wanted = { let mut child = lines.clone(); child[at] = new; child.join("\n") + "\n" };
        match apply(&answer, &parent) {
            Ok(child) => prop_assert_eq!(child, wanted),
            Err(AnswerError::Ambiguous { count, .. }) => {
                prop_assert_eq!(count, lines.iter().filter(|line| **line == lines[at]).count());
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
