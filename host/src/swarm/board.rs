//! What the coordinator's thread lets the night know without being asked: which machines are there, and notes for
//! people.

use crate::swarm::machine::{MachineId, Offer};
use crate::swarm::names::Lane;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Notes that wait at most. A machine that comes and goes without end fills no memory.
const MOST_NOTES: usize = 100;
/// Most runs that are asked for ahead.
const MOST_ROOM: usize = 256;
/// Most machines that are remembered.
const MOST_MACHINES: usize = 100_000;
/// A machine that is silent for this long has gone.
const SILENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub struct Board {
    notes: Mutex<VecDeque<String>>,
    room: AtomicUsize,
}

impl Board {
    /// How many runs may be under way: as many as machines offer, and at least one.
    pub fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed).clamp(1, MOST_ROOM)
    }

    pub fn set_room(&self, room: usize) {
        self.room.store(room, Ordering::Relaxed);
    }

    pub fn note(&self, text: String) {
        if let Ok(mut notes) = self.notes.lock()
            && notes.len() < MOST_NOTES
        {
            notes.push_back(text);
        }
    }

    pub fn next_note(&self) -> Option<String> {
        self.notes.lock().ok()?.pop_front()
    }
}

/// The machines of a lane that say that they are there.
#[derive(Debug, Default)]
pub struct Machines {
    lane: Lane,
    known: BTreeMap<MachineId, (Offer, Instant)>,
}

impl Machines {
    pub fn of(lane: Lane) -> Self {
        Self { lane, known: BTreeMap::new() }
    }

    /// How people call a machine.
    fn called(&self, machine: &MachineId) -> String {
        self.lane.contributor().map_or_else(|| machine.to_string(), |name| format!("{machine} of {name}"))
    }

    /// Hears a machine. Its coming, its going, and what keeps it from working are notes.
    pub fn hear(&mut self, offer: Offer, now: Instant, board: &Board) {
        let machine = offer.machine.clone();
        let before = self.known.get(&machine).map(|(offer, _)| offer);
        if before.is_none() && self.known.len() >= MOST_MACHINES {
            return;
        }
        let is_new = before.is_none();
        let called = self.called(&machine);
        let drains_now = offer.is_draining && before.is_none_or(|before| !before.is_draining);
        if offer.numerics != kernels::cpu::CLASS {
            if is_new {
                let Offer { version, numerics, .. } = &offer;
                let own = kernels::cpu::CLASS;
                board.note(format!(
                    "{called} runs host {version} of the numerics class {numerics}, this night {own}: it gets no runs"
                ));
            }
        } else if drains_now {
            board.note(format!("{called} takes no more runs"));
        } else if is_new {
            board.note(format!("{called} offers {}", counted(offer.jobs)));
        }
        self.known.insert(machine, (offer, now));
    }

    /// Forgets the machines that have gone.
    pub fn forget(&mut self, now: Instant, board: &Board) {
        let is_there = |heard: &Instant| now.saturating_duration_since(*heard) < SILENCE;
        let gone = self.known.iter().filter(|(_, (offer, heard))| !is_there(heard) && !offer.is_draining);
        for machine in gone.map(|(machine, _)| self.called(machine)) {
            board.note(format!("{machine} is silent; what it had goes to others"));
        }
        self.known.retain(|_, (_, heard)| is_there(heard));
    }

    /// How many more runs the machines could make now, as they said last.
    pub fn free(&self) -> usize {
        let free = |offer: &Offer| offer.room(kernels::cpu::CLASS).saturating_sub(offer.busy as usize);
        self.known.values().map(|(offer, _)| free(offer)).sum()
    }

    /// How many runs may be under way on them. Results of another numerics class than the night's never mix with its
    /// own, so machines of one have no room.
    pub fn room(&self) -> usize {
        self.known.values().map(|(offer, _)| offer.room(kernels::cpu::CLASS)).sum()
    }
}

fn counted(jobs: u32) -> String {
    match jobs {
        1 => "1 run at a time".into(),
        jobs => format!("{jobs} runs at a time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(machine: &str, jobs: u32) -> Offer {
        Offer {
            machine: machine.parse().unwrap(),
            version: "0.1.0".into(),
            numerics: kernels::cpu::CLASS.into(),
            jobs,
            busy: 0,
            is_draining: false,
        }
    }

    #[test]
    fn room_is_what_machines_of_this_class_offer() {
        let (board, mut machines, now) = (Board::default(), Machines::default(), Instant::now());
        assert_eq!(board.room(), 1, "the first run waits for a machine");
        machines.hear(offer("a", 2), now, &board);
        machines.hear(offer("b", 3), now + Duration::from_secs(10), &board);
        machines.hear(Offer { numerics: "cpu-1".into(), ..offer("old", 8) }, now, &board);
        assert_eq!((machines.room(), machines.free()), (5, 5));
        machines.hear(Offer { busy: 2, ..offer("b", 3) }, now + Duration::from_secs(10), &board);
        assert_eq!((machines.room(), machines.free()), (5, 3));
        machines.forget(now + SILENCE, &board);
        assert_eq!(machines.room(), 3);
        machines.hear(Offer { is_draining: true, ..offer("b", 3) }, now + SILENCE, &board);
        machines.forget(now + SILENCE, &board);
        assert_eq!(machines.room(), 0);
        let notes: Vec<String> = std::iter::from_fn(|| board.next_note()).collect();
        let class = kernels::cpu::CLASS;
        assert_eq!(
            notes,
            [
                "a offers 2 runs at a time".to_string(),
                "b offers 3 runs at a time".into(),
                format!("old runs host 0.1.0 of the numerics class cpu-1, this night {class}: it gets no runs"),
                "a is silent; what it had goes to others".into(),
                "old is silent; what it had goes to others".into(),
                "b takes no more runs".into(),
            ]
        );
    }
}
