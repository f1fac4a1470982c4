//! What strangers sent, in other tools.

use super::*;
use crate::guest::component::Card;
use crate::record::ending::Ending;
use crate::record::key::{ContextKey, Hash, TaskHash};
use crate::record::store::NightRecord;
use crate::record::trial::{Credit, Findings, Sent, Trial};
use std::path::Path;
use std::process::Command;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\ndata 5\n";

/// A keep whose every field of one line has more than one.
fn hostile(number: u64, guest: Guest) -> Keep {
    let mut trial = Trial::baseline("", Findings::new(Ending::Keep));
    let words = |field: &str| format!("{field}\nAuthor: forged {field}\r\u{2028}\u{202e}");
    (trial.number, trial.description, trial.hypothesis) = (number, words("subject"), words("hypothesis"));
    (trial.proposer, trial.operator, trial.found.reason) = (words("proposer"), words("operator"), words("reason"));
    trial.credit = Some(Credit {
        sent: Sent::Finding(Hash::of(b"finding")),
        author: words("key"),
        licence: Some(words("licence")),
        made_from: None,
    });
    Keep { trial, guest, before: vec!["key k, licence MIT, file f".into()] }
}

fn night() -> Past {
    let night = NightRecord {
        id: 7,
        policy_name: "p".into(),
        policy_blob: Hash::of(b""),
        task: TaskHash::of(b"t"),
        context: ContextKey::of(b"c"),
        started_unix_ms: 0,
        ended_unix_ms: None,
    };
    let card = Card::of(COMPONENT).text().to_owned();
    let keeps = vec![
        hostile(1, Guest::Component { card, bytes: Some(COMPONENT.into()) }),
        hostile(2, Guest::Source("fn main() {}\n".into())),
    ];
    let trials = keeps.iter().map(|keep| keep.trial.clone()).collect();
    Past { night, trials, seed: Some(Guest::Source("seed".into())), keeps, runs: Vec::new() }
}

fn git(folder: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("git").args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    output.stdout
}

#[test]
fn a_component_is_committed_under_its_own_name_beside_its_card() {
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("repo");
    write_repository(&repo, &night()).unwrap();
    let files = |commit: &str| String::from_utf8(git(&repo, &["ls-tree", "--name-only", commit])).unwrap();
    assert_eq!(files("HEAD~2"), "train.rs\n");
    assert_eq!(files("HEAD~1"), "card.txt\ncomponent.wasm\n");
    assert_eq!(files("HEAD"), "train.rs\n");
    assert_eq!(git(&repo, &["show", "HEAD~1:component.wasm"]), COMPONENT);
    assert_eq!(git(&repo, &["show", "HEAD~1:card.txt"]), Card::of(COMPONENT).text().as_bytes());
}

#[test]
fn no_word_of_a_stranger_begins_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let (repo, tables) = (folder.path().join("repo"), folder.path().join("tables"));
    write_repository(&repo, &night()).unwrap();
    let message = String::from_utf8(git(&repo, &["log", "-1", "--format=%B"])).unwrap();
    assert_eq!(message.matches("\nAuthor: ").count(), 1, "{message}");
    assert!(message.starts_with("subject Author: forged subject"), "{message}");
    assert!(message.contains("\nAuthor: key Author: forged key"), "{message}");
    assert!(message.contains("\nHypothesis: hypothesis Author:"), "{message}");
    assert!(message.contains(&format!("\nSent-as: finding {}\n", Hash::of(b"finding"))), "{message}");
    assert!(message.contains("\nGoes-back-to: key k, licence MIT, file f\n"), "{message}");

    write_tables(&tables, &night()).unwrap();
    let mut rows = csv::Reader::from_path(tables.join("trials.csv")).unwrap();
    let names = rows.headers().unwrap().clone();
    let row = rows.records().next().unwrap().unwrap();
    for acts in ['\n', '\u{2028}', '\u{202e}', '\r'] {
        assert!(row.iter().all(|cell| !cell.contains(acts)), "{row:?}");
        assert!(acts == '\n' || !message.contains(acts), "{message}");
    }
    let cell = |name: &str| &row[names.iter().position(|known| known == name).unwrap()];
    assert_eq!(cell("sent_as"), format!("finding {}", Hash::of(b"finding")));
    assert_eq!(cell("goes_back_to"), "key k, licence MIT, file f");
}
