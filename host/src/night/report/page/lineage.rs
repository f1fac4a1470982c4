//! The family tree of a night: each trial under the one whose source it changes. The path to the best is the trunk.
//! Pure.

use crate::night::report::page::content::{Entry, Page};
use crate::night::report::page::element::{escaped, trial_link};
use crate::record::ending::Ending;
use crate::record::facts::signed;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Branches are nested at most this deep; deeper ones stand beside their parent.
const DEEPEST: usize = 6;

type Children<'a> = BTreeMap<u64, Vec<&'a Entry>>;

/// Of what was tried on one source, the last `most` are shown.
pub fn section(page: &Page, most: usize) -> String {
    let known: BTreeSet<u64> = page.entries.iter().map(|entry| entry.number).collect();
    let mut children = Children::new();
    for entry in page.entries.iter().filter(|entry| entry.number > 0) {
        // A parent is older. What a damaged record says is hung on the seed guest.
        let has_parent = entry.parent < entry.number && known.contains(&entry.parent);
        children.entry(if has_parent { entry.parent } else { 0 }).or_default().push(entry);
    }
    if children.is_empty() {
        return String::new();
    }
    let trunk: Vec<u64> = page.path.iter().map(|step| step.number).collect();
    let mut out = String::from("<ul class=\"tree\">\n");
    for number in [0].into_iter().chain(trunk.iter().copied()) {
        if let Some(entry) = page.entry(number) {
            node(&mut out, entry, (&children, &trunk, most), 0);
        }
    }
    out + "</ul>\n"
}

fn node(out: &mut String, entry: &Entry, tree: (&Children, &[u64], usize), depth: usize) {
    let (children, trunk, most) = tree;
    let words = if entry.number == 0 { "the seed guest" } else { entry.change.as_str() };
    let delta = entry.delta.map_or(String::new(), |delta| format!(" {}", signed(delta)));
    // Writing to a String does not fail.
    let _ = write!(
        out,
        "<li class=\"{}\">{} {}<span class=\"figures\">{delta}</span>",
        entry.ending.name(),
        trial_link(entry.number),
        escaped(words)
    );
    let own = children.get(&entry.number).map(Vec::as_slice).unwrap_or_default();
    let branches: Vec<&&Entry> = own.iter().filter(|child| !trunk.contains(&child.number)).collect();
    let earlier = branches.len().saturating_sub(most);
    let shown = &branches[earlier..];
    if !branches.is_empty() && depth < DEEPEST {
        let _ = write!(out, "\n<details><summary>{}</summary><ul>\n", summary(&branches));
        if earlier > 0 {
            let _ =
                writeln!(out, "<li>{earlier} earlier ones are in the table of <a href=\"#trials\">all trials</a></li>");
        }
        shown.iter().for_each(|child| node(out, child, tree, depth + 1));
        out.push_str("</ul></details>");
    }
    out.push_str("</li>\n");
    if depth == DEEPEST {
        shown.iter().for_each(|child| node(out, child, tree, depth));
    }
}

fn summary(branches: &[&&Entry]) -> String {
    let count = |ending: Ending| branches.iter().filter(|entry| entry.ending == ending).count();
    let kinds = Ending::ALL.into_iter().filter(|ending| count(*ending) > 0);
    let kinds: Vec<String> = kinds.map(|ending| format!("{} {}", count(ending), ending.name())).collect();
    format!("tried on it: {} ({})", branches.len(), kinds.join(", "))
}
