//! The proposers of a night: their state, who writes next, and which proposal is tried next. Each proposer has its own
//! thread and at most one proposal at a time. The thread that trains makes all decisions here.
//!
//! When a training run begins, the proposer with the best rank gets a turn. If that proposer costs money, a free
//! proposer gets a turn too, in case the first one is late. When a run ends, the ready proposal of the best rank is
//! taken. Training never waits while a proposal is ready.

use crate::experiment::bench::Bench;
use crate::night::error::NightError;
use crate::night::turns::bandit::Bandit;
use crate::night::turns::turn::{Draft, Report, Turn, Worker, Written};
use crate::propose::proposer::{ProposeError, Proposer, Situation, Underway};
use crate::record::spend::{Caps, Spend};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// Number of failures in a row before a proposer rests.
const PATIENCE: u32 = 3;
/// Duration of the first rest after [`PATIENCE`] failures. Each further failure doubles it.
const FIRST_REST: Duration = Duration::from_secs(30);
/// Duration of the first rest if a server asks for a delay without a duration.
const FIRST_DELAY: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(1800);

/// Settings that all proposers of a night share.
pub struct Terms<'scope> {
    /// The night that pays.
    pub night: i64,
    pub caps: Caps,
    /// Maximum number of repairs of one proposal.
    pub repairs: u32,
    /// Set when the night is over.
    pub cancelled: &'scope AtomicBool,
}

pub struct Roster {
    arms: Vec<Arm>,
    reports: Receiver<(usize, Report)>,
    bandit: Bandit,
    in_training: Option<usize>,
    /// Proposals that start from an older champion and are not tried.
    stale: Vec<Draft>,
}

struct Arm {
    name: String,
    is_free: bool,
    is_refilled: bool,
    is_of_champion: bool,
    turns: Sender<Turn>,
    state: State,
    /// What it wrote in an earlier process and nobody tried. It becomes ready before the proposer is asked again.
    backlog: VecDeque<Draft>,
    failures: u32,
    rests_until: Option<Instant>,
    stopped: bool,
    exhausted_on: Option<u64>,
}

enum State {
    Idle,
    AtWork,
    Ready(Box<Draft>),
}

impl Arm {
    fn is_available(&self, champion: u64, now: Instant) -> bool {
        let awake = self.rests_until.is_none_or(|until| until <= now);
        !self.stopped && awake && self.exhausted_on != Some(champion)
    }

    fn is_paid_and_ready(&self) -> bool {
        !self.is_free && matches!(self.state, State::Ready(_))
    }

    fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Takes the ready proposal, if there is one. The next one of the backlog becomes ready.
    fn take_ready(&mut self) -> Option<Draft> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Ready(draft) => {
                self.pull_backlog();
                Some(*draft)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    fn pull_backlog(&mut self) {
        if self.is_idle()
            && let Some(draft) = self.backlog.pop_front()
        {
            self.state = State::Ready(Box::new(draft));
        }
    }
}

/// The part of a report that concerns the night, apart from a ready proposal.
pub struct News {
    pub proposer: String,
    /// Messages for the user.
    pub notes: Vec<String>,
    /// `Some` if a digest was asked for. The inner value is the digest, or `None` if the proposer has none.
    pub digest: Option<Option<String>>,
    /// Cost of a turn that produced nothing to try.
    pub lost: Option<Spend>,
}

impl Roster {
    /// Starts a thread for each proposer. The threads end after the roster is dropped and `cancelled` is set.
    pub fn open<'scope>(
        scope: &'scope Scope<'scope, '_>,
        bench: &Bench,
        proposers: Vec<Box<dyn Proposer>>,
        bandit: Bandit,
        terms: &Terms<'scope>,
    ) -> Result<Self, NightError> {
        let (send, reports) = mpsc::channel();
        let mut arms = Vec::new();
        for (i, proposer) in proposers.into_iter().enumerate() {
            let (turns, inbox) = mpsc::channel::<Turn>();
            arms.push(Arm {
                name: proposer.name().into(),
                is_free: proposer.is_free(),
                is_refilled: proposer.is_refilled(),
                is_of_champion: proposer.is_of_champion(),
                turns,
                state: State::Idle,
                backlog: VecDeque::new(),
                failures: 0,
                rests_until: None,
                stopped: false,
                exhausted_on: None,
            });
            let &Terms { night, caps, repairs, cancelled } = terms;
            let mut worker = Worker { bench: bench.twin()?, proposer, night, caps, repairs, cancelled };
            let send = send.clone();
            let thread = std::thread::Builder::new().spawn_scoped(scope, move || {
                while let Ok(turn) = inbox.recv() {
                    // A panic of one proposer must not end the night.
                    let report = catch_unwind(AssertUnwindSafe(|| worker.turn(&turn)));
                    if send.send((i, report.unwrap_or_else(|_| Report::panicked()))).is_err() {
                        break;
                    }
                }
            });
            thread.map_err(|error| NightError::Machine(format!("a proposer got no thread: {error}")))?;
        }
        Ok(Self { arms, reports, bandit, in_training: None, stale: Vec::new() })
    }

    /// Gives a proposal that was not tried back to its author. Returns it if its author is not in this night.
    pub fn give_back(&mut self, draft: Draft) -> Option<Draft> {
        let Some(arm) = self.arms.iter_mut().find(|arm| arm.name == draft.author) else { return Some(draft) };
        arm.backlog.push_back(draft);
        arm.pull_backlog();
        None
    }

    /// Gives turns to the proposers that should write now. Returns whether it asked one of them for a digest. `room` is
    /// how many proposals can still be tried: no more of them are paid for.
    pub fn hand_out(&mut self, situation: &Situation, digest_is_due: bool, room: Option<u64>) -> bool {
        let (champion, now) = (situation.parent.number, Instant::now());
        let available: Vec<usize> = self
            .rank()
            .into_iter()
            .filter(|&i| self.arms.get(i).is_some_and(|a| a.is_available(champion, now)))
            .collect();
        let is_free = |i: &usize| self.arms.get(*i).is_some_and(|arm| arm.is_free);
        let paid = self.arms.iter().filter(|arm| !arm.is_free && !arm.is_idle()).count() as u64;
        let may_pay = room.is_none_or(|room| paid < room);
        let available: Vec<usize> = available.into_iter().filter(|i| may_pay || is_free(i)).collect();
        let first = available.first().copied();
        let reserve = first.filter(|i| !is_free(i)).and_then(|_| available.iter().copied().find(is_free));
        let mut asked = false;
        for arm in [first, reserve].into_iter().flatten() {
            let Some(arm) = self.arms.get_mut(arm).filter(|arm| arm.is_idle()) else { continue };
            let wants_digest = digest_is_due && !arm.is_free && !asked;
            asked |= wants_digest;
            match arm.turns.send(Turn { situation: situation.clone(), wants_digest }) {
                Ok(()) => arm.state = State::AtWork,
                Err(_) => arm.stopped = true,
            }
        }
        asked
    }

    /// Takes the ready proposal of the best rank. If there is no `room` for more, proposals that were paid for come
    /// first. It passes over a proposal that a free proposer made from an older champion, because a new one costs
    /// nothing; [`Self::take_stale`] returns it.
    pub fn take(&mut self, champion: u64, room: Option<u64>) -> Option<Draft> {
        let paid = self.arms.iter().filter(|arm| arm.is_paid_and_ready()).count() as u64;
        if room.is_some_and(|room| paid >= room)
            && let Some(draft) = self.take_paid()
        {
            return Some(draft);
        }
        for i in self.rank() {
            let Some(arm) = self.arms.get_mut(i) else { continue };
            while let Some(draft) = arm.take_ready() {
                if arm.is_free && arm.is_of_champion && draft.parent != champion {
                    self.stale.push(draft);
                    continue;
                }
                self.in_training = Some(i);
                return Some(draft);
            }
        }
        None
    }

    /// The proposals that were passed over since the last call.
    pub fn take_stale(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.stale)
    }

    /// Takes the ready proposal of the best rank that was paid for.
    pub fn take_paid(&mut self) -> Option<Draft> {
        for i in self.rank() {
            if let Some(draft) = self.arms.get_mut(i).filter(|arm| arm.is_paid_and_ready()).and_then(Arm::take_ready) {
                self.in_training = Some(i);
                return Some(draft);
            }
        }
        None
    }

    /// Ends the trial of the proposal taken last. Without a reward, the trial was given up.
    pub fn decided(&mut self, reward_and_cost: Option<(f64, f64)>) {
        self.arms.iter_mut().filter(|arm| arm.is_refilled).for_each(|arm| arm.exhausted_on = None);
        let Some(arm) = self.in_training.take().and_then(|i| self.arms.get(i)) else { return };
        if let Some((reward, cost)) = reward_and_cost {
            self.bandit.observe(&arm.name, reward, cost);
        }
    }

    /// Records a turn that produced nothing to train. Its reward is 0.
    pub fn lost(&mut self, proposer: &str, cost: f64) {
        self.bandit.observe(proposer, 0.0, cost);
    }

    /// The proposals that wait. Other proposers should not write them again.
    pub fn ready(&self) -> impl Iterator<Item = Underway> {
        self.arms.iter().flat_map(|arm| {
            let ready = if let State::Ready(draft) = &arm.state { Some(&**draft) } else { None };
            ready.into_iter().chain(&arm.backlog).map(underway)
        })
    }

    /// The next report, if one arrives within `patience`.
    pub fn wait(&mut self, patience: Duration, champion: u64) -> Option<News> {
        match self.reports.recv_timeout(patience) {
            Ok((arm, report)) => self.arms.get_mut(arm).map(|arm| arm.take_report(report, champion)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // All threads have ended, which happens only if each of them panicked.
                self.arms.iter_mut().for_each(|arm| arm.stopped = true);
                None
            }
        }
    }

    /// Whether any proposer can still write a digest.
    pub fn has_writers(&self) -> bool {
        self.arms.iter().any(|arm| !arm.is_free && !arm.stopped)
    }

    /// Whether any proposer writes now.
    pub fn is_at_work(&self) -> bool {
        !self.at_work().is_empty()
    }

    /// The proposers that write now.
    pub fn at_work(&self) -> Vec<&str> {
        let writes = |arm: &&Arm| matches!(arm.state, State::AtWork) && !arm.stopped;
        self.arms.iter().filter(writes).map(|arm| arm.name.as_str()).collect()
    }

    /// The resting proposer that wakes first, and when. `None` if no proposer will wake.
    pub fn next_to_wake(&self, champion: u64) -> Option<(Instant, &str)> {
        let resting = self.arms.iter().filter(|arm| !arm.stopped && arm.exhausted_on != Some(champion));
        resting.filter_map(|arm| Some((arm.rests_until?, arm.name.as_str()))).min()
    }

    /// Whether each proposer has nothing left to propose. One that stopped, as after a refused key, may go on another
    /// time.
    pub fn is_exhausted(&self) -> bool {
        self.arms.iter().all(|arm| !arm.stopped)
    }

    fn rank(&self) -> Vec<usize> {
        let names: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        let turns = |(i, arm): (usize, &Arm)| u32::from(!arm.is_idle()) + u32::from(self.in_training == Some(i));
        let underway: Vec<u32> = self.arms.iter().enumerate().map(turns).collect();
        self.bandit.rank(&names, &underway)
    }
}

/// The part of a draft that other proposers see.
pub fn underway(draft: &Draft) -> Underway {
    Underway { source_key: draft.source_key, description: draft.proposal.description.clone() }
}

impl Arm {
    fn take_report(&mut self, report: Report, champion: u64) -> News {
        self.state = State::Idle;
        let (mut notes, mut lost) = (Vec::from_iter(report.unrecorded), None);
        match report.written {
            Written::Draft(draft) => {
                // A free proposer depends on the trials alone: it learns from a failure, and a rest is lost.
                let counts = draft.fault.is_some() && !self.is_free;
                self.failures = if counts { self.failures + 1 } else { 0 };
                self.state = State::Ready(draft);
            }
            Written::Nothing => {
                self.exhausted_on = Some(champion);
                if !self.is_refilled {
                    notes.push("has nothing left to propose from this champion".to_string());
                }
            }
            Written::Lost(reason) => {
                lost = Some(report.spend);
                self.failures += 1;
                notes.push(format!("gave no mutation: {reason}"));
            }
            Written::Halted => {}
        }
        match report.halt {
            Some(ProposeError::Stop(reason)) => {
                self.stopped = true;
                notes.push(reason);
            }
            Some(ProposeError::Later { reason, after }) => {
                self.failures += 1;
                // A server that asks for the same short wait again and again must not be asked all night.
                let rest = match (after, self.failures) {
                    (Some(asked), 1) => asked.min(LONGEST_REST),
                    (asked, failures) => {
                        doubled(asked.map_or(FIRST_DELAY, |asked| asked.max(FIRST_DELAY)), failures - 1)
                    }
                };
                self.rests_until = Some(Instant::now() + rest);
                notes.push(format!("rests for {} s: {reason}", rest.as_secs().max(1)));
            }
            _ if self.failures >= PATIENCE => {
                let rest = doubled(FIRST_REST, self.failures - PATIENCE);
                self.rests_until = Some(Instant::now() + rest);
                notes.push(format!("rests for {} s after {} failures in a row", rest.as_secs(), self.failures));
            }
            _ => self.rests_until = None,
        }
        let notes = notes.into_iter().map(|note| format!("{}: {note}", self.name)).collect();
        let digest = report.wanted_digest.then_some(report.digest);
        News { proposer: self.name.clone(), notes, digest, lost }
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::night::turns::turn::Fault;
    use crate::propose::proposer::Proposal;
    use crate::record::stage::Stage;

    fn arm() -> Arm {
        let (name, turns) = ("llm.a".to_string(), mpsc::channel().0);
        Arm {
            name,
            is_free: false,
            is_refilled: false,
            is_of_champion: true,
            turns,
            state: State::AtWork,
            backlog: VecDeque::new(),
            failures: 0,
            rests_until: None,
            stopped: false,
            exhausted_on: None,
        }
    }

    fn draft() -> Draft {
        let proposal = Proposal {
            source: String::new(),
            hypothesis: String::new(),
            description: String::new(),
            operator: String::new(),
            credit: None,
        };
        Draft { author: "llm.a".into(), parent: 0, proposal, id: None, source_key: None, fault: None }
    }

    fn report(written: Written, halt: Option<ProposeError>) -> Report {
        Report { written, halt, digest: None, wanted_digest: false, spend: Spend::default(), unrecorded: None }
    }

    #[test]
    fn a_proposer_that_stopped_may_go_on_another_time() {
        let (reports, in_training) = (mpsc::channel().1, None);
        let arms = vec![arm(), Arm { exhausted_on: Some(0), ..arm() }];
        let mut roster = Roster { arms, reports, bandit: Bandit::default(), in_training, stale: Vec::new() };
        assert!(roster.is_exhausted());
        roster.arms[0].stopped = true;
        assert!(!roster.is_exhausted());
    }

    #[test]
    fn what_is_given_back_is_taken_in_order_and_nobody_writes_before_it_is_tried() {
        let (reports, in_training) = (mpsc::channel().1, None);
        let (turns, inbox) = mpsc::channel();
        let arms = vec![Arm { state: State::Idle, turns, ..arm() }];
        let mut roster = Roster { arms, reports, bandit: Bandit::default(), in_training, stale: Vec::new() };
        for id in 1..=3 {
            assert!(roster.give_back(Draft { id: Some(id), ..draft() }).is_none());
        }
        let situation = crate::propose::proposer::tests::situation(Vec::new());
        for id in 1..=3 {
            assert_eq!(roster.take(0, None).and_then(|draft| draft.id), Some(id));
            roster.hand_out(&situation, false, None);
            assert_eq!(inbox.try_recv().is_ok(), id == 3);
        }
    }

    #[test]
    fn one_that_fails_again_and_again_rests_longer_and_longer() {
        let mut arm = arm();
        let mut rest = || {
            let news = arm.take_report(report(Written::Lost("no code".into()), None), 0);
            assert!(news.lost.is_some() && news.notes[0] == "llm.a: gave no mutation: no code");
            let available = arm.is_available(0, Instant::now());
            (available, arm.rests_until.map_or(0, |until| until.duration_since(Instant::now()).as_secs().div_ceil(30)))
        };
        assert_eq!(
            [rest(), rest(), rest(), rest(), rest()],
            [(true, 0), (true, 0), (false, 1), (false, 2), (false, 4)]
        );
        arm.take_report(report(Written::Nothing, None), 7);
        assert!(!arm.is_available(7, Instant::now()), "nothing is left from this champion");
    }

    #[test]
    fn an_inbox_is_looked_into_again_after_each_trial() {
        for is_refilled in [true, false] {
            let mut roster = Roster {
                arms: vec![Arm { is_refilled, ..arm() }],
                reports: mpsc::channel().1,
                bandit: Bandit::default(),
                in_training: None,
                stale: Vec::new(),
            };
            roster.arms[0].take_report(report(Written::Nothing, None), 7);
            assert!(!roster.arms[0].is_available(7, Instant::now()), "it is not asked all the time");
            roster.decided(None);
            assert_eq!(roster.arms[0].is_available(7, Instant::now()), is_refilled);
        }
    }

    #[test]
    fn what_does_not_come_from_the_champion_keeps_its_turn_when_another_is_kept() {
        for is_of_champion in [true, false] {
            let ready = State::Ready(Box::new(draft()));
            let arms = vec![Arm { is_free: true, is_of_champion, state: ready, ..arm() }];
            let mut roster = Roster {
                arms,
                reports: mpsc::channel().1,
                bandit: Bandit::default(),
                in_training: None,
                stale: Vec::new(),
            };
            assert_eq!(roster.take(7, None).is_none(), is_of_champion);
            assert_eq!(roster.take_stale().len(), usize::from(is_of_champion));
        }
    }

    #[test]
    fn a_free_proposer_learns_from_failures_and_does_not_rest() {
        let faulty = || Draft { fault: Some(Fault { stage: Stage::Compile, message: String::new() }), ..draft() };
        for is_free in [true, false] {
            let mut arm = Arm { is_free, ..arm() };
            for _ in 0..PATIENCE {
                arm.take_report(report(Written::Draft(Box::new(faulty())), None), 0);
            }
            assert_eq!(arm.is_available(0, Instant::now()), is_free);
        }
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it_and_one_that_refuses_is_left_alone() {
        let mut arm = arm();
        let later = ProposeError::Later { reason: "429".into(), after: Some(Duration::from_secs(90)) };
        let news = arm.take_report(report(Written::Halted, Some(later)), 0);
        assert_eq!(news.notes, ["llm.a: rests for 90 s: 429"]);
        assert!(!arm.is_available(0, Instant::now()));
        assert!(arm.is_available(0, Instant::now() + Duration::from_secs(91)));
        arm.failures = 0;
        let again = |arm: &mut Arm, seconds| {
            let later = ProposeError::Later { reason: "429".into(), after: Some(Duration::from_secs(seconds)) };
            arm.take_report(report(Written::Halted, Some(later)), 0).notes.remove(0)
        };
        for wanted in [1, 4, 8, 16] {
            assert_eq!(again(&mut arm, 1), format!("llm.a: rests for {wanted} s: 429"), "a wait that never helps");
        }
        let news = arm.take_report(report(Written::Halted, Some(ProposeError::Stop("the key is refused".into()))), 0);
        assert_eq!(news.notes, ["llm.a: the key is refused"]);
        assert!(!arm.is_available(0, Instant::now() + LONGEST_REST * 9));
    }
}
