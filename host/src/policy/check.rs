//! Checks a policy: values out of range, and proposers that do not exist. Tells the ranges.

use crate::experiment::rules::MOST_COMPONENT_BYTES;
use crate::policy::fields::Policy;
use crate::propose::commons::Commons;
use crate::propose::evolve::proposer::Offline;
use crate::propose::inbox::Inbox;
use crate::system::environment::is_secret;
use serde_json::Value;
use std::fmt;

/// Proposers that need no table.
const ALONE: [&str; 3] = [Offline::NAME, Inbox::NAME, Commons::NAME];

/// Most rungs of a policy.
const MOST_RUNGS: usize = 8;

impl Policy {
    /// Values out of range, each with the path of its field.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        self.checked().faults
    }

    /// The ranges of all numbers, but for those of models and programs.
    pub(super) fn ranges(&self) -> Vec<Range> {
        self.checked().ranges
    }

    fn checked(&self) -> Checked {
        let mut checked = Checked::default();
        let Self { task, budget, limits, rules, search, caps, selection, community, .. } = self;
        let Self { store, notify, .. } = self;
        checked.unless(!task.corpora.is_empty(), "task.corpora", "name at least one corpus");
        checked.within("task.context", task.context, 8, 4096);
        checked.within("task.scale", task.scale, 0.125, 64.0);
        checked.within("task.eval_chunks", task.eval_chunks, 2, 1 << 20);
        checked.within("task.eval_rows", task.eval_rows, 2, 256);
        checked.unless(!task.seed_guest.is_empty(), "task.seed_guest", "must name a guest: `gpt`, or a path");
        checked.within("budget.seconds", budget.seconds, 0.01, 86_400.0);
        let hex = |hash: &String| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let pinned = budget.profile_hash.as_ref().is_none_or(hex);
        checked.unless(pinned, "budget.profile_hash", "must be 64 lower-case hexadecimal digits");
        checked.within("limits.component_bytes", limits.component_bytes, 1 << 10, 1 << 30);
        checked.within("limits.memory_bytes", limits.memory_bytes, 1 << 16, 4 << 30);
        checked.within("limits.tensor_bytes", limits.tensor_bytes, 1 << 16, 1 << 40);
        checked.within("limits.max_tensors", limits.max_tensors, 1, 1 << 32);
        checked.within("limits.max_ops", limits.max_ops, 1, 1 << 40);
        checked.within("limits.fuel_per_budget_second", limits.fuel_per_budget_second, 1, 1 << 40);
        checked.within("limits.state_bytes", limits.state_bytes, 1, 1 << 40);
        checked.within("limits.log_points", limits.log_points, 0, 1 << 32);
        checked.within("limits.forward_cost_factor", limits.forward_cost_factor, 1, 1000);
        checked.within("rules.data_bytes", rules.data_bytes, 0, 1 << 30);
        checked.within("rules.component_bytes", rules.component_bytes, 0, MOST_COMPONENT_BYTES);
        checked.within("rules.trained_share", rules.trained_share, 0.0, 1.0);
        checked.within("search.experiments", search.experiments.unwrap_or(1), 1, 1 << 32);
        checked.within("search.hours", search.hours.unwrap_or(1.0), 0.01, 24.0 * 365.0);
        checked.within("search.repairs", search.repairs, 0, 10);
        checked.within("search.digest_every", search.digest_every, 1, 1 << 32);
        checked.within("search.random_seed", search.random_seed, 0, i64::MAX as u64);
        checked.unless(!search.proposers.is_empty(), "search.proposers", "name at least one proposer");
        self.check_proposers(&mut checked);
        checked.within("caps.dollars", caps.dollars.unwrap_or(0.0), 0.0, 1e6);
        checked.within("caps.tokens", caps.tokens.unwrap_or(0), 0, 1 << 50);
        checked.within("caps.requests", caps.requests.unwrap_or(0), 0, 1 << 50);
        checked.within("selection.replicas", selection.replicas, 2, 100);
        checked.within("selection.keep_probability", selection.keep_probability, 0.5, 0.9999);
        checked.within("selection.drop_share", selection.drop_share, 0.0, 1.0);
        checked.within("selection.least_gain", selection.least_gain, 0.0, 10.0);
        checked.within("selection.least_seeds", selection.least_seeds, 1, 100);
        checked.within("selection.most_seeds", selection.most_seeds, 1, 100);
        checked.within("selection.recheck_every", selection.recheck_every, 0, 1 << 20);
        for (index, seconds) in selection.rungs.iter().enumerate() {
            let above = selection.rungs.get(index + 1).copied().unwrap_or(budget.seconds);
            let rises = *seconds >= 0.01 && *seconds < above;
            checked.unless(rises, "selection.rungs", "budgets in seconds, rising, all below budget.seconds");
        }
        checked.unless(selection.rungs.len() <= MOST_RUNGS, "selection.rungs", "at most 8 rungs");
        let can_be_kept = selection.least_seeds <= selection.most_seeds;
        checked.unless(can_be_kept, "selection.least_seeds", "more than `most_seeds`: nothing could be kept");
        checked.within("community.submissions_per_day", community.submissions_per_day, 0, 1 << 32);
        checked.within("community.bytes_per_day", community.bytes_per_day, 0, 1 << 50);
        checked.within("community.seconds_per_day", community.seconds_per_day, 0.0, 9e6);
        checked.within("community.waiting", community.waiting, 1, 1 << 32);
        checked.within("community.waiting_bytes", community.waiting_bytes, 0, 1 << 50);
        checked.within("store.keep_runs", store.keep_runs, 0, 1_000_000);
        checked.within("store.quota_gb", store.quota_gb, 0.0, 1e6);
        checked.unless(
            notify.webhook.is_none() || notify.webhook_env.is_none(),
            "notify.webhook_env",
            "not beside `webhook`",
        );
        let is_hidden = notify.webhook_env.as_ref().is_none_or(|name| is_secret(name));
        checked.unless(
            is_hidden,
            "notify.webhook_env",
            "must contain KEY, TOKEN, SECRET, PASSWORD or CREDENTIAL: such variables are hidden from programs",
        );
        let is_web = |address: &String| address.starts_with("https://") || address.starts_with("http://");
        checked.unless(
            notify.webhook.as_ref().is_none_or(is_web),
            "notify.webhook",
            "must begin with https:// or http://",
        );
        let is_named = notify.command.first().is_none_or(|program| !program.is_empty());
        checked.unless(is_named, "notify.command", "names no program");
        checked
    }

    /// Proposers that do not exist, are named twice, or are described wrongly.
    fn check_proposers(&self, checked: &mut Checked) {
        let known = |name: &str| match name.split_once('.') {
            None => ALONE.contains(&name),
            Some(("llm", model)) => self.llm.contains_key(model),
            Some(("command", program)) => self.command.contains_key(program),
            Some(_) => false,
        };
        let named = &self.search.proposers;
        if let Some(unknown) = named.iter().find(|name| !known(name)) {
            let tables = self.llm.keys().map(|name| format!("llm.{name}"));
            let tables = tables.chain(self.command.keys().map(|name| format!("command.{name}")));
            let all: Vec<String> = ALONE.map(str::to_owned).into_iter().chain(tables).collect();
            let reason = format!(
                "no proposer is called `{unknown}`: there is `{}`; a table `[llm.NAME]` or `[command.NAME]` makes one",
                all.join("`, `")
            );
            checked.unless(false, "search.proposers", &reason);
        }
        let twice = named.iter().enumerate().find(|(i, name)| named.iter().take(*i).any(|other| other == *name));
        if let Some((_, name)) = twice {
            checked.unless(false, "search.proposers", &format!("`{name}` is named twice"));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let is_name = |name: &String| (1..=32).contains(&name.len()) && name.chars().all(is_plain);
        const NAMES: &str = "a name has 1 to 32 letters, digits, `-` and `_`";
        for (name, model) in &self.llm {
            checked.unless(is_name(name), &format!("llm.{name}"), NAMES);
            for (field, reason) in model.faults() {
                checked.unless(false, &format!("llm.{name}.{field}"), &reason);
            }
        }
        for (name, program) in &self.command {
            checked.unless(is_name(name), &format!("command.{name}"), NAMES);
            if let Some((field, reason)) = program.fault() {
                checked.unless(false, &format!("command.{name}.{field}"), &reason);
            }
        }
    }
}

/// The values that a field may have, ends included.
pub(super) struct Range {
    pub field: String,
    pub low: Value,
    pub high: Value,
}

#[derive(Default)]
struct Checked {
    faults: Vec<(String, String)>,
    ranges: Vec<Range>,
}

impl Checked {
    fn unless(&mut self, holds: bool, field: &str, reason: &str) {
        if !holds {
            self.faults.push((field.to_owned(), reason.to_owned()));
        }
    }

    fn within<T: PartialOrd + fmt::Display + Into<Value>>(&mut self, field: &str, value: T, low: T, high: T) {
        let reason = format!("{value} is out of range: {low} to {high}");
        self.unless(value >= low && value <= high, field, &reason);
        self.ranges.push(Range { field: field.to_owned(), low: low.into(), high: high.into() });
    }
}
