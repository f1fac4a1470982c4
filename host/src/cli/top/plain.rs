//! Prints a night as lines, for pipes, files and programs.

use crate::cli::out::{self, println};
use crate::cli::text;
use crate::cli::top::glance::{Figures, Glance, HEADS, WIDTHS};
use crate::cli::top::watched::Watched;
use nightlab::night::report::watch::PAUSE;
use std::time::{Duration, Instant};

/// Trials that are printed at first.
const LATEST: usize = 10;
/// What trains is told at this interval.
const INTERVAL: Duration = Duration::from_secs(30);

/// Prints where the night stands, and then what is new until it ends; `once`, only the first.
pub fn print(watched: &mut Watched, json: bool, once: bool) {
    let mut printed = Printed::default();
    loop {
        let is_last = once || watched.is_over();
        let glance = Glance::of(watched);
        match json {
            true if is_last || printed.is_due() || printed.is_other(&glance) => text::json_line(&Figures::of(watched)),
            true => {}
            false => printed.print(&glance, is_last),
        }
        printed.note(glance);
        if is_last || out::is_closed() {
            return;
        }
        std::thread::sleep(PAUSE);
        watched.look();
    }
}

/// What was printed last.
#[derive(Default)]
struct Printed {
    /// When what trains was told.
    told: Option<Instant>,
    glance: Option<Glance>,
}

impl Printed {
    fn is_due(&self) -> bool {
        self.told.is_none_or(|told| told.elapsed() >= INTERVAL)
    }

    /// Whether the night, its state, its trials or its troubles are others than before.
    fn is_other(&self, new: &Glance) -> bool {
        self.glance
            .as_ref()
            .is_none_or(|old| (&old.night, old.rows.len(), &old.trouble) != (&new.night, new.rows.len(), &new.trouble))
    }

    fn print(&self, new: &Glance, is_last: bool) {
        let old = self.glance.as_ref();
        let same = old.filter(|old| (&old.night, &old.policy) == (&new.night, &new.policy));
        let printed = same.map_or(new.rows.len().saturating_sub(LATEST), |old| old.rows.len());
        if same.is_none() {
            summary(new);
            if !new.figures.is_empty() {
                println!("{}", line(&HEADS.map(String::from)));
            }
        } else if old.is_some_and(|old| old.standing != new.standing) && !is_last {
            println!("{}", new.title());
        }
        new.rows.iter().skip(printed).for_each(|row| println!("{}", line(&row.cells)));
        if let Some(words) = new.trouble.as_ref().filter(|_| old.is_none_or(|old| old.trouble != new.trouble)) {
            println!("{words}");
        }
        if let Some(running) = new.running.as_ref().filter(|_| self.is_due()) {
            println!("     … {}  {}", running.title, running.figures);
        }
        if is_last {
            if same.is_some() {
                summary(new);
            }
            new.proposers.iter().for_each(|row| println!("{}", row.join("  ")));
        }
    }

    fn note(&mut self, glance: Glance) {
        if self.is_due() {
            self.told = Some(Instant::now());
        }
        self.glance = Some(glance);
    }
}

fn summary(glance: &Glance) {
    println!("{}", glance.title());
    glance.figures.iter().for_each(|line| println!("{line}"));
}

fn line(cells: &[String; 8]) -> String {
    let [number, at, bpb, delta, seeds, verdict, proposer, mutation] = cells;
    let [n, a, b, d, s, v, p] = WIDTHS.map(usize::from);
    format!("{number:>n$}  {at:>a$}  {bpb:>b$}  {delta:>d$}  {seeds:>s$}  {verdict:<v$}  {proposer:<p$}  {mutation}")
}
