//! Jobs, receipts and passes, and what is accepted, without a server.

use crate::community::{FormError, PrivateKey, Purpose, Signed};
use crate::data::corpus::{Corpus, Document};
use crate::data::split;
use crate::data::task::{self, PreparedTask};
use crate::record::causality::{Causality, Evaluation};
use crate::record::key::{CONTRACT, ComponentKey, Hash, Manifest, ProfileHash};
use crate::record::limits::Limits;
use crate::record::outcome::{GuestFault, HostFault, Outcome, Status, encode_state};
use crate::swarm::accept::{Refused, accept};
use crate::swarm::job::{Job, JobFault, is_of_another_version};
use crate::swarm::machine::MachineId;
use crate::swarm::names::Lane;
use crate::swarm::pass::{Pass, Role};
use crate::swarm::receipt::{End, Receipt};
use crate::swarm::{PassError, rights};
use kernels::session::{NamedState, Totals};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn key(digit: u8) -> PrivateKey {
    PrivateKey::of_seed(&[digit; 32])
}

fn prepared() -> PreparedTask {
    let document = |i: u32| {
        let letter = |j: u32| (blake3::hash(&(i * 1_000 + j).to_le_bytes()).as_bytes()[0] % 26) + b'a';
        Document { name: format!("{i}"), bytes: (0..300).map(letter).collect() }
    };
    let corpus = Corpus::new("x", (0..10).map(document).collect());
    let splits = split::split(&corpus, None, &mut |_| {}).unwrap();
    task::prepare(&corpus, splits, None, (16, 4), 1.0).unwrap()
}

fn job(task: &PreparedTask) -> Job {
    let manifest = Manifest {
        component: ComponentKey::of(b"component"),
        task: task.hash(),
        budget_ps: 1_000_000_000_000,
        profile: ProfileHash::of(b"profile"),
        limits: Limits::default(),
        forward_ps_per_token: 500_000,
        eval_rows: 8,
        random_seed: 1337,
        numerics: kernels::cpu::CLASS.into(),
        contract: CONTRACT.into(),
        intervals: 8,
    };
    let blob = |name: &[u8]| Hash::of(name);
    Job { manifest, probe_seed: 7, component: blob(b"component"), lesson: blob(b"lesson"), profile: blob(b"profile") }
}

fn completed(task: &PreparedTask, state: &[u8]) -> Outcome {
    Outcome {
        status: Status::Completed,
        score: Some(task.score(vec![20.0; task.search.len()])),
        curve: Vec::new(),
        totals: Totals::default(),
        intervals: vec![[1; 32]; 8],
        read_log: Vec::new(),
        state: Some(Hash::of(state).0),
        fuel: 9,
    }
}

fn machine() -> MachineId {
    "desk-1".parse().unwrap()
}

#[test]
fn a_job_reads_as_it_was_signed_and_names_no_place() {
    let job = job(&prepared());
    let bytes = Signed::sign(job.clone(), &key(1)).to_bytes();
    assert_eq!(Job::read(&bytes, &key(1).public()).unwrap(), job);
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.starts_with("nightlab job 1\n") && !text.contains('/') && !text.contains("unix"), "{text}");
    // Whoever signs the same job again writes the same bytes.
    assert_eq!(Signed::sign(job, &key(1)).to_bytes(), bytes);
}

#[test]
fn a_job_of_others_or_for_others_is_refused() {
    let task = prepared();
    let signed = |job: &Job| Signed::sign(job.clone(), &key(1)).to_bytes();
    let read = |bytes: &[u8]| Job::read(bytes, &key(1).public()).unwrap_err();
    assert!(matches!(Job::read(&signed(&job(&task)), &key(2).public()), Err(JobFault::Stranger(_))));
    let mut other = job(&task);
    other.manifest.numerics = "cpu-1".into();
    assert!(matches!(read(&signed(&other)), JobFault::Numerics { .. }));
    let mut other = job(&task);
    other.manifest.contract = "lab:train@9.0.0".into();
    assert!(matches!(read(&signed(&other)), JobFault::Contract { .. }));
    let newer = String::from_utf8(signed(&job(&task))).unwrap().replace("nightlab job 1", "nightlab job 2");
    let error = read(newer.as_bytes());
    assert_eq!(error, JobFault::Version);
    assert!(error.to_string().contains("install the same version of host"), "{error}");
    assert!(!is_of_another_version(b"nightlab job x\n", Purpose::Job));
    assert!(!is_of_another_version(b"nightlab job \n", Purpose::Job));
}

#[test]
fn no_changed_job_is_read() {
    let bytes = Signed::sign(job(&prepared()), &key(1)).to_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Job::read(&changed, &key(1).public()).is_err(), "byte {at}");
        assert!(Job::read(&bytes[..at], &key(1).public()).is_err(), "cut at {at}");
    }
}

#[test]
fn a_receipt_reads_as_it_was_signed() {
    let job = job(&prepared());
    let blob = Hash::of(b"outcome");
    let result = End::Result { outcome: blob, state: None, causality: Some(Causality::Probed) };
    for (end, words) in [(result, "shapes differ\n  at train.rs:3"), (End::Fault(HostFault::Killed), "")] {
        let receipt = Receipt::new(Hash::of(b"job"), &job, machine(), end, words);
        let bytes = Signed::sign(receipt.clone(), &key(2)).to_bytes();
        let read = Signed::<Receipt>::read(&bytes).unwrap();
        assert_eq!((&read.text, read.by, read.text.words()), (&receipt, key(2).public(), words));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Signed::<Receipt>::read(&changed).is_err(), "byte {at}");
        }
    }
    let words = "x".repeat(1 << 20);
    let long = Receipt::new(Hash::of(b"job"), &job, machine(), result, &words);
    assert!(long.words().len() < words.len());
    Signed::<Receipt>::read(&Signed::sign(long, &key(2)).to_bytes()).unwrap();
    let other = Signed::sign(job, &key(2)).to_bytes();
    assert_eq!(Signed::<Receipt>::read(&other).unwrap_err(), FormError::Purpose(Purpose::JobReceipt));
}

#[test]
fn what_answers_a_job_is_accepted() {
    let (task, state) = (prepared(), encode_state(&NamedState::default()).unwrap());
    let (job, signed) = (job(&task), Hash::of(b"signed"));
    let take = |outcome: &Outcome, causality, state: Option<&[u8]>| {
        let end = End::Result { outcome: Hash::of(b"outcome"), state: None, causality };
        let receipt = Receipt::new(signed, &job, machine(), end, "why");
        accept((&job, signed), &task, &receipt, (&outcome.encode(), state.map(<[u8]>::to_vec)), Duration::ZERO)
    };
    let honest = completed(&task, &state);
    let ended = take(&honest, Some(Causality::Proved), Some(&state)).unwrap();
    assert_eq!(ended.outcome, honest);
    assert_eq!(ended.evaluation, Some(Evaluation { causality: Causality::Proved, probe_seed: 7 }));
    let failed = |status| Outcome { status, score: None, state: None, ..honest.clone() };
    let fault = failed(Status::guest(GuestFault::ShapeError, "why"));
    assert_eq!(take(&fault, None, None).unwrap().outcome, fault);

    type Change = fn(&mut Outcome);
    let lies: [(Change, &str); 9] = [
        (|o| o.status = Status::host(HostFault::Timeout, ""), "a fault of the machine is no result"),
        (|o| o.status = Status::guest(GuestFault::Panic, ""), "a run has a score if it completed"),
        (|o| o.score = None, "a run has a score if it completed"),
        (|o| o.state = None, "a completed run has a state"),
        (|o| o.state = Some([0; 32]), "its state is not the one of its outcome"),
        (|o| o.intervals.push([2; 32]), "it has more intervals than the job"),
        (|o| o.score.as_mut().unwrap().bpb -= 0.5, "its bits per byte are not its chunks'"),
        (|o| o.score.as_mut().unwrap().chunk_nats[0] = f64::NAN, "a chunk has an impossible score"),
        (|o| o.score.as_mut().unwrap().chunk_nats.truncate(1), "its score is not of this task's chunks"),
    ];
    for (lie, why) in lies {
        let mut outcome = honest.clone();
        lie(&mut outcome);
        let refused = take(&outcome, Some(Causality::Proved), Some(&state)).unwrap_err();
        assert!(refused.to_string().starts_with(why), "{why}: {refused}");
    }
    let learnt_nothing = Outcome { score: Some(task.score(vec![1e3; task.search.len()])), ..honest.clone() };
    assert!(take(&learnt_nothing, Some(Causality::Proved), Some(&state)).is_err());
    assert!(take(&honest, None, Some(&state)).is_err(), "nobody said how it is known to be causal");
    assert!(take(&honest, Some(Causality::Proved), None).is_err(), "the state is missing");
    assert!(take(&honest, Some(Causality::Proved), Some(b"x")).is_err(), "another state");
}

#[test]
fn a_receipt_for_another_job_is_refused() {
    let (task, state) = (prepared(), encode_state(&NamedState::default()).unwrap());
    let (first, signed) = (job(&task), Hash::of(b"signed"));
    let outcome = completed(&task, &state).encode();
    let end = End::Result { outcome: Hash::of(&outcome), state: None, causality: Some(Causality::Proved) };
    let mut second = first.clone();
    second.manifest.random_seed += 1;
    for receipt in [
        Receipt::new(Hash::of(b"another job"), &first, machine(), end, ""),
        Receipt::new(signed, &second, machine(), end, ""),
    ] {
        let accepted = accept((&first, signed), &task, &receipt, (&outcome, Some(state.clone())), Duration::ZERO);
        assert_eq!(accepted.unwrap_err(), Refused::OtherJob);
    }
}

#[test]
fn a_pass_is_for_one_role_and_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machine.pass");
    let pass = Pass {
        role: Role::Machine,
        lane: Lane::OWN,
        certificate: Hash::of(b"certificate"),
        coordinator: key(1).public(),
        machines: key(2).public(),
        key: key(2),
    };
    pass.write(&path).unwrap();
    let read = Pass::read(&path, &[Role::Machine]).unwrap();
    assert_eq!(
        (read.certificate, read.coordinator, read.machines),
        (pass.certificate, pass.coordinator, pass.machines)
    );
    assert_eq!(read.login().unwrap().public_key(), pass.login().unwrap().public_key());
    assert!(read.login().unwrap().public_key().starts_with('U'));
    assert!(matches!(Pass::read(&path, &[Role::Coordinator]), Err(PassError::Role { .. })));
    let text = fs::read_to_string(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Pass::read(&path, &[Role::Machine]), Err(PassError::Open(_))));
    let broken = folder.path().join("broken.pass");
    for (line, wrong) in [(1, text.replace("pass 1", "pass 2")), (2, text.replace("role: machine", "role: king"))] {
        fs::write(&broken, wrong).unwrap();
        fs::set_permissions(&broken, fs::Permissions::from_mode(0o600)).unwrap();
        let error = Pass::read(&broken, &[Role::Machine]).err().unwrap();
        assert!(matches!(error, PassError::Line { line: found, .. } if found == line), "{error}");
    }
}

/// The rights are written out, so that a wider one is seen in review.
#[test]
fn a_machine_may_do_this_and_no_more() {
    let (publish, subscribe) = rights::of(Role::Machine, &Lane::OWN);
    let wide =
        |subject: &&String| subject.starts_with('>') || subject.starts_with("$JS.API.>") || *subject == "swarm.>";
    assert_eq!(publish.iter().chain(&subscribe).filter(wide).count(), 0);
    assert_eq!(subscribe, ["_INBOX_machine.>", "swarm.roll", "swarm.stop", "swarm.order.*"]);
    let own: Vec<&String> = publish.iter().filter(|subject| !subject.starts_with('$')).collect();
    assert_eq!(own, ["swarm.receipt.*", "swarm.said.*", "swarm.beat.*"]);
    assert!(publish.iter().all(|subject| !subject.contains("CONSUMER.CREATE")), "{publish:?}");
    let changes = publish.iter().filter(|subject| subject.contains("STREAM."));
    assert!(changes.clone().all(|subject| subject.contains(".INFO.") || subject.contains(".MSG.GET.")), "{publish:?}");
}

/// What a contributor may do is what a machine may, on subjects of its own: none of them is a machine's or another
/// contributor's.
#[test]
fn a_contributor_may_do_this_and_nothing_of_anothers() {
    let lane = |name: &str| Lane::of(&name.parse().unwrap());
    let all = |lane: &Lane| {
        let (publish, subscribe) = rights::of(Role::Contributor, lane);
        publish.into_iter().chain(subscribe).collect::<Vec<_>>()
    };
    let (anna, bert, own) = (all(&lane("anna")), all(&lane("bert")), rights::of(Role::Machine, &Lane::OWN));
    let is_shared = |subject: &String| subject.contains("OBJ_swarm-offered");
    for subject in anna.iter().filter(|subject| !is_shared(subject)) {
        assert!(subject.contains("anna") && !subject.contains("anna*"), "{subject}");
        assert!(!bert.contains(subject) && !own.0.contains(subject) && !own.1.contains(subject), "{subject}");
    }
    let changed: Vec<String> = anna.iter().map(|subject| subject.replace("anna", "bert")).collect();
    assert_eq!(changed, bert);
    assert!(
        anna.iter()
            .filter(|subject| is_shared(subject))
            .all(|subject| subject.contains(".GET.") || subject.contains(".INFO."))
    );
}
