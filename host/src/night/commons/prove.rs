//! Runs a sample of what is new in a commons again, and says what that shows of each finding. How much is run at once
//! is bounded, for each lab and in all. What that leaves open waits for the next time.

use crate::night::commons::draw::Draw;
use crate::night::commons::error::CommonsError;
use crate::night::commons::news::{Here, News};
use crate::night::commons::refusal::Refusal;
use crate::night::commons::sample::{self, Sample, Shown};
use crate::night::commons::tree;
use crate::record::key::Hash;
use crate::record::store::{Attempts, Proof};
use crate::sandbox::Progress;
use crate::system::clock::{DAY_MS, unix_ms};
use crate::system::untrusted_folder::Folder;
use std::collections::BTreeMap;

/// A finding that could not be run again so many times in so many days is not run until one of them is forgotten. A
/// machine that failed may be mended by then.
const MOST_TRIES: u64 = 3;
const REMEMBERED_DAYS: i64 = 7;

/// What becomes of a new finding.
pub enum Settled {
    Holds(Proof),
    Refused(Refusal),
    /// Neither it nor enough of its lab was run again: it is not taken yet.
    Later,
}

/// What a sample shows of each finding. A lab with a refuted claim is distrusted from then on.
pub fn prove(
    here: &mut Here,
    (folder, news, draw): (&Folder, &[News], &Draw),
    how: Sample,
    replayed: &mut usize,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Vec<Settled>, CommonsError> {
    let failed = here.store.failed_attempts(unix_ms() - REMEMBERED_DAYS * DAY_MS)?;
    let mut settled: Vec<Settled> = news.iter().map(|one| before(one, &failed)).collect();
    let open: Vec<usize> = (0..news.len()).filter(|at| matches!(settled.get(*at), Some(Settled::Later))).collect();
    let labs: Vec<String> =
        open.iter().filter_map(|at| news.get(*at)).map(|one| one.found.signed.by.to_string()).collect();
    let mut held = BTreeMap::<&str, usize>::new();
    for place in sample::draw(&labs, how, draw) {
        let (Some(&at), Some(lab)) = (open.get(place), labs.get(place)) else { continue };
        let (Some(one), Some(now)) = (news.get(at), settled.get_mut(at)) else { continue };
        if here.distrusted.contains_key(lab) {
            continue;
        }
        *replayed += 1;
        *now = run(here, folder, one, how, watch)?;
        if matches!(now, Settled::Holds(_)) {
            *held.entry(lab).or_default() += 1;
        }
    }
    let mut believed: BTreeMap<&str, usize> =
        held.into_iter().map(|(lab, held)| (lab, held * (how.every as usize).saturating_sub(1))).collect();
    for (at, lab) in open.iter().zip(&labs) {
        if let (Some(now @ Settled::Later), Some(left @ 1..)) = (settled.get_mut(*at), believed.get_mut(lab.as_str())) {
            *left -= 1;
            *now = Settled::Holds(Proof::Trusted);
        }
    }
    Ok(settled)
}

/// What is known of a finding before anything is run.
fn before(news: &News, failed: &BTreeMap<Hash, Attempts>) -> Settled {
    if !news.is_comparable {
        return Settled::Holds(Proof::OtherTerms);
    }
    match failed.get(&news.found.signed.hash()) {
        Some(Attempts { count, reason }) if *count >= MOST_TRIES => {
            Settled::Refused(Refusal::Untriable { tries: *count, days: REMEMBERED_DAYS, reason: reason.clone() })
        }
        _ => Settled::Later,
    }
}

/// Runs a finding again, and remembers what went wrong.
fn run(
    here: &mut Here,
    folder: &Folder,
    one: &News,
    how: Sample,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Settled, CommonsError> {
    let signed = &one.found.signed;
    let source = match tree::source(folder, &one.found) {
        Err(changed) => return Ok(Settled::Refused(changed)),
        Ok(source) => source,
    };
    let finding = signed.hash();
    let since = unix_ms() - REMEMBERED_DAYS * DAY_MS;
    let fault = |reason: &str| here.store.add_failed_attempt(&finding, reason, (since, unix_ms()));
    Ok(Settled::Refused(match sample::run_again(here.store, signed, &source, how.threads, watch)? {
        Shown::Holds => return Ok(Settled::Holds(Proof::Proved)),
        Shown::Near => return Ok(Settled::Holds(Proof::OtherTerms)),
        Shown::Unfit(reason) => {
            fault(&reason)?;
            Refusal::Unfit(reason)
        }
        Shown::Fault(reason) => {
            fault(&reason)?;
            Refusal::Machine(reason)
        }
        Shown::Refuted(reason) => {
            let why = format!("its claim in the finding {} was refuted: {reason}", finding.short());
            let lab = signed.by.to_string();
            here.store.distrust(&lab, &finding, &why, unix_ms())?;
            here.distrusted.insert(lab, why);
            Refusal::Refuted(reason)
        }
    }))
}
