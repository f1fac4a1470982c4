//! What `host top` shows of a night at one moment, in words. Pure.

use crate::cli::text;
use crate::cli::top::watched::{State, Watched};
use nightlab::night::now::Now;
use nightlab::night::report::files::account_rows;
use nightlab::night::report::page::{Entry, Page};
use nightlab::night::report::running::Running;
use nightlab::record::ending::Ending;
use nightlab::record::facts::{duration, signed};
use nightlab::record::spend::dollars;
use nightlab::record::store::Account;
use nightlab::system::sanitize;
use serde::Serialize;

/// Longest text of others in characters.
const MOST_CHARS: usize = 300;

/// The columns of trials, and their widths in characters; the last one takes the rest.
pub const HEADS: [&str; 8] = ["#", "at", "bpb", "Δ", "n", "verdict", "proposer", "mutation"];
pub const WIDTHS: [u16; 7] = [4, 8, 7, 7, 2, 10, 10];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Glance {
    pub night: String,
    /// Whether it runs, in words.
    pub state: String,
    pub policy: String,
    /// The same as `state`, without figures.
    pub standing: Option<State>,
    /// The champion and the counts of the night.
    pub figures: Vec<String>,
    pub running: Option<Running>,
    /// The trials, the latest last.
    pub rows: Vec<Row>,
    /// What proposers did and cost: a row of names, then one for each proposer.
    pub proposers: Vec<[String; 5]>,
    /// Why there is nothing to show, or why it may be old.
    pub trouble: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub number: u64,
    pub is_kept: bool,
    /// By [`HEADS`].
    pub cells: [String; 8],
}

/// The same for programs.
#[derive(Serialize)]
pub struct Figures<'a> {
    night: Option<i64>,
    policy: &'a str,
    state: State,
    trials: usize,
    kept: usize,
    /// Trial number; 0 for the baseline.
    champion: u64,
    champion_bpb: Option<f64>,
    /// What all champions gained together, added up from the baseline, and the same at the beginning: bits per byte.
    level_bpb: Option<f64>,
    began_bpb: Option<f64>,
    micro_dollars: u64,
    running: Option<&'a Now>,
    proposers: &'a [Account],
    trouble: Option<String>,
}

impl Glance {
    pub fn of(watched: &Watched) -> Self {
        let page = watched.page();
        let now = watched.now.as_ref();
        Self {
            night: match (watched.night(), now) {
                (Some(night), _) => format!("night {night}"),
                (None, Some(_)) => "a night begins".into(),
                (None, None) => "no night".into(),
            },
            state: state(watched),
            policy: page.map(|page| line(&page.picture.policy)).unwrap_or_default(),
            standing: Some(watched.state()),
            figures: page.map(figures).unwrap_or_default(),
            running: now.map(Running::of),
            rows: page.map(rows).unwrap_or_default(),
            proposers: page.map(|page| proposers(&page.search.accounts)).unwrap_or_default(),
            trouble: watched.trouble().map(|words| line(&words)),
        }
    }

    pub fn title(&self) -> String {
        let parts = [&self.night, &self.state, &self.policy];
        parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" · ")
    }
}

impl<'a> Figures<'a> {
    pub fn of(watched: &'a Watched) -> Self {
        let page = watched.page();
        let champion = page.and_then(|page| page.champion.as_ref()).map_or(0, |champion| champion.number);
        Self {
            night: watched.night(),
            policy: page.map_or("", |page| &page.picture.policy),
            state: watched.state(),
            trials: page.map_or(0, |page| page.picture.trials.len()),
            kept: page.map_or(0, |page| page.count(|ending| ending == Ending::Keep)),
            champion,
            champion_bpb: page.and_then(|page| page.entry(champion)).and_then(|entry| entry.bpb),
            level_bpb: page.and_then(|page| page.picture.last_level()),
            began_bpb: page.and_then(|page| page.picture.start),
            micro_dollars: page.map_or(0, |page| page.picture.micro_dollars),
            running: watched.now.as_ref(),
            proposers: page.map_or(&[], |page| &page.search.accounts),
            trouble: watched.trouble(),
        }
    }
}

fn line(text: &str) -> String {
    sanitize::line(text, MOST_CHARS)
}

fn state(watched: &Watched) -> String {
    let now = watched.now.as_ref();
    let left = now.and_then(|now| Some(now.standing.as_ref()?.seconds_left? - now.age_s()));
    match (watched.state(), now) {
        (State::Silent, Some(now)) => format!("no word for {}; stopped?", duration(now.age_s())),
        (State::Running, _) => {
            left.map_or("under way".into(), |left| format!("under way, about {} left", duration(left)))
        }
        (State::Ended, _) => "ended".into(),
        (State::Stopped | State::Silent, _) => "not running now".into(),
        (State::Awaited, _) => String::new(),
    }
}

fn figures(page: &Page) -> Vec<String> {
    let picture = &page.picture;
    let bits = |level: Option<f64>| level.map_or("–".into(), |level| format!("{level:.4}"));
    let [began, last] = picture.scores;
    let [search, sealed] = picture.gains(2);
    let gain = search.map(|(_, percent)| format!(", {percent}")).unwrap_or_default();
    let sealed = sealed.map(|(_, percent)| format!(", sealed test {percent}")).unwrap_or_default();
    let champion = match &page.champion {
        Some(champion) => {
            let change =
                page.entry(champion.number).map(|entry| format!(" {}: {}", bits(entry.bpb), line(&entry.change)));
            format!("#{}{}", champion.number, change.unwrap_or_default())
        }
        None => "the baseline".into(),
    };
    let count = |ending: Ending| page.count(|of| of == ending);
    let failed = page.count(Ending::is_failure);
    let (runs, budget) = (picture.runs, duration(picture.budget_s));
    let trials = [
        format!("trials {}", picture.trials.len()),
        format!("kept {}", count(Ending::Keep)),
        format!("repeats {}", page.search.repeats),
        format!("without a score {failed}"),
    ];
    let mut cost =
        vec![format!("training runs {runs} of {budget}"), format!("time {} without pauses", duration(picture.seconds))];
    if picture.micro_dollars > 0 {
        cost.push(format!("proposals {}", dollars(picture.micro_dollars)));
    }
    vec![
        format!("{} bits per byte{gain} (began at {}){sealed}", bits(last.search), bits(began.search)),
        format!("champion {champion}"),
        trials.join(" · "),
        cost.join(" · "),
    ]
}

fn rows(page: &Page) -> Vec<Row> {
    page.trials()
        .zip(&page.picture.trials)
        .map(|(entry, dot)| Row {
            number: entry.number,
            is_kept: entry.ending == Ending::Keep,
            cells: cells(entry, dot.at_s),
        })
        .collect()
}

fn cells(entry: &Entry, at_s: f64) -> [String; 8] {
    let or_none = |figure: Option<String>| figure.unwrap_or_else(|| "–".into());
    [
        entry.number.to_string(),
        text::clock(at_s),
        or_none(entry.bpb.map(|bpb| format!("{bpb:.4}"))),
        or_none(entry.delta.map(signed)),
        or_none(entry.pairs.map(|pairs| pairs.to_string())),
        entry.ending.name().into(),
        line(&entry.proposer),
        line(&entry.change),
    ]
}

fn proposers(accounts: &[Account]) -> Vec<[String; 5]> {
    let rows = account_rows(accounts).into_iter().zip([None].into_iter().chain(accounts.iter().map(Some)));
    rows.map(|([proposer, proposed, _, _, _, kept, gain, _, _, cost], account)| {
        let stopped = account.and_then(|account| account.stopped.as_ref());
        let stopped = stopped.map(|why| format!(" ({})", line(why))).unwrap_or_default();
        [line(&proposer) + &stopped, proposed, kept, gain, cost]
    })
    .collect()
}
