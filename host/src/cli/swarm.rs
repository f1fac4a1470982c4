//! `host swarm` and `host work`: a night on many machines.

use crate::cli::args::Cli;
use crate::cli::args_swarm::{Coordinate, Invite, Swarm, Tell, Watch, Work};
use crate::cli::ctrl_c::stop_on_ctrl_c;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::{Context, Result};
use nightlab::experiment::bench::Bench;
use nightlab::night::setup;
use nightlab::swarm::{
    self, COORDINATOR_PASS, Contributing, Coordinator, MACHINE_PASS, Offer, Order, Pass, Role, Server, Stops, Told,
};
use nightlab::system::sanitize::{printable, shell_word};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Time between two looks at whether the user stopped the server.
const TICK: Duration = Duration::from_millis(200);

pub fn swarm(cli: &Cli, command: &Swarm) -> Result<ExitCode> {
    match command {
        Swarm::Up { listen, server, new_keys } => up(cli, *listen, server.as_deref(), *new_keys),
        Swarm::Status(watch) => status(cli, watch),
        Swarm::Invite(invite) => invite_somebody(cli, invite),
        Swarm::Drain(tell) => order(cli, tell, Order::Drain),
        Swarm::Kick(tell) => order(cli, tell, Order::Kick),
    }
}

/// The folder of a store in which a swarm's server keeps what it needs.
fn folder(cli: &Cli) -> PathBuf {
    cli.store.join("swarm")
}

fn coordinator_pass(cli: &Cli, file: Option<&Path>) -> Result<Pass> {
    let file = file.map_or_else(|| folder(cli).join(COORDINATOR_PASS), Path::to_owned);
    Ok(Pass::read(&file, &[Role::Coordinator])?)
}

/// Gives a bench the machines of the swarm that the command line names, if it names one.
pub fn join(cli: &Cli, at: &Coordinate, bench: &mut Bench) -> Result<()> {
    let Some(url) = &at.url else { return Ok(()) };
    cli.on_the_processor("a swarm")?;
    let pass = coordinator_pass(cli, at.pass.as_deref())?;
    bench.fleet = Some(Arc::new(Coordinator::start(url, pass, &bench.task, &bench.spec.profile)?));
    Ok(())
}

fn up(cli: &Cli, listen: SocketAddr, program: Option<&Path>, new_keys: bool) -> Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone()).context("cannot listen for Ctrl-C")?;
    }
    let mut server = Server::start(&folder(cli), listen, program, new_keys)?;
    let (url, for_others) = (server.url(), server.url_for_others());
    let pass = server.folder().join(MACHINE_PASS);
    if cli.json {
        text::json_line(&json!({ "url": url, "url_for_others": for_others, "pass": pass }));
    } else {
        let program = text::host(&cli.store);
        println!("the server is ready at {url}");
        println!();
        println!("on this machine:   {program} run --swarm {url}");
        println!("on other machines: copy {} there, which lets them in, and then", file(&pass));
        println!("                   host work {for_others} --pass {MACHINE_PASS} --jobs N");
        eprintln!("\nCtrl-C ends the server; what it holds is there when it is started again");
    }
    while !stop.load(Ordering::Relaxed) {
        server.check()?;
        thread::sleep(TICK);
    }
    server.end()?;
    Ok(ExitCode::SUCCESS)
}

fn file(path: &Path) -> String {
    printable(&shell_word(&path.to_string_lossy()))
}

fn status(cli: &Cli, watch: &Watch) -> Result<ExitCode> {
    let status = swarm::status(&watch.url, coordinator_pass(cli, watch.pass.as_deref())?)?;
    if cli.json {
        text::json_line(&status);
        return Ok(ExitCode::SUCCESS);
    }
    let coordinator = status.coordinator.map_or_else(|| "nobody".into(), |holder| printable(&holder));
    println!("coordinator  {coordinator}");
    println!("runs         {} wait, {} under way", status.waiting, status.under_way);
    if status.receipts > 0 {
        println!("receipts     {} that no night has stored yet", status.receipts);
    }
    if status.machines.is_empty() {
        println!("machines     none: `host work` on a machine offers its cores");
    }
    status.machines.iter().for_each(|machine| print_machine("machine    ", machine));
    for contributor in status.contributors {
        let Contributing { name, runs, agreed, share, is_out, machines } = contributor;
        let again = format!("{agreed} runs made again agreed, {:.0} % are made again", share * 100.0);
        match is_out {
            Some(why) => println!("contributor  {name}  out: {}", printable(&why)),
            None => println!("contributor  {name}  at most {runs} at a time; {again}"),
        }
        machines.iter().for_each(|machine| print_machine("  machine  ", machine));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_machine(what: &str, machine: &Offer) {
    let drains = if machine.is_draining { ", takes no more" } else { "" };
    let (version, class) = (printable(&machine.version), printable(&machine.numerics));
    println!("{what}  {}  {} of {} busy{drains}  host {version}, {class}", machine.machine, machine.busy, machine.jobs);
}

fn invite_somebody(cli: &Cli, invite: &Invite) -> Result<ExitCode> {
    let Invite { name, quota, out, at: Watch { url, pass } } = invite;
    let path = out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.pass")));
    swarm::invite(url, coordinator_pass(cli, pass.as_deref())?, name, *quota, &path)?;
    if cli.json {
        text::json_line(&json!({ "contributor": name, "pass": path }));
    } else {
        println!("{} lets {name} in: send it there where nobody else reads it, and then", file(&path));
        println!("    host work nats://SERVER:4222 --pass {} --jobs N", file(&path));
    }
    Ok(ExitCode::SUCCESS)
}

fn order(cli: &Cli, tell: &Tell, order: Order) -> Result<ExitCode> {
    let Watch { url, pass } = &tell.at;
    let machine = swarm::order(url, coordinator_pass(cli, pass.as_deref())?, &tell.machine, order)?;
    if cli.json {
        text::json_line(&json!({ "machine": machine }));
    } else {
        println!("{machine}: {}", order.words());
    }
    Ok(ExitCode::SUCCESS)
}

pub fn work(cli: &Cli, what: &Work) -> Result<ExitCode> {
    cli.on_the_processor("a swarm")?;
    let stop = stop_on_ctrl_c()?;
    let work = swarm::Work {
        url: what.url.clone(),
        pass: Pass::read(&what.pass, &[Role::Machine, Role::Contributor])?,
        jobs: cli.jobs,
        threads: cli.threads.unwrap_or_else(setup::all_cores),
    };
    let mut tell = |told: Told| {
        if cli.json {
            text::json_line(&told);
            return;
        }
        match told {
            Told::Ready { machine } => println!("{machine} offers {}; Ctrl-C ends it", runs(cli.jobs.get())),
            Told::Begun { experiment } => println!("{}  begun", experiment.short()),
            Told::Ended { experiment, status } => println!("{}  {status}", experiment.short()),
            Told::TakenBack { experiment } => println!("{}  not needed any more", experiment.short()),
            Told::Note { text } => eprintln!("{}", printable(&text)),
        }
    };
    swarm::work(work, &Stops { soon: &|| stop.soon(), now: &|| stop.now() }, &mut tell)?;
    Ok(ExitCode::SUCCESS)
}

fn runs(jobs: usize) -> String {
    if jobs == 1 { "1 run at a time".into() } else { format!("{jobs} runs at a time") }
}
