//! What others signed is proved or refuted by running it again, in this store and in others.

use crate::common::home::{index, said};
use crate::common::inbox::{
    Answered, add, answered, fails, hash_of, inbox, private, receipt, run, store, submit, succeeds, undecided,
};
use crate::common::tiny;
use nightlab::community::{Claim, ClaimStatus, Receipt, Rounded, Signed, Status, Submission};
use nightlab::record::ending::Ending;
use nightlab::record::key::{BehaviourKey, ComponentKey, Hash, SourceKey, TaskHash};

#[test]
fn claims_and_receipts_are_proved_or_refuted() {
    let Answered { home, gain, refused, .. } = answered();
    let verify = |file: &str, more: &[&str]| home.host(&[&["verify", file], more].concat());
    let of_gain = format!(".host/receipts/{gain}.receipt");
    let proved = verify(&of_gain, &[]);
    succeeds(&proved);
    for words in ["proved: identical", "the key of this store", "not proved: what the inbox made of the run (`keep`"] {
        assert!(said(&proved).contains(words), "no `{words}` in: {}", said(&proved));
    }
    let nothing = verify(&format!(".host/receipts/{refused}.receipt"), &[]);
    undecided(&nothing, "nothing to run again");
    let segment = verify(&of_gain, &["--segment", "2"]);
    succeeds(&segment);
    assert!(said(&segment).contains("1 of 8 intervals"), "{}", said(&segment));

    let key = receipt(home, gain).text.evidence.unwrap().experiment();
    let claim = home.path("true.claim");
    let made = home.host(&["claim", &key.to_string(), "--key", "alice", "-o", "true.claim"]);
    succeeds(&made);
    succeeds(&verify("true.claim", &[]));
    let honest: Signed<Claim> = Signed::read(&std::fs::read(&claim).unwrap()).unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut Claim)| {
        let mut text = honest.text.clone();
        change(&mut text);
        std::fs::write(home.path(name), Signed::sign(text, &private(home, "bob")).to_bytes()).unwrap();
    };
    changed("flattering.claim", &|claim| claim.bpb -= 0.5);
    fails(&verify("flattering.claim", &[]), "was claimed");
    changed("interval.claim", &|claim| claim.evidence.intervals[3] = Hash::of(b"x"));
    fails(&verify("interval.claim", &[]), "interval 3 of 8 has another state hash");
    fails(
        &verify("interval.claim", &["--segment", "3"]),
        "interval 3 has another state hash than the one that is claimed",
    );
    changed("terms.claim", &|claim| claim.evidence.manifest.budget_ps *= 1_000_000);
    undecided(&verify("nowhere.claim", &[]), "cannot read nowhere.claim");
    undecided(&verify("terms.claim", &[]), "on terms that no night of this store has");
    // A receipt by another key is not this store's own. It may not contradict its run.
    let forged = |name: &str, change: &dyn Fn(&mut Receipt)| {
        let mut text = receipt(home, gain).text;
        change(&mut text);
        std::fs::write(home.path(name), Signed::sign(text, &private(home, "bob")).to_bytes()).unwrap();
    };
    forged("other.receipt", &|receipt| receipt.answered_unix_ms += 1);
    succeeds(&verify("other.receipt", &[]));
    forged("figure.receipt", &|receipt| (receipt.bpb, receipt.pairs) = (Rounded::new(0.1), Some(1)));
    fails(&verify("figure.receipt", &[]), "and the receipt says 0.1000");
    forged("unpaired.receipt", &|receipt| (receipt.bpb, receipt.pairs) = (Rounded::new(0.1), None));
    fails(&verify("unpaired.receipt", &[]), "and the receipt says 0.1000");
    forged("task.receipt", &|receipt| receipt.task = TaskHash::of(b"another"));
    fails(&verify("task.receipt", &[]), "the experiment is of another task");
    forged("refused.receipt", &|receipt| receipt.status = Status::Tried(Ending::Refused));
    fails(&verify("refused.receipt", &[]), "what was not trained has no experiment");
    forged("source.receipt", &|receipt| receipt.source_key = Some(SourceKey::of(b"another")));
    fails(&verify("source.receipt", &[]), "it names another source than that of its submission");
    forged("unknown.receipt", &|receipt| receipt.submission = Hash::of(b"another"));
    undecided(&verify("unknown.receipt", &[]), "nothing here ties it to submission");
    forged("empty.receipt", &|receipt| receipt.evidence = None);
    undecided(&verify("empty.receipt", &[]), "nothing to run again");
    let bob = private(home, "bob").public();
    forged("author.receipt", &|receipt| receipt.author = bob);
    fails(&verify("author.receipt", &[]), "and the receipt says");
    forged("claim.receipt", &|receipt| receipt.claim = ClaimStatus::Holds);
    fails(&verify("claim.receipt", &[]), "the submission has no claim");
    forged("elsewhere.receipt", &|receipt| {
        (receipt.status, receipt.evidence, receipt.bpb) = (Status::OtherTask, None, None);
    });
    fails(&verify("elsewhere.receipt", &[]), "the submission is for this task");
    forged("same.receipt", &|receipt| (receipt.status, receipt.evidence) = (Status::Tried(Ending::Same), None));
    undecided(&verify("same.receipt", &[]), "nothing to run again");
    forged("unscored.receipt", &|receipt| receipt.bpb = None);
    fails(&verify("unscored.receipt", &[]), "gives no bits per byte");
    forged("behaviour.receipt", &|receipt| receipt.behaviour_key = Some(BehaviourKey::of(b"another")));
    fails(&verify("behaviour.receipt", &[]), "the dry run has another behaviour key");
    // A mutation may fail on a later random seed than that of its first run.
    forged("failed.receipt", &|receipt| (receipt.status, receipt.bpb) = (Status::Tried(Ending::Failed), None));
    undecided(&verify("failed.receipt", &[]), "that the submission failed is the word of the inbox");
    forged("component.receipt", &|receipt| receipt.component_key = Some(ComponentKey::of(b"another")));
    fails(&verify("component.receipt", &[]), "the experiment ran another component");
    let mut bytes = std::fs::read(&claim).unwrap();
    bytes[60] ^= 1;
    std::fs::write(home.path("flipped.claim"), bytes).unwrap();
    fails(&verify("flipped.claim", &[]), "it is refused");
}

#[test]
fn another_store_proves_a_submission_by_its_source() {
    let Answered { home, gain, .. } = answered();
    let key = receipt(home, gain).text.evidence.unwrap().experiment().to_string();
    let file = submit(home, "alice", "with a claim", &tiny("0.01"), &["--claim", &key]);
    let other = inbox("");
    run(&other);
    std::fs::copy(&file, other.path("claimed.submission")).unwrap();
    let proved = other.host(&["verify", "claimed.submission"]);
    succeeds(&proved);
    assert!(said(&proved).contains("8 of 8 intervals"), "{}", said(&proved));
    // What its inbox measured says the same of the claim.
    succeeds(&add(&other, "claimed.submission"));
    let bob = private(&other, "bob");
    let honest = Signed::<Submission>::read(&std::fs::read(&file).unwrap()).unwrap().text;
    let mut claim = honest.claim.clone().unwrap().text;
    claim.bpb -= 0.5;
    let flattering = Submission::new(honest.task, "flattering".parse().unwrap(), honest.content.clone());
    let flattering = Signed::sign(flattering.with_claim(Signed::sign(claim, &bob)), &bob).to_bytes();
    std::fs::write(other.path("flattering.submission"), &flattering).unwrap();
    fails(&other.host(&["verify", "flattering.submission"]), "was claimed");
    succeeds(&add(&other, "flattering.submission"));
    run(&other);
    assert_eq!(receipt(&other, &Hash::of(&flattering)).text.claim.name(), "refuted");
    let text = receipt(&other, &hash_of(&file)).text;
    assert_eq!((text.claim.name(), text.status), ("holds", Status::Tried(Ending::Keep)), "{}", text.reason);
    let audit = other.host(&["verify", "--audit", "2"]);
    succeeds(&audit);
    assert!(said(&audit).contains("3 checked, 0 refuted"), "{}", said(&audit));

    // Any flipped bit is found, and what it is in is named.
    let flip = |blob: &Hash| {
        let path = store(&other).blob_path(blob);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let audit = || other.host(&["verify", "--audit", "2"]);
    let evidence = text.evidence.unwrap();
    let component = store(&other).component(&evidence.manifest.component).unwrap().unwrap().component_blob;
    let outcome = store(&other).find_experiment(&evidence.experiment()).unwrap().unwrap().outcome_blob;
    let answer = store(&other).submission(&hash_of(&file)).unwrap().unwrap().receipt.unwrap();
    for blob in [component, outcome, answer, hash_of(&file)] {
        flip(&blob);
        fails(&audit(), &blob.to_string()[2..]);
        flip(&blob);
    }
    succeeds(&audit());
    // The copy of a receipt is handed on.
    let copy = other.path(&format!(".host/receipts/{}.receipt", hash_of(&file)));
    let check = |more: &[&str]| other.host(&[&["store", "check"], more].concat());
    succeeds(&check(&[]));
    std::fs::write(&copy, "another").unwrap();
    fails(&check(&[]), "is not the receipt that the store keeps");
    succeeds(&check(&["--mend"]));
    assert!(!copy.exists());
    run(&other);
    assert_eq!(Hash::of(&std::fs::read(&copy).unwrap()), answer);
    let index = index(&other.path(".host"));
    index.execute("UPDATE submissions SET licence = 'GPL-3.0'", []).unwrap();
    fails(&audit(), "its row in the index is not what its file says");
    let spoil = "UPDATE experiments SET manifest = replace(manifest, '\"eval_rows\":8', '\"eval_rows\":9')";
    index.execute(spoil, []).unwrap();
    fails(&audit(), "its manifest has another key");
}

/// A guest's state may be a few bits about the held-out text, whose hash could be looked for.
#[test]
fn hashes_of_what_depends_on_secret_text_are_blinded() {
    let home = inbox("");
    home.set("inbox.toml", "task.split", "secret");
    run(&home);
    let file = submit(&home, "alice", "honest", &tiny("0.01"), &[]);
    succeeds(&add(&home, file.to_str().unwrap()));
    run(&home);
    let told = receipt(&home, &hash_of(&file)).text.evidence.unwrap();
    let store = store(&home);
    let kept = store.evidence(&store.find_experiment(&told.experiment()).unwrap().unwrap()).unwrap();
    assert_eq!((&told.manifest, told.intervals.len()), (&kept.manifest, kept.intervals.len()));
    assert!(
        told.outcome != kept.outcome && told.intervals.iter().zip(&kept.intervals).all(|(told, kept)| told != kept)
    );
    let secret = store.current_secret(1).unwrap();
    assert_eq!(told, kept.blinded(&secret));

    // Who has the secret can check the receipt, also from the digits alone.
    let name = format!(".host/receipts/{}.receipt", hash_of(&file));
    succeeds(&home.host(&["verify", &name]));
    succeeds(&home.host(&["verify", &name, "--segment", "1"]));
    let _copy = home.copy_of_store("copy");
    std::fs::remove_dir_all(home.path("copy/secrets")).unwrap();
    let elsewhere = |more: &[&str]| home.host(&[&["--store", "copy", "verify", &name], more].concat());
    undecided(&elsewhere(&[]), "is lost");
    succeeds(&elsewhere(&["--secret", &secret.reveal()]));
}
