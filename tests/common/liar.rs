//! A contributor's machine that lies: it speaks as `host work` does, and makes no run. It can be a process of its own,
//! which is this test binary again.

use async_nats::jetstream::consumer::PullConsumer;
use kernels::session::{NamedState, Totals};
use nightlab::community::{PrivateKey, Signed};
use nightlab::data::task::PreparedTask;
use nightlab::record::causality::Causality;
use nightlab::record::key::Hash;
use nightlab::record::outcome::{GuestFault, Outcome, Status, encode_state};
use nightlab::swarm::{End, Job, Link, Offer, Pass, Receipt, Role};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio_stream::StreamExt;

/// What it says of every job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A score that is better than any, of a model that has learnt nothing. All of it fits together.
    Score,
    /// The guest failed.
    Fault,
    /// The guest failed, signed by another key.
    Forged,
    /// The guest failed, in another job.
    OtherJob,
    /// A result that is too large to read.
    Bomb,
    /// Nothing, and words on progress without end.
    Flood,
}

const ALL: [Lie; 6] = [Lie::Score, Lie::Fault, Lie::Forged, Lie::OtherJob, Lie::Bomb, Lie::Flood];
/// Name, for an environment variable.
const AS_LIAR: &str = "HOST_TEST_LIAR";

/// The test by which another process of this binary becomes a liar.
pub const PLAYS: &str = "strangers::another_process_plays_the_liar";

/// A command that lies with this pass until it is killed.
pub fn command(url: &str, pass: &Path, lie: Lie) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", PLAYS, "--ignored", "--nocapture"]);
    command.env(AS_LIAR, format!("{} {url} {}", ALL.iter().position(|known| *known == lie).unwrap(), pass.display()));
    command
}

/// Lies as the environment says, if it does.
pub fn play() {
    let Ok(told) = std::env::var(AS_LIAR) else { return };
    let [lie, url, pass] = *told.splitn(3, ' ').collect::<Vec<_>>() else { return };
    let pass = Pass::read(Path::new(pass), &[Role::Contributor]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Ends when the server lets it in no more.
    runtime.block_on(lie_on(url, pass, ALL[lie.parse::<usize>().unwrap()]));
}

async fn lie_on(url: &str, pass: Pass, lie: Lie) {
    let link = Link::connect_patiently(url, pass.clone(), |_| {}).await.unwrap();
    let machine = "honest-machine".parse().unwrap();
    tokio::spawn(beat(link.clone()));
    let jobs: PullConsumer = link.jetstream.get_consumer_from_stream("machines", pass.lane.jobs()).await.unwrap();
    loop {
        let taken = jobs.batch().max_messages(1).expires(Duration::from_secs(2)).messages().await;
        let Ok(mut taken) = taken else { return };
        let Some(Ok(message)) = taken.next().await else { continue };
        let job = Job::read(&message.payload, &pass.coordinator).unwrap();
        if lie == Lie::Flood {
            for _ in 0..5000 {
                link.client.publish(pass.lane.said(&job.experiment()), "{}".into()).await.unwrap();
            }
            continue;
        }
        let (outcome, state) = said(&link, &job, lie).await;
        let (outcome, state) = (put(&link, &outcome).await, put_some(&link, state).await);
        let causality = state.is_some().then_some(Causality::Proved);
        let end = End::Result { outcome, state, causality };
        let named = if lie == Lie::OtherJob { b"another job" } else { &message.payload[..] };
        let key = if lie == Lie::Forged { PrivateKey::of_seed(&[7; 32]) } else { pass.key.clone() };
        let receipt = Receipt::new(Hash::of(named), &job, Clone::clone(&machine), end, "it says");
        let signed = Signed::sign(receipt, &key).to_bytes();
        let _ = link.jetstream.publish(pass.lane.receipt(&job.experiment()), signed.into()).await.unwrap().await;
        let _ = message.ack().await;
    }
}

/// Says that it is there, also to who asks.
async fn beat(link: Link) {
    let lane = &link.pass.lane;
    let offer = Offer {
        machine: "honest-machine".parse().unwrap(),
        version: env!("CARGO_PKG_VERSION").into(),
        numerics: kernels::cpu::CLASS.into(),
        jobs: 4,
        busy: 0,
        is_draining: false,
    };
    let (beat, offer) = (lane.beat(&offer.machine), serde_json::to_vec(&offer).unwrap());
    let mut rolls = link.client.subscribe(lane.roll()).await.unwrap();
    loop {
        link.client.publish(beat.clone(), offer.clone().into()).await.unwrap();
        if let Ok(Some(roll)) = tokio::time::timeout(Duration::from_secs(3), rolls.next()).await
            && let Some(to) = roll.reply
        {
            link.client.publish(to, offer.clone().into()).await.unwrap();
        }
    }
}

/// Outcome and state, as a machine would send them.
async fn said(link: &Link, job: &Job, lie: Lie) -> (Vec<u8>, Option<Vec<u8>>) {
    let (status, totals) = (Status::guest(GuestFault::Panic, "it says"), Totals::default());
    let intervals = vec![[9; 32]; job.manifest.intervals as usize];
    let fault =
        Outcome { status, score: None, curve: vec![], totals, intervals, read_log: vec![], state: None, fuel: 1 };
    match lie {
        Lie::Fault | Lie::Forged | Lie::OtherJob | Lie::Flood => (fault.encode(), None),
        Lie::Bomb => (vec![0; 70 << 20], None),
        Lie::Score => {
            let task = PreparedTask::of_lesson(&get(link, &job.lesson).await, job.manifest.task).unwrap();
            let state = encode_state(&NamedState::default()).unwrap();
            let score = Some(task.score(vec![1.0; task.search.len()]));
            let outcome = Outcome { status: Status::Completed, score, state: Some(Hash::of(&state).0), ..fault };
            (outcome.encode(), Some(state))
        }
    }
}

async fn get(link: &Link, hash: &Hash) -> Vec<u8> {
    let bucket = link.jetstream.get_stream(format!("OBJ_{}", link.pass.lane.inputs())).await.unwrap();
    let store = link.jetstream.get_object_store(link.pass.lane.inputs()).await.unwrap();
    let info = store.info(hash.to_string()).await.unwrap();
    let subject = format!("$O.{}.C.{}", link.pass.lane.inputs(), info.nuid);
    let (mut bytes, mut next) = (Vec::new(), None);
    for _ in 0..info.chunks {
        let chunk = bucket.direct_get_next_for_subject(subject.clone(), next).await.unwrap();
        next = Some(chunk.sequence + 1);
        bytes.extend_from_slice(&chunk.payload);
    }
    bytes
}

async fn put(link: &Link, mut bytes: &[u8]) -> Hash {
    let hash = Hash::of(bytes);
    let store = link.jetstream.get_object_store(link.pass.lane.results()).await.unwrap();
    let metadata = async_nats::jetstream::object_store::ObjectMetadata {
        name: hash.to_string(),
        chunk_size: Some(256 << 10),
        ..Default::default()
    };
    store.put(metadata, &mut bytes).await.unwrap();
    hash
}

async fn put_some(link: &Link, bytes: Option<Vec<u8>>) -> Option<Hash> {
    match bytes {
        Some(bytes) => Some(put(link, &bytes).await),
        None => None,
    }
}
