//! The contributors of a night: who is there, how many runs each may have, and who is out.

use crate::swarm::board::{Board, Machines};
use crate::swarm::contributor::{Contributor, Known};
use crate::swarm::error::SwarmError;
use crate::swarm::link::Link;
use crate::swarm::names::Lane;
use crate::swarm::stock::{MOST_CONTRIBUTORS, Stall, Stock};
use std::collections::BTreeMap;
use std::time::Instant;

/// Messages between two looks, and for each run at the same time. One who makes runs says less.
const MOST_SAID: (u32, u32) = (100, 30);

/// A contributor that is not out.
pub struct Member {
    pub known: Known,
    pub stall: Stall,
    pub machines: Machines,
    /// Messages since the last look.
    said: u32,
}

impl Member {
    /// How many runs may be under way at it.
    pub fn room(&self) -> usize {
        self.machines.room().min(self.known.runs as usize)
    }
}

#[derive(Default)]
pub struct Crowd {
    members: BTreeMap<Contributor, Member>,
    /// Of the list of contributors, when it was last read.
    edition: Option<u64>,
    /// Who is out since somebody last asked.
    gone: Vec<Contributor>,
}

impl Crowd {
    pub fn get(&self, name: &Contributor) -> Option<&Member> {
        self.members.get(name)
    }

    pub fn get_mut(&mut self, name: &Contributor) -> Option<&mut Member> {
        self.members.get_mut(name)
    }

    pub fn room(&self) -> usize {
        self.members.values().map(Member::room).sum()
    }

    /// Any stall. All have the same inputs.
    pub fn any_stall(&self) -> Option<&Stall> {
        self.members.values().next().map(|member| &member.stall)
    }

    /// Who is out since the last call. What rests on its word alone is in doubt.
    pub fn take_gone(&mut self) -> Vec<Contributor> {
        std::mem::take(&mut self.gone)
    }

    /// The contributor who could make the most runs more than it has.
    pub fn freest(&self, load: impl Fn(&Lane) -> usize) -> Option<Lane> {
        let free = |(name, member): (&Contributor, &Member)| {
            let lane = Lane::of(name);
            (member.room().saturating_sub(load(&lane)), lane)
        };
        self.members.iter().map(free).filter(|(free, _)| *free > 0).max_by_key(|(free, _)| *free).map(|(_, lane)| lane)
    }

    /// Reads the list again if it has changed: who is invited comes in, who is out goes.
    pub async fn refresh(&mut self, link: &Link, stock: &Stock, board: &Board) -> Result<(), SwarmError> {
        let edition = stock.edition().await?;
        if self.edition == Some(edition) {
            return Ok(());
        }
        for (name, known) in stock.contributors().await?.into_iter().take(MOST_CONTRIBUTORS) {
            match (self.members.get_mut(&name), &known.is_out) {
                (Some(member), None) => member.known = known,
                (Some(_), Some(why)) => {
                    board.note(format!("{name} is out: {why}"));
                    self.remove(&name).await;
                }
                (None, None) => {
                    let lane = Lane::of(&name);
                    let stall = Stall::open(link, lane.clone(), Some(&known)).await?;
                    // What it had of a night before is asked for again.
                    stall.empty().await?;
                    let machines = Machines::of(lane.clone());
                    self.members.insert(name, Member { known, stall, machines, said: 0 });
                    let _ = link.client.publish(lane.roll(), Vec::new().into()).await;
                }
                // A night before may have ended before it heard of it.
                (None, Some(_)) if self.edition.is_none() => self.gone.push(name),
                (None, Some(_)) => {}
            }
        }
        self.edition = Some(edition);
        Ok(())
    }

    /// It gets no more runs, and the server lets it in no more.
    pub async fn shut_out(&mut self, name: &Contributor, why: &str, stock: &Stock, board: &Board) {
        let Some(member) = self.members.get(name) else { return };
        board.note(format!("{name} is out: {why}"));
        let known = Known { is_out: Some(why.into()), ..member.known.clone() };
        // A night that ends before this is heard finds out again.
        let _ = stock.remember(name, &known).await;
        self.remove(name).await;
    }

    async fn remove(&mut self, name: &Contributor) {
        if let Some(member) = self.members.remove(name) {
            self.gone.push(name.clone());
            member.stall.close().await;
        }
    }

    /// A run of it was made again with the same result.
    pub async fn agrees(&mut self, name: &Contributor, stock: &Stock) {
        if let Some(member) = self.members.get_mut(name) {
            member.known.agreed += 1;
            let _ = stock.remember(name, &member.known).await;
        }
    }

    /// Counts a message. Returns whether there are more than anybody needs.
    pub fn counts(&mut self, name: &Contributor) -> bool {
        let Some(member) = self.members.get_mut(name) else { return false };
        member.said = member.said.saturating_add(1);
        member.said > MOST_SAID.0.saturating_add(MOST_SAID.1.saturating_mul(member.known.runs))
    }

    /// Forgets the machines that have gone, and what was said before.
    pub fn look(&mut self, now: Instant, board: &Board) {
        for member in self.members.values_mut() {
            member.machines.forget(now, board);
            member.said = 0;
        }
    }
}
