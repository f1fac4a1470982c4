//! Everything that a stranger may send, through the door of strangers by itself: the hostile collection, generated
//! components, damaged files, and honest guests in every language. Each gets its one right answer.

use crate::common::home::{Home, said};
use crate::common::{HOST, guest, guest_path, limits, tiny};
use crate::hostile;
use crate::modules;
use nightlab::community::{Content, PrivateKey, Receipt, Signed, Status, Submission};
use nightlab::guest::component::Component;
use nightlab::guest::toolchain::Language;
use nightlab::record::ending::Ending;
use nightlab::record::key::{Hash, TaskHash};
use nightlab::record::store::Store;
use std::collections::BTreeMap;
use std::path::Path;

/// Set for all of it: 164 files, with those of interpreters, which are compiled in every child. It takes six minutes.
const WHOLE: &str = "HOST_TEST_COLLECTION";

fn is_whole() -> bool {
    std::env::var_os(WHOLE).is_some()
}

/// Numbers of generated components and of damaged files.
fn counts() -> (usize, usize) {
    if is_whole() { (60, 40) } else { (16, 16) }
}

/// What is to become of a file.
enum Due {
    /// A guest that trains: judged.
    Honest,
    /// Refused or failed; the log names this fault.
    Fault(&'static str),
    /// Refused or failed, whatever the fault.
    SomeFault,
}

/// Names, contents and what is due.
fn everything() -> Vec<(String, Content, Due)> {
    let mut all = Vec::new();
    // What thinks in `forward` is cheap here, where a call has 8 thousand tokens.
    for &(name, status) in hostile::collection().iter().filter(|(name, _)| *name != "thinks_in_forward") {
        all.push((name.to_owned(), Content::Source(guest(&format!("hostile/{name}"))), Due::Fault(status)));
    }
    let imports = modules::imports();
    let generated = (0..).filter_map(|number| {
        let component = Component::from_bytes(&modules::module(number, &imports)?).ok()?;
        Some((format!("generated {number}"), Content::Component(component.bytes().to_vec()), Due::SomeFault))
    });
    all.extend(generated.take(counts().0));
    for (name, text) in [
        ("no Rust", "train the model, please"),
        ("a comment", "// nothing"),
        ("a macro", "macro_rules! a { () => {} } guest!(train, model);"),
        ("an include", "const A: &str = include_str!(\"/etc/passwd\"); guest!(train, model);"),
        ("a module", "#[path = \"/etc/passwd\"] mod a; guest!(train, model);"),
        ("unsafe", "fn f() { unsafe { std::hint::unreachable_unchecked() } } guest!(train, model);"),
    ] {
        all.push((name.to_owned(), Content::Source(text.to_owned()), Due::SomeFault));
    }
    for rate in ["0.004", "0.006", "0.007", "0.008", "0.009", "0.011", "0.012", "0.014", "0.016", "0.018"] {
        all.push((format!("tiny at {rate}"), Content::Source(tiny(rate)), Due::Honest));
    }
    for name in ["ngrams", "ema"] {
        all.push((name.to_owned(), Content::Source(guest(&format!("guests/{name}"))), Due::Honest));
    }
    for (language, file) in [(Language::C, "tiny.c"), (Language::JavaScript, "tiny.js"), (Language::Python, "tiny.py")]
    {
        if language != Language::C && !is_whole() {
            continue;
        }
        let path = guest_path("guests/x").with_file_name(file);
        let Ok(tool) = language.find(path.parent().unwrap()) else {
            println!("SKIPPED: {file}, whose tools are not here");
            continue;
        };
        // Another rate than those of the other twins, which would be the same.
        let text = std::fs::read_to_string(path).unwrap();
        let other = text.replace("0.02", ["0.021", "0.022", "0.023"][language as usize]);
        assert_ne!(text, other);
        let built = tool.build(&other, Some(Path::new(HOST))).unwrap();
        all.push((file.to_owned(), Content::Component(built.bytes().to_vec()), Due::Honest));
    }
    all
}

fn inbox() -> Home {
    let home = Home::new();
    home.write_policy("inbox.toml", 0.25, 1000);
    home.set("inbox.toml", "search.proposers", vec!["inbox"]);
    home.set("inbox.toml", "task.eval_rows", 256);
    let mut bounds = limits();
    // Room for interpreters and for models that are larger than the seed guest.
    (bounds.forward_cost_factor, bounds.tensor_bytes, bounds.max_ops) = (30, 1 << 30, 100_000);
    bounds.fuel_per_budget_second *= 20;
    let bounds = toml::to_string(&bounds).unwrap();
    let quotas = "submissions_per_day = 1000\nbytes_per_day = 1000000000";
    let text = std::fs::read_to_string(home.path("inbox.toml")).unwrap();
    std::fs::write(home.path("inbox.toml"), format!("{text}\n[limits]\n{bounds}\n[community]\n{quotas}\n")).unwrap();
    for args in [&["keygen"][..], &["keygen", "somebody"]] {
        assert!(home.host(args).status.success());
    }
    home
}

fn run(home: &Home) -> String {
    let night = home.host(&["run", "--policy", "./inbox.toml"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    said(&night)
}

#[test]
fn everything_that_strangers_may_send_gets_its_answer() {
    let home = inbox();
    run(&home);
    let store = || Store::open(&home.path(".host")).unwrap();
    let task: TaskHash = store().nights().unwrap().last().unwrap().task;
    let key = PrivateKey::open(&home.path("somebody")).unwrap();
    let add = |bytes: &[u8]| {
        std::fs::write(home.path("next.submission"), bytes).unwrap();
        home.host(&["inbox", "add", "next.submission", "--policy", "./inbox.toml"])
    };
    let mut due = BTreeMap::new();
    let all = everything();
    for (name, content, is_due) in all {
        let signed = Signed::sign(Submission::new(task, name.parse().unwrap(), content), &key).to_bytes();
        let added = add(&signed);
        assert!(added.status.success(), "{name}: {}", said(&added));
        due.insert(Hash::of(&signed), (name, is_due, signed));
    }
    // Damaged files stay out, wherever the damage is.
    let whole = due.values().find(|(name, ..)| name == "tiny at 0.004").unwrap().2.clone();
    let (_, damaged) = counts();
    for damage in 0..damaged {
        let mut bytes = whole.clone();
        let at = bytes.len() * damage / damaged;
        if damage.is_multiple_of(2) {
            bytes[at] ^= 1 << (damage % 8);
        } else {
            bytes.truncate(at);
        }
        let added = add(&bytes);
        assert_eq!(added.status.code(), Some(1), "damage at {at}: {}", said(&added));
    }
    let night = run(&home);
    let trials = store().trials(None).unwrap();
    let receipts = home.path(".host/receipts");
    assert_eq!(std::fs::read_dir(&receipts).unwrap().count(), due.len(), "one for each:\n{night}");
    let elsewhere = inbox();
    run(&elsewhere);
    let mut wrong = Vec::new();
    for (hash, (name, is_due, sent)) in &due {
        let file = receipts.join(format!("{hash}.receipt"));
        let receipt: Signed<Receipt> = Signed::read(&std::fs::read(&file).unwrap()).unwrap();
        let Status::Tried(ending) = receipt.text.status else { panic!("{name}: {:?}", receipt.text.status) };
        let trial = trials.iter().find(|it| Some(it.trial.number) == receipt.text.trial).unwrap();
        let reason = &trial.trial.found.reason;
        let failed = matches!(ending, Ending::Refused | Ending::Failed | Ending::Same);
        let is_right = match is_due {
            Due::Honest => !failed && ending != Ending::HostFault,
            Due::SomeFault => failed,
            Due::Fault(status) => failed && reason.contains(status),
        };
        std::fs::copy(&file, elsewhere.path("of.receipt")).unwrap();
        std::fs::write(elsewhere.path("of.submission"), sent).unwrap();
        let verified = elsewhere.host(&["verify", "of.receipt", "--submission", "of.submission"]);
        // What was never trained has no run to prove: its signature and what it answers hold, and no more is decided.
        let is_decided = receipt.text.evidence.is_some();
        let is_verified = match verified.status.code() {
            Some(0) => is_decided,
            Some(2) => !is_decided && said(&verified).contains("signature   holds"),
            _ => false,
        };
        if !is_right || !is_verified {
            wrong.push(format!("{name}: {ending:?}, {reason}; {}", said(&verified)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
