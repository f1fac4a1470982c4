//! The formats: golden files, round trips, and hostile texts.

use super::*;
use crate::record::ending::Ending;
use crate::record::evidence::Evidence;
use crate::record::key::{ComponentKey, ContextKey, Hash, Manifest, OutcomeHash, ProfileHash, SourceKey, TaskHash};
use proptest::prelude::*;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::of_seed(&[seed; 32])
}

fn task() -> TaskHash {
    TaskHash::of(b"task")
}

fn evidence() -> Evidence {
    let manifest = Manifest {
        component: ComponentKey::of(b"component"),
        task: task(),
        budget_ps: 40_000_000_000,
        profile: ProfileHash::of(b"profile"),
        limits: Default::default(),
        forward_ps_per_token: 1,
        eval_rows: 8,
        random_seed: u64::MAX,
        numerics: "cpu-2".into(),
        contract: crate::record::key::CONTRACT.into(),
        intervals: 2,
    };
    let intervals = vec![Hash::of(b"1"), Hash::of(b"2")];
    Evidence { manifest, outcome: OutcomeHash::of(b"outcome"), probe_seed: 7, intervals }
}

fn claim() -> Claim {
    Claim { evidence: evidence(), bpb: 1.809613 }
}

fn submission(name: &str, source: &str) -> Submission {
    let mut made = Submission::new(task(), name.parse().unwrap(), Content::Source(source.to_owned()));
    made.licence = Some("Apache-2.0 OR MIT".parse().unwrap());
    made.parent = Some(Hash::of(b"parent"));
    made
}

fn receipt() -> Receipt {
    Receipt {
        submission: Hash::of(b"submission"),
        author: key(1).public(),
        task: task(),
        status: Status::Tried(Ending::Keep),
        trial: Some(6),
        reason: Line::new("better on 3 random seeds"),
        bpb: Rounded::new(1.80961299),
        delta: Rounded::new(-0.01184),
        p_better: Rounded::new(0.99812),
        pairs: Some(3),
        source_key: Some(SourceKey::of(b"source")),
        component_key: Some(ComponentKey::of(b"component")),
        behaviour_key: None,
        evidence: Some(evidence()),
        claim: ClaimStatus::NotChecked,
        measured: [Measure::Source, Measure::Component, Measure::DryRun, Measure::SearchSplit].into(),
        answered_unix_ms: 1_700_000_000_000,
    }
}

fn finding() -> Finding {
    let owed = |n: u8, licence: Option<&str>| Owed {
        author: key(n).public(),
        file: Hash::of(&[n]),
        licence: licence.map(|licence| licence.parse().unwrap()),
    };
    Finding {
        change: Line::new("LR 0.02 → 0.01"),
        hypothesis: Line::new("a smaller step | <b>less</b> noise"),
        licence: Some("MIT".parse().unwrap()),
        author: key(2).public(),
        parent: Hash::of(b"parent"),
        credits: Credits::new(vec![owed(3, None), owed(4, Some("Apache-2.0 OR MIT"))]).unwrap(),
        source: Hash::of(b"fn main() {}\n"),
        source_bytes: 13,
        bpb: 1.809613,
        delta: Rounded::new(-0.01184),
        p_better: Rounded::new(0.99812),
        pairs: Some(3),
        evidence: evidence(),
    }
}

fn negatives() -> Negatives {
    let one = |ending, delta: Option<f64>, change| Negative {
        ending,
        delta: delta.and_then(Rounded::new),
        change: Line::new(change),
    };
    let found = [
        (SourceKey::of(b"a"), one(Ending::Discard, Some(0.0213), "LR 0.02 → 0.2")),
        (SourceKey::of(b"b"), one(Ending::Failed, None, "DEPTH 2 → 40")),
    ];
    Negatives::new(task(), ContextKey::of(b"terms"), found.into())
}

fn submitted(name: &str, source: &str) -> Vec<u8> {
    Signed::sign(submission(name, source).with_claim(Signed::sign(claim(), &key(1))), &key(1)).to_bytes()
}

fn read(bytes: &[u8]) -> Result<Signed<Submission>, FormError> {
    Signed::read(bytes)
}

/// A submission whose head was changed by a stranger who signs it anew with the key that it names.
fn signed_anew(bytes: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
    let head = std::str::from_utf8(&bytes[..=end]).unwrap();
    let head = change(&head[..head.find("signature: ").unwrap()]);
    let signature = key(1).sign(head.as_bytes());
    [format!("{head}signature: {signature}\n\n").as_bytes(), &bytes[end + 2..]].concat()
}

/// The bytes of each form and their hashes. Another implementation can check itself with them.
#[test]
fn golden_files() {
    let files = [
        Signed::sign(submission("wider mlp", "fn main() {}\n"), &key(1)).to_bytes(),
        Signed::sign(claim(), &key(1)).to_bytes(),
        Signed::sign(receipt(), &key(2)).to_bytes(),
        Signed::sign(finding(), &key(2)).page().into_bytes(),
        Signed::sign(negatives(), &key(2)).to_bytes(),
    ];
    let text = files.iter().map(|bytes| format!("{}---\n", String::from_utf8_lossy(bytes)));
    let hashes: Vec<String> = files.iter().map(|bytes| Hash::of(bytes).to_string()).collect();
    insta::assert_snapshot!("files", format!("{}{}\n", text.collect::<String>(), hashes.join("\n")));
}

#[test]
fn each_form_reads_as_it_is_written() {
    let bytes = submitted("naïve → wider", "fn main() {}\n");
    let back = read(&bytes).unwrap();
    assert_eq!((back.to_bytes(), back.by), (bytes.clone(), key(1).public()));
    assert_eq!(back.text.claim.unwrap().text, claim());
    let bytes = Signed::sign(receipt(), &key(2)).to_bytes();
    let back: Signed<Receipt> = Signed::read(&bytes).unwrap();
    assert_eq!((back.to_bytes(), &back.text), (bytes, &receipt()));
    let early = Evidence { intervals: Vec::new(), ..evidence() };
    let failed = Receipt { status: Status::Tried(Ending::Failed), evidence: Some(early), ..receipt() };
    let back: Signed<Receipt> = Signed::read(&Signed::sign(failed.clone(), &key(2)).to_bytes()).unwrap();
    assert_eq!(back.text, failed);
    let plain = Receipt {
        status: Status::OtherTask,
        trial: None,
        reason: Line::new(""),
        evidence: None,
        bpb: Rounded::new(f64::NAN),
        measured: Default::default(),
        ..receipt()
    };
    let back: Signed<Receipt> = Signed::read(&Signed::sign(plain.clone(), &key(2)).to_bytes()).unwrap();
    assert_eq!((back.text, plain.bpb), (plain, None));
}

#[test]
fn a_signature_is_for_one_purpose_and_one_key() {
    let bytes = Signed::sign(claim(), &key(1)).to_bytes();
    assert_eq!(Purpose::of(&bytes), Some(Purpose::Claim));
    assert_eq!(Signed::<Receipt>::read(&bytes).unwrap_err(), FormError::Purpose(Purpose::Receipt));
    let text = String::from_utf8(bytes).unwrap();
    let other = text.replace(&key(1).public().to_string(), &key(2).public().to_string());
    assert!(matches!(Signed::<Claim>::read(other.as_bytes()), Err(FormError::Signature { .. })));
    // A key of small order would have signed everything.
    let none = text.replace(&key(1).public().to_string(), &format!("01{}", "0".repeat(62)));
    assert!(matches!(Signed::<Claim>::read(none.as_bytes()), Err(FormError::Signature { .. })));
}

#[test]
fn a_submission_has_one_spelling() {
    let bytes = submitted("wider", "fn main() {}\n");
    let refused = |change: &dyn Fn(&str) -> String| read(&signed_anew(&bytes, change)).unwrap_err();
    assert!(read(&signed_anew(&bytes, str::to_owned)).is_ok());
    let twice = refused(&|head| head.replace("name: wider\n", "name: wider\nname: wider\n"));
    assert_eq!(twice, FormError::Twice { line: 5, field: "name".into() });
    let unknown = refused(&|head| head.replace("licence:", "license:"));
    assert!(matches!(unknown, FormError::Field { line: 5, wanted: "licence", .. }), "{unknown}");
    let moved = refused(&|head| head.replace("kind: source\n", "").replace("claim:", "kind: source\nclaim:"));
    assert!(matches!(moved, FormError::Field { wanted: "kind", .. }), "{moved}");
    for (from, to) in [("content-bytes: 13", "content-bytes: 013"), ("content-bytes: 13", "content-bytes: +13")] {
        assert_eq!(refused(&|head| head.replace(from, to)), FormError::Spelling);
    }
    let kind = refused(&|head| head.replace("kind: source", "kind: binary"));
    assert!(matches!(kind, FormError::Value { field: "kind", .. }), "{kind}");
    let component = read(&signed_anew(&bytes, |head| head.replace("kind: source", "kind: component"))).unwrap();
    assert_eq!(component.text.content, Content::Component(b"fn main() {}\n".to_vec()));
    for (length, words) in [(32 << 20, "it is cut off"), ((32 << 20) + 1, "at most 33554432 are allowed")] {
        let to = format!("kind: component\ncontent: {}\ncontent-bytes: {length}", Hash::of(b"fn main() {}\n"));
        let from = format!("kind: source\ncontent: {}\ncontent-bytes: 13", Hash::of(b"fn main() {}\n"));
        let long = refused(&|head| head.replace(&from, &to));
        assert!(long.to_string().contains(words), "{long}");
    }
    let huge = refused(&|head| head.replace("content-bytes: 13", &format!("content-bytes: {}", u64::MAX)));
    assert!(huge.to_string().contains("at most 262144 are allowed"), "{huge}");
    let long = refused(&|head| head.replace("claim-bytes: ", "claim-bytes: 1844674407370955"));
    assert!(matches!(long, FormError::Length { .. } | FormError::Value { .. }), "{long}");
    let wrong = refused(&|head| head.replace(&Hash::of(b"fn main() {}\n").to_string(), &Hash::of(b"x").to_string()));
    assert!(matches!(wrong, FormError::Content { what: "source", .. }), "{wrong}");
    let other = refused(&|head| head.replace(&task().to_string(), &TaskHash::of(b"other").to_string()));
    assert_eq!(other, FormError::Claim(ClaimFault::OtherTask));
}

#[test]
fn the_claim_of_a_submission_is_its_authors_own() {
    let of = |claim: Signed<Claim>| read(&Signed::sign(submission("x", "").with_claim(claim), &key(1)).to_bytes());
    assert!(of(Signed::sign(claim(), &key(1))).is_ok());
    assert_eq!(of(Signed::sign(claim(), &key(2))).unwrap_err(), FormError::Claim(ClaimFault::OtherKey));
}

#[test]
fn a_manifest_is_that_of_its_experiment() {
    let bytes = Signed::sign(claim(), &key(1)).to_bytes();
    let of = |from: &str, to: &str| Signed::<Claim>::read(&signed_anew(&bytes, |head| head.replace(from, to)));
    let wrong = of("\"eval_rows\":8", "\"eval_rows\":9").unwrap_err();
    assert!(matches!(wrong, FormError::Manifest { .. }), "{wrong}");
    assert_eq!(of("\"eval_rows\":8", "\"eval_rows\": 8").unwrap_err(), FormError::Spelling);
    let twice = of("\"eval_rows\":8", "\"eval_rows\":8,\"eval_rows\":8").unwrap_err();
    assert!(twice.to_string().contains("duplicate field"), "{twice}");
    assert!(of("\"eval_rows\":8", "\"eval_rows\":8,\"x\":8").unwrap_err().to_string().contains("unknown field"));
    assert_eq!(of("bpb: 1.809613", "bpb: 1.8096130").unwrap_err(), FormError::Spelling);
    assert!(of("bpb: 1.809613", "bpb: NaN").unwrap_err().to_string().contains("finite"));
    assert!(of("outcome: ", "outcome: none").is_err());
}

#[test]
fn what_acts_in_a_terminal_is_not_a_name() {
    for name in ["", " x", "x ", "a\u{1b}[31mb", "a\u{202e}b", "a\tb", "a\nb", "a\rb", "a\u{200b}b", &"x".repeat(81)] {
        assert!(name.parse::<Name>().is_err(), "{name:?}");
    }
    for name in ["<script>alert(1)</script>", "../../etc/passwd", "none", "naïve → 数", &"x".repeat(80)] {
        let bytes = submitted(name, "x");
        assert_eq!(read(&bytes).unwrap().text.name.to_string(), name);
    }
    for licence in ["", "none", "MIT\n", "<MIT>", " MIT", &"M".repeat(81)] {
        assert!(licence.parse::<Licence>().is_err(), "{licence:?}");
    }
}

#[test]
fn only_free_licences_of_the_list_allow_changes() {
    let allows = |licence: &str| licence.parse::<Licence>().unwrap().allows_changes();
    for free in ["MIT", "Apache-2.0 OR LicenseRef-mine", "GPL-2.0+", "CC0-1.0", "GPL-3.0-only WITH GCC-exception-3.1"] {
        assert!(allows(free), "{free}");
    }
    let not_free =
        ["NONE", "NOASSERTION", "All rights reserved", "CC-BY-ND-4.0", "MIT AND CC-BY-NC-4.0", "LicenseRef-mine"];
    for not_free in not_free {
        assert!(!allows(not_free), "{not_free}");
    }
}

#[test]
fn a_long_file_is_refused_by_its_length() {
    let mut bytes = submitted("x", "x");
    bytes.resize(Submission::MAX_BYTES + 1, b'x');
    assert!(matches!(read(&bytes), Err(FormError::TooLong { .. })));
    let head = "nightlab submission 1\n".to_owned() + &"x".repeat(MAX_HEAD_BYTES);
    assert_eq!(read(head.as_bytes()).unwrap_err(), FormError::NoEnd(MAX_HEAD_BYTES));
}

#[test]
fn a_key_is_kept_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/key");
    let public = PrivateKey::create(&path).unwrap();
    assert!(PrivateKey::open(&path).unwrap().public() == public);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(PrivateKey::create(&path), Err(KeyFileError::Exists(_))));
    assert!(PrivateKey::open(&path).unwrap().public() == public);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(PrivateKey::open(&path), Err(KeyFileError::Open(_))));
    assert!(matches!(PrivateKey::open(folder.path().join("none").as_path()), Err(KeyFileError::Missing(_))));
    let other = folder.path().join("other");
    for text in ["", "abc\n", "0123456789ABCDEF", &"a".repeat(4000)] {
        std::fs::write(&other, text).unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(PrivateKey::open(&other), Err(KeyFileError::Unreadable(_))), "{text}");
    }
}

#[test]
fn a_finding_has_one_page_and_one_place() {
    let signed = Signed::sign(finding(), &key(2));
    let page = signed.page();
    let read = |text: &str| Signed::<Finding>::read_page(text.as_bytes());
    assert_eq!(read(&page).unwrap(), signed);
    let lab = key(2).public();
    let experiment = evidence().experiment().short();
    assert_eq!(signed.folder(), format!("labs/{lab}/findings/lr-0-02-0-01-{experiment}"));
    let odd = Signed::sign(Finding { change: Line::new("../../é"), ..finding() }, &key(2));
    assert_eq!(odd.folder(), format!("labs/{lab}/findings/{experiment}"));
    let at = page.find("1.8096 bits").unwrap();
    assert_eq!(read(&page.replace("1.8096 bits", "1.7096 bits")).unwrap_err(), FormError::Page { at: at + 2 });
    assert_eq!(read(&format!("{page}more")).unwrap_err(), FormError::Page { at: page.len() });
    let forged = read(&page.replace("bpb: 1.809613", "bpb: 1.709613")).unwrap_err();
    assert!(matches!(forged, FormError::Signature { .. }), "{forged}");
    assert_eq!(read("# Finding\n").unwrap_err(), FormError::Purpose(Purpose::Finding));
    assert_eq!(finding().check_source(b"fn main() {}\n"), Ok(()));
    assert!(matches!(finding().check_source(b"fn mean() {}\n"), Err(FormError::Content { what: "source", .. })));
}

#[test]
fn what_a_finding_says_fits_together() {
    let refused = |change: &dyn Fn(&mut Finding)| {
        let mut text = finding();
        change(&mut text);
        Signed::<Finding>::read(&Signed::sign(text, &key(2)).to_bytes()).unwrap_err().to_string()
    };
    assert!(refused(&|finding| finding.source = finding.parent).contains("its own parent"));
    assert!(refused(&|finding| finding.source_bytes = 1 << 30).contains("at most"));
    assert!(refused(&|finding| finding.bpb = f64::NAN).contains("finite"));
    let text = String::from_utf8(Signed::sign(finding(), &key(1)).to_bytes()).unwrap();
    let other = signed_anew(text.as_bytes(), |head| head.replace(&task().to_string(), &TaskHash::of(b"x").to_string()));
    assert!(Signed::<Finding>::read(&other).is_err());
    let task_of_head = |head: &str| {
        let field = format!("task: {}\n", task());
        head.replacen(&field, &format!("task: {}\n", TaskHash::of(b"x")), 1)
    };
    let elsewhere = Signed::<Finding>::read(&signed_anew(text.as_bytes(), task_of_head)).unwrap_err();
    assert!(elsewhere.to_string().contains("on another task"), "{elsewhere}");
    let one = finding().credits.iter().next().unwrap().clone();
    assert_eq!(Credits::new(vec![one.clone(), one.clone()]), Err(CreditsError::Twice));
    let many = (0..33u8).map(|n| Owed { file: Hash::of(&[n]), ..one.clone() }).collect();
    assert_eq!(Credits::new(many), Err(CreditsError::TooMany));
}

#[test]
fn negatives_have_one_spelling() {
    let bytes = Signed::sign(negatives(), &key(1)).to_bytes();
    let read = |bytes: &[u8]| Signed::<Negatives>::read(bytes);
    assert_eq!(read(&bytes).unwrap().text, negatives());
    let with_body = |change: &dyn Fn(&str) -> String| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let (head, body) = text.split_once("\n\n").unwrap();
        let body = change(body);
        let announced = format!("content: {}\ncontent-bytes: {}\n", Hash::of(body.as_bytes()), body.len());
        let end = head.find("content: ").unwrap();
        let signed = format!("{}{announced}", &head[..end]);
        let signature = key(1).sign(signed.as_bytes());
        read(format!("{signed}signature: {signature}\n\n{body}").as_bytes())
    };
    assert!(with_body(&str::to_owned).is_ok());
    let lines = |body: &str| body.lines().map(str::to_owned).collect::<Vec<_>>();
    for change in [
        &|body: &str| lines(body).into_iter().rev().map(|line| line + "\n").collect::<String>(),
        &|body: &str| format!("{body}{body}"),
        &|body: &str| body.replace("discard", "keep"),
        &|body: &str| body.replace("0.0213", "0.02130"),
        &|body: &str| body.replace("DEPTH", "\u{202e}"),
    ] as [&dyn Fn(&str) -> String; 5]
    {
        assert_eq!(with_body(change).unwrap_err(), FormError::List);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn submissions_read_as_they_are_written(name in "[^\\pC\\s]{1,80}", source in "\\PC{0,200}", seed: u8) {
        prop_assume!(name.parse::<Name>().is_ok());
        let signed = Signed::sign(submission(&name, &source), &key(seed));
        let back = read(&signed.to_bytes()).unwrap();
        prop_assert_eq!(&back, &signed);
        prop_assert_eq!(back.text.content, Content::Source(source));
    }

    #[test]
    fn a_changed_byte_is_refused(at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = submitted("wider", "fn main() {}\n");
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(read(&bytes).is_err());
        let mut bytes = Signed::sign(receipt(), &key(2)).to_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(Signed::<Receipt>::read(&bytes).is_err());
        let mut bytes = Signed::sign(finding(), &key(2)).page().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(Signed::<Finding>::read_page(&bytes).is_err());
        let mut bytes = Signed::sign(negatives(), &key(2)).to_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(Signed::<Negatives>::read(&bytes).is_err());
    }

    #[test]
    fn a_cut_or_longer_file_is_refused(at: prop::sample::Index, more in 1..5usize) {
        let mut bytes = submitted("wider", "fn main() {}\n");
        prop_assert!(read(&bytes[..at.index(bytes.len())]).is_err());
        bytes.resize(bytes.len() + more, b'\n');
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>, text in "\\PC{0,300}") {
        for start in ["", "nightlab submission 1\n", "nightlab claim 1\nby: ", "nightlab receipt 1\n"] {
            let bytes = [start.as_bytes(), &bytes, text.as_bytes(), b"\n\n"].concat();
            prop_assert!(read(&bytes).is_err() && Signed::<Claim>::read(&bytes).is_err());
            prop_assert!(Signed::<Receipt>::read(&bytes).is_err());
        }
        for start in ["", "<!-- nightlab finding 1 -->\n\n```text\n", "nightlab negatives 1\nby: "] {
            let bytes = [start.as_bytes(), &bytes, text.as_bytes(), b"\n```\n"].concat();
            prop_assert!(Signed::<Finding>::read_page(&bytes).is_err() && Signed::<Negatives>::read(&bytes).is_err());
        }
    }
}
