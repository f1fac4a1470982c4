//! `host run --dry`: what a night will do, take and cost on this machine, before it begins.

use crate::cli::args::{self, Cli};
use crate::cli::night_view::NightView;
use crate::cli::out::println;
use crate::cli::text;
use anyhow::Result;
use nightlab::night::Bounds;
use nightlab::night::event::Event;
use nightlab::night::outlook::{Outlook, Pace, outlook};
use nightlab::policy::Policy;
use nightlab::system::sanitize::{self, printable};
use serde_json::json;
use std::process::ExitCode;

pub fn dry(cli: &Cli, run: &args::Run, policy: &Policy, name: &str) -> Result<ExitCode> {
    let mut view = NightView::new(false, name, &cli.store);
    let mut tell = |event: Event| view.show_beside_results(&event, cli.json);
    let typed = Bounds { experiments: run.experiments, hours: run.hours };
    let found = outlook(policy, &cli.store, cli.power(), typed, &mut tell)?;
    if cli.json {
        text::json_line(&json!({ "policy": name, "outlook": found }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("proposers        {}", printable(&found.proposers.join(", ")));
    found.left_out.iter().for_each(|unfit| println!("left out         {}", printable(unfit)));
    lines(&found).iter().for_each(|line| println!("{line}"));
    println!("\nnothing was trained; `{}` begins", printable(&without_dry(std::env::args())));
    Ok(ExitCode::SUCCESS)
}

/// The same command without `--dry`, to be pasted into a shell.
fn without_dry(args: impl Iterator<Item = String>) -> String {
    let args = args.skip(1).filter(|arg| arg != "--dry").map(|arg| sanitize::shell_word(&arg));
    std::iter::once("host".to_owned()).chain(args).collect::<Vec<_>>().join(" ")
}

fn lines(found: &Outlook) -> Vec<String> {
    let mut lines = Vec::new();
    let earlier = found.earlier_trials;
    match found.goes_on {
        Some((night, trained, hours)) => lines.push(format!(
            "goes on          night {night}, which has trained {trained} mutations in {}",
            text::duration(hours * 3600.0)
        )),
        None if earlier > 0 => {
            lines.push(format!("begins           with what {earlier} earlier trials on these terms taught"))
        }
        None => lines.push("begins           with a baseline: no trial on these terms is in the store".into()),
    }
    let pace = match found.pace {
        Pace::Runs { runs } => format!("the median of the last {runs} here"),
        Pace::Calibration { speed } => {
            format!("no run was timed here yet; single operations run at {speed:.2} of the profile's speed")
        }
    };
    lines.push(format!(
        "a run            about {}: {pace}; {:.0} runs per hour",
        text::duration(found.seconds_per_run),
        found.runs_per_hour
    ));
    let hours = |hours: f64| text::duration(hours * 3600.0);
    lines.push(match (found.runs, found.mutations, found.hours) {
        (Some(runs), Some(mutations), Some(time)) => {
            format!("the night        about {mutations:.0} mutations in {runs:.0} runs, {}", hours(time))
        }
        _ => "the night        has no end but Ctrl-C: the policy sets neither `search.hours` nor `search.experiments`"
            .into(),
    });
    let weights = text::bytes(found.weight_bytes);
    let records = found.record_bytes.map_or("2.4 MB a mutation".into(), |bytes| text::bytes(bytes as u64));
    let free = found.free_bytes.map_or(String::new(), |free| format!("; {} are free", text::bytes(free)));
    lines.push(format!(
        "disk             at most {weights} of weights (`[store]`), about {records} of components and records{free}"
    ));
    lines.push(match found.dollars {
        Some(0.0) => "cost             none: no proposer that works here has a price".into(),
        Some(dollars) => format!("cost             at most ${dollars:.2} (`caps.dollars`)"),
        None => {
            "cost             no bound: a proposer may cost something, and the policy sets no `caps.dollars`".into()
        }
    });
    lines
}
