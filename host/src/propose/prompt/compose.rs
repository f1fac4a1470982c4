//! Composes the prompts for a mutation and for a digest.

use crate::propose::answer::{FORMAT, without_thoughts};
use crate::propose::evolve::known::Known;
use crate::propose::prompt::history;
use crate::propose::prompt::parts::{Part, Prompt, SYSTEM, closed, code, fenced, fit};
use crate::propose::proposer::Situation;
use crate::system::sanitize;
use std::fmt::Write as _;

/// Longest digest that is shown or requested, in characters.
pub(super) const DIGEST_CHARS: usize = 4000;
/// Longest brief in bytes.
const BRIEF_BYTES: usize = 64 << 10;

/// Asks for the next mutation. If `tokens` is too small, parts are left out in this order: the repeats, the most
/// different and the best of the kept changes, loss curves, results without gain, kept changes, what the search knows,
/// the digest, the reference, the facts of the dry run, the brief. The figures of the night, train.rs and the answer
/// format always stay.
pub fn propose(situation: &Situation, known: &Known, reference: &str, tokens: u64) -> Prompt {
    let parent = &situation.parent;
    let mut parts = vec![
        Part::cut(1, "The brief", brief(situation)),
        Part::cut(3, "What train.rs can call", closed(sanitize::printable(reference))),
        Part::new(0, "Where the night stands", standing(situation)),
        Part::new(2, "What the present train.rs does with its budget", parent.facts.words()),
        Part::cut(4, "What was learned so far", digest_part(&situation.digest)),
        Part::cut(5, "What the search knows of changes", known_part(known)),
        Part::cut(6, "Kept, best first", history::kept(situation)),
        Part::cut(7, "Tried without gain, latest first: do not repeat", history::without_gain(situation)),
        Part::new(
            8,
            "How the training loss fell: last step and mean of each eighth of a run",
            history::losses(situation),
        ),
        Part::new(9, "How the best of them changed train.rs", history::best(situation)),
        Part::new(10, "The kept one that differs most from the present train.rs", history::most_different(situation)),
        Part::cut(11, "Repeats that were caught, and proposals under way", history::repeats(situation)),
        Part::new(0, "train.rs", code(&parent.source)),
        Part::new(0, "Your answer", FORMAT),
    ];
    let text = fit(&mut parts, tokens);
    Prompt { system: SYSTEM.into(), text }
}

/// Asks for the lessons of the night so far, which replace the earlier ones.
pub fn digest(situation: &Situation, tokens: u64) -> Prompt {
    let task = format!(
        "Write down what this night has taught, for whoever proposes the next mutations: what helped, what harmed, what \
         failed and why, what seems true of this task, what is worth trying next. Keep what still holds of the lessons \
         before. Say what the figures show and no more. Plain lines that begin with `- `, at most {DIGEST_CHARS} \
         characters in all, nothing else.\n"
    );
    let mut parts = vec![
        Part::cut(3, "The brief", brief(situation)),
        Part::new(0, "Where the night stands", standing(situation)),
        Part::cut(1, "The lessons before", digest_part(&situation.digest)),
        Part::cut(2, "Kept, best first", history::kept(situation)),
        Part::cut(4, "Tried without gain, latest first", history::without_gain(situation)),
        Part::new(0, "Your answer", task),
    ];
    let text = fit(&mut parts, tokens);
    Prompt { system: SYSTEM.into(), text }
}

/// The digest in a model's answer to [`digest`]; `None` if there is none.
pub fn read_digest(answer: &str) -> Option<String> {
    let text = sanitize::printable(without_thoughts(answer).trim());
    (!text.is_empty()).then(|| sanitize::cut(&text, DIGEST_CHARS, "…"))
}

/// The user's brief. Closes a fence that the brief leaves open or that is cut, because it would swallow the rest.
fn brief(situation: &Situation) -> String {
    closed(sanitize::cut_bytes(&sanitize::printable(&situation.brief), BRIEF_BYTES).to_owned())
}

fn known_part(known: &Known) -> String {
    match known.text() {
        text if text.is_empty() => text,
        text => fenced("data", &text),
    }
}

fn digest_part(digest: &str) -> String {
    if digest.trim().is_empty() {
        return String::new();
    }
    fenced("data", &sanitize::cut(&sanitize::printable(digest.trim()), DIGEST_CHARS, "…"))
}

fn standing(situation: &Situation) -> String {
    let Situation { parent, past, noise, budget_seconds, .. } = situation;
    let mut out = format!("- Each mutation trains for {budget_seconds} seconds of budget time.\n");
    if let Some(bpb) = past.iter().find(|p| p.trial.number == 0).and_then(|p| p.trial.found.bpb) {
        let _ = writeln!(out, "- Baseline: {bpb:.4} bits per byte.");
    }
    let which = match parent.number {
        0 => "the baseline".to_owned(),
        number => format!("#{number}, {}", sanitize::line(&parent.description, 160)),
    };
    let _ = writeln!(out, "- The train.rs to change: {:.4} bits per byte ({which}).", parent.bpb);
    let _ = writeln!(out, "- Scores of one file differ by {noise:.4} between random seeds (standard deviation).");
    out.push_str("- A mutation meets this file on the same random seeds, as many as it takes to tell.\n");
    let tried = past.iter().filter(|p| p.trial.number > 0).count();
    let _ = writeln!(out, "- Mutations tried so far: {tried}.");
    out
}
