//! Sessions: when records are executed, what else runs, and where a run goes on from never show.

use bits::programs::{self, Flush, open, resume};
use bits::{Digest, Variant, training};
use kernels::cpu::CpuExecutor;
use kernels::exec::Executor;
use kernels::session::{Answers, Checkpoint};
use std::sync::{Arc, Mutex};

/// As in the digests.
const RANDOM_SEED: u64 = 42;

fn executor(threads: usize) -> CpuExecutor {
    Variant::fast(threads).executor().unwrap()
}

fn sibling(executor: &CpuExecutor) -> Box<dyn Executor> {
    Box::new(executor.sibling(RANDOM_SEED))
}

fn program(executor: &CpuExecutor, number: u64, flush: Flush) -> Digest {
    let results = programs::run(number, open(sibling(executor)), flush);
    let results = results.unwrap_or_else(|fault| panic!("program {number}: {fault}"));
    Digest::new(format!("program/{number}"), &results)
}

#[test]
fn flushes_never_show() {
    let executor = executor(2);
    for number in 0..64 {
        let want = program(&executor, number, Flush::WhenNeeded);
        assert_eq!(want, program(&executor, number, Flush::Always));
    }
}

#[test]
fn programs_make_numbers() {
    let executor = executor(2);
    let (mut numbers, mut all) = (0, 0);
    for number in 0..32 {
        for (_, values) in programs::run(number, open(sibling(&executor)), Flush::WhenNeeded).unwrap() {
            if let kernels::spec::Values::F32(values) = values {
                all += values.len();
                numbers += values.iter().filter(|x| x.is_finite() && **x != 0.0).count();
            }
        }
    }
    assert!(3 * numbers > all, "{numbers} of {all} are finite and not zero");
}

/// As experiments do that run at once.
#[test]
fn sessions_that_share_threads_never_show() {
    let executor = executor(3);
    let train = || Digest::new("training".to_owned(), &training::run(open(sibling(&executor))).unwrap());
    let alone = train();
    let programs: Vec<Digest> = (0..16).map(|number| program(&executor, number, Flush::WhenNeeded)).collect();
    std::thread::scope(|scope| {
        let trainings: Vec<_> = (0..3).map(|_| scope.spawn(train)).collect();
        for want in &programs {
            let number = want.name.trim_start_matches("program/").parse().unwrap();
            assert_eq!(*want, program(&executor, number, Flush::WhenNeeded));
        }
        trainings.into_iter().for_each(|training| assert_eq!(training.join().unwrap(), alone));
    });
}

/// From each checkpoint on, with other instructions and other threads: the hashes of the whole run.
#[test]
fn a_run_that_goes_on_elsewhere_has_the_same_hashes() {
    let checkpoints: Arc<Mutex<Vec<Checkpoint>>> = Arc::default();
    let kept = checkpoints.clone();
    let mut session = open(Box::new(executor(2)));
    session.on_checkpoint(Box::new(move |checkpoint| kept.lock().unwrap().push(checkpoint)));
    let session = training::train(session).unwrap();
    let checkpoints = std::mem::take(&mut *checkpoints.lock().unwrap());
    assert!(checkpoints.len() > 3, "{} intervals", checkpoints.len());
    for (done, from) in (1..).zip(checkpoints).take(session.interval_hashes().len() - 1) {
        let answers = Answers::FastForward { log: session.read_log().to_vec(), from: Box::new(from) };
        let rest = training::train(resume(Box::new(Variant::plain().executor().unwrap()), answers)).unwrap();
        assert_eq!(rest.interval_hashes(), &session.interval_hashes()[done..]);
    }
}
