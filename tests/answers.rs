//! Answers in the source: guests that bring the held-out text with them, or that hardly train.

use crate::common::home::{Home, lines, said, trials};
use crate::common::{Place, documents, guest, guest_path, tiny};
use nightlab::data::corpus::Corpus;
use nightlab::data::task::PreparedTask;
use nightlab::data::{split, task};
use nightlab::guest::seed::SEED_GUEST;
use nightlab::guest::source::Source;
use nightlab::night::{Night, NightError, Plan, Stop};
use nightlab::policy::Policy;
use nightlab::record::facts::data_words;
use nightlab::record::limits::Limits;
use nightlab::record::secret::SplitSecret;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Tokens of a chunk before its last target.
const CONTEXT: u32 = 32;

/// The task on the small corpus, with all its held-out text.
fn prepared(secret: Option<&SplitSecret>) -> PreparedTask {
    let corpus = Corpus::packed("words", documents());
    let splits = split::split(&corpus, secret, &mut |_| {}).unwrap();
    task::prepare(&corpus, splits, secret, (CONTEXT, 1000), 1.0).unwrap()
}

/// Its chunks of search, confirm and test.
fn held_out(task: &PreparedTask) -> Vec<Vec<u16>> {
    [&task.search[..], &task.confirm, &task.test].concat()
}

/// A guest that knows these chunks by heart, and looks up what follows the last twelve tokens.
fn answer_book(chunks: &[Vec<u16>]) -> String {
    let text: String = chunks.iter().flatten().map(|&token| format!("\\x{token:02x}")).collect();
    format!(
        r#"use guest_sdk::prelude::*;

const ROWS: usize = 1 << 20;
static BOOK: &[u8] = b"{text}";

/// A place for each text of twelve tokens.
fn place(tokens: &Tensor) -> Tensor {{
    let time = tokens.size(1);
    let mut hash = tokens + 1u32;
    for back in 1..12 {{
        let before = (tokens + 1u32).pad(1, back, 0).narrow(1, 0, time);
        hash = (&hash ^ (&hash >> 15u32)) * 2654435761u32 ^ before;
    }}
    ((&hash ^ (&hash >> 15u32)) * 2654435761u32 >> 12u32) % ROWS as u32
}}

/// What follows the last token, and for sure what follows a text that the book has once.
fn model(net: &Net, tokens: &Tensor) -> Tensor {{
    let found = net.embed("book", &place(tokens));
    let (next, times) = (found.narrow(2, 0, 1).reshape(tokens.shape()).cast(DType::U32), found.narrow(2, 1, 1));
    net.embed("pairs", tokens) + next.one_hot(256) * 20.0 * times.eq(1.0).cast(DType::F32)
}}

fn train(lab: &mut Lab) {{
    let length = lab.task().context as usize + 1;
    let book: Vec<u32> = BOOK.iter().map(|&byte| u32::from(byte)).collect();
    let book = Tensor::from_u32([book.len() / length, length], &book);
    let (known, next) = (book.narrow(1, 0, length - 1), book.narrow(1, 1, length - 1));
    let all = [known.size(0) * (length - 1)];
    let (at, one) = (place(&known).reshape(all), Tensor::ones(all));
    let follows = Tensor::zeros([ROWS]).scatter_add(0, &at, &next.reshape(all).cast(DType::F32));
    let times = Tensor::zeros([ROWS]).scatter_add(0, &at, &one);
    let pairs = Tensor::zeros([1 << 16]).scatter_add(0, &(&known * 256u32 + &next).reshape(all), &one);
    let mut net = Net::new();
    net.parameter("all", "book", Tensor::cat(&[&follows.unsqueeze(1), &times.unsqueeze(1)], 1));
    net.parameter("all", "pairs", (pairs.reshape([256, 256]) + 0.01).log());
    lab.next_batch(1, 32);
}}

guest!(train, model);
"#
    )
}

/// A policy on the small corpus, whose whole held-out text is scored, with these rules.
fn write_policy(home: &Home, name: &str, rules: &str) {
    home.write_policy(name, 0.04, 1);
    let text = fs::read_to_string(home.path(name)).unwrap().replace("eval_chunks = 24", "eval_chunks = 1000");
    let limits = "\n[limits]\nforward_cost_factor = 1000\n";
    fs::write(home.path(name), format!("{text}{limits}\n[rules]\n{rules}\n")).unwrap();
}

#[test]
fn a_guest_with_the_answers_is_refused_or_told_from_others() {
    let home = Home::new();
    let book = answer_book(&held_out(&prepared(None)));
    fs::write(home.path("book.rs"), &book).unwrap();
    let carried = Source::parse(&book).unwrap().carried(None).unwrap().literals;
    let words = data_words(carried);
    write_policy(&home, "usual.toml", "");
    write_policy(&home, "trained.toml", "data_bytes = 20000\ntrained_share = 0.05");
    write_policy(&home, "open.toml", "data_bytes = 20000");
    let attempt = |policy: &str| home.host(&["try", "book.rs", "--policy", policy]);

    let usual = said(&attempt("./usual.toml"));
    assert!(usual.contains("refused") && usual.contains(&words), "{usual}");
    assert!(usual.contains("the policy allows 6.0 kB (`data_bytes` in its table `[rules]`)"), "{usual}");
    let trained = said(&attempt("./trained.toml"));
    assert!(trained.contains("of the baseline's tokens, and the policy demands 5% (`trained_share`"), "{trained}");

    // The rules are no part of the terms, and what a rule refused may be tried under another one.
    let open = attempt("./open.toml");
    assert_eq!(open.status.code(), Some(0), "{}", said(&open));
    let all = trials(&home.host(&["log", "--json"]));
    assert_eq!(
        all.iter().map(|trial| trial["verdict"].as_str().unwrap()).collect::<Vec<_>>(),
        ["refused", "refused", "keep"]
    );
    assert!(all[2]["bpb"].as_f64().unwrap() < 1.2, "{}", all[2]);
    assert_eq!((&all[2]["data_bytes"], &all[0]["data_bytes"]), (&carried.into(), &serde_json::Value::Null));
    assert!(all[2]["trained_share"].as_f64().unwrap() < 0.01, "{}", all[2]);
    let experiment = all[2]["experiment"].as_str().unwrap();
    let report = fs::read_to_string(home.path(".host/report.md")).unwrap();
    for text in [said(&open), said(&home.host(&["log"])), said(&home.host(&["show", &experiment[..12]])), report] {
        assert!(text.contains(&words), "{text}");
        assert!(text.contains("of the baseline's tokens"), "{text}");
    }
    let table = fs::read_to_string(home.path(".host/results.tsv")).unwrap();
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = table.lines().map(cells).collect();
    assert_eq!((lines[0].len(), lines[3][lines[0].len() - 2].as_str()), (lines[3].len(), carried.to_string().as_str()));
    let scored = home.host(&["--json", "score", "book.rs", "--policy", "./open.toml"]);
    assert!(said(&scored).contains(&format!("\"data_bytes\":{carried}")), "{}", said(&scored));

    // A stricter rule holds for the champion, too.
    fs::write(home.path("slow.rs"), tiny("0.002")).unwrap();
    let strict = said(&home.host(&["try", "slow.rs", "--policy", "./usual.toml"]));
    assert!(strict.contains(&format!("champion #3 is passed over: the source {words}")), "{strict}");
}

/// The dry run cannot know when a guest stops that reads its loss.
#[test]
fn a_guest_that_stops_early_is_refused_after_its_run() {
    let home = Home::new();
    write_policy(&home, "trained.toml", "trained_share = 0.9");
    let early = guest("guests/tiny").replace(
        "        adam.step",
        "        if loss.item() > 0.0 && lab.progress() > 0.5 { return }\n        adam.step",
    );
    fs::write(home.path("early.rs"), early).unwrap();
    let text = said(&home.host(&["try", "early.rs", "--policy", "./trained.toml"]));
    assert!(
        text.contains("failed") && text.contains("too-little-training: trained on 50% of the baseline's"),
        "{text}"
    );
}

#[test]
fn a_policy_that_no_mutation_can_keep_says_so() {
    let home = Home::new();
    write_policy(&home, "none.toml", "data_bytes = 10");
    let text = said(&home.host(&["run", "--policy", "./none.toml"]));
    assert!(
        text.contains("the seed guest") && text.contains("carries 68 B of data, and the policy allows 10 B"),
        "{text}"
    );
}

#[test]
fn honest_guests_carry_little() {
    let seed = Source::parse(SEED_GUEST).unwrap();
    let mut most = 0;
    for file in fs::read_dir(guest_path("guests/tiny").parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let source = Source::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let bytes = source.carried(Some(&seed)).unwrap().bytes();
        assert!(bytes < 4_000, "{}: {bytes}", path.display());
        most = most.max(bytes);
    }
    assert!(most > 1_000, "a guest that calls every function carries something: {most}");
}

/// A secret that holds out nothing of what the text itself would hold out.
fn other_secret() -> SplitSecret {
    let public = prepared(None).report.held_out.concat();
    let is_other = |secret: &SplitSecret| {
        let names = prepared(Some(secret)).report.held_out.concat();
        names.iter().all(|name| !public.contains(name))
    };
    (0..=255).map(|byte| SplitSecret::new([byte; 32])).find(is_other).unwrap()
}

#[test]
fn answers_are_of_no_use_if_a_secret_chooses_the_questions() {
    let mut place = Place::new();
    (place.bench.spec.limits, place.bench.forward_ps_per_token) = (Limits::default(), 0);
    let book = place.compile(&answer_book(&held_out(&prepared(None))));
    let honest = place.compile(&guest("guests/tiny"));
    let mut bpb = |secret: Option<&SplitSecret>| {
        place.bench.task = prepared(secret);
        [&book, &honest].map(|guest| place.run(guest, 0).outcome.score.unwrap().bpb)
    };
    let [answers, learnt] = bpb(None);
    assert!(answers < learnt - 0.5, "{answers} {learnt}");
    let [answers, learnt] = bpb(Some(&other_secret()));
    assert!(answers > learnt, "{answers} {learnt}");
}

/// A server that was started before may still hold the old task.
#[test]
fn no_night_begins_on_a_secret_that_has_ended() {
    let mut place = Place::new();
    let secret = place.bench.store.current_secret(1).unwrap();
    place.bench.task = prepared(Some(&secret));
    assert!(place.bench.is_open().unwrap());
    place.bench.store.reveal_secret(&secret.commitment(), 2).unwrap();
    assert!(!place.bench.is_open().unwrap());
    let policy = Policy::load("smoke").unwrap();
    let seed_guest = place.bench.prepare(&guest("guests/tiny")).unwrap();
    let plan = Plan::for_one(&policy, "smoke", "", seed_guest);
    let (stop, mut tell) = (Stop::new(), |_| {});
    assert!(matches!(Night::begin(&place.bench, plan, &stop, &mut tell), Err(NightError::Closed)));
}

/// Files below a folder, without those of one name.
fn files(folder: &Path, without: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(without) {
            found.extend(files(&path, without));
        } else if path.is_file() {
            found.push(fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_secret_split_can_be_replayed_by_its_owner_and_by_all_when_it_is_revealed() {
    let home = Home::new();
    home.write_policy("secret.toml", 0.04, 1);
    home.set("secret.toml", "task.split", "secret");
    let night = || home.host(&["run", "--policy", "./secret.toml"]);
    let shown = || lines(&home.host(&["--json", "split", "show"]));
    let first = said(&night());
    assert!(first.contains("a secret of this store chooses it") && first.contains("done in"), "{first}");
    let listed = shown();
    let commitment = listed[0]["commitment"].as_str().unwrap().to_owned();
    assert!(listed.len() == 1 && first.contains(&commitment[..12]) && listed[0]["secret"].is_null(), "{listed:?}");
    assert_eq!((&listed[0]["nights"], listed[0]["experiments"].as_u64().unwrap() > 2), (&1.into(), true));

    // The secret is in one file, for its owner.
    let file = home.path(".host/secrets").join(&commitment);
    let secret = SplitSecret::read(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let digits = secret.reveal();
    let tells = |bytes: &[u8]| {
        bytes.windows(32).any(|part| part == secret.bytes()) || bytes.windows(64).any(|part| part == digits.as_bytes())
    };
    assert!(!tells(first.as_bytes()) && tells(&fs::read(&file).unwrap()));
    assert!(
        files(&home.path(".host"), "secrets")
            .iter()
            .chain(&files(&home.path("cache"), "toolchain"))
            .all(|bytes| !tells(bytes))
    );

    let key = trials(&home.host(&["log", "--json"]))[0]["experiment"].as_str().unwrap().to_owned();
    let replay = |store: &str, secret: &[&str]| home.host(&[&["--store", store, "replay", &key], secret].concat());
    assert_eq!(replay(".host", &[]).status.code(), Some(0));
    let _copy = home.copy_of_store("copy");
    fs::remove_dir_all(home.path("copy/secrets")).unwrap();
    let lost = said(&replay("copy", &[]));
    assert!(lost.contains(&commitment) && lost.contains("is lost"), "{lost}");
    fs::write(home.path("digits"), format!("{digits}\n")).unwrap();
    assert_eq!(replay("copy", &["--secret", "digits"]).status.code(), Some(0));
    let wrong = said(&replay("copy", &["--secret", &"7".repeat(64)]));
    assert!(wrong.contains(&format!("the commitment {commitment}, the one that was given has")), "{wrong}");
    assert!(said(&replay("copy", &["--secret", "7777"])).contains("takes the 64 digits"));

    // A revealed secret chooses nothing new, and its night can still be reported.
    let revealed = said(&home.host(&["split", "reveal"]));
    assert!(revealed.contains(&digits), "{revealed}");
    let _later = home.copy_of_store("later");
    fs::remove_dir_all(home.path("later/secrets")).unwrap();
    assert_eq!(replay("later", &[]).status.code(), Some(0));
    let sealed = home.host(&["report", "--seal"]);
    assert!(sealed.status.success(), "{}", said(&sealed));
    let second = said(&night());
    assert!(!second.contains(&commitment[..12]) && second.contains("done in"), "{second}");
    let listed = shown();
    assert_eq!((listed.len(), listed[0]["secret"].as_str()), (2, Some(digits.as_str())));
    assert!(listed[0]["ended_unix_ms"].is_i64() && listed[1]["ended_unix_ms"].is_null(), "{listed:?}");

    // A lost one is never replaced in silence.
    fs::remove_file(home.path(".host/secrets").join(listed[1]["commitment"].as_str().unwrap())).unwrap();
    let stopped = said(&night());
    assert!(stopped.contains("is lost") && stopped.contains("host split retire"), "{stopped}");
    assert!(said(&home.host(&["store", "check"])).contains("is lost"));
    assert!(home.host(&["split", "retire"]).status.success());
    assert!(said(&night()).contains("done in"));
}

#[test]
fn a_public_task_needs_no_secret() {
    let (home, _) = Home::after_a_night();
    let key = trials(&home.host(&["log", "--json"]))[0]["experiment"].as_str().unwrap().to_owned();
    let given = said(&home.host(&["replay", &key, "--secret", &"7".repeat(64)]));
    assert!(given.contains("no secret has chosen its held-out text"), "{given}");
    assert!(said(&home.host(&["split", "show"])).contains("no secrets"));
    assert!(said(&home.host(&["split", "reveal"])).contains("no secret is in use"));
}
