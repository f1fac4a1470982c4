//! The commands that run experiments, and the dispatch of all commands.

use crate::cli::args::{self, Cli, Command};
use crate::cli::args_house::{Policy, StoreCommand};
use crate::cli::args_swarm::Coordinate;
use crate::cli::ctrl_c::stop_on_ctrl_c;
use crate::cli::mutation;
use crate::cli::night_view::NightView;
use crate::cli::out::{eprintln, println};
use crate::cli::{
    commons, community, dash, data, diff, doctor, export, ideas, lab, manual, out, outlook, promote, report, score,
    search, show, split, store, swarm, text, top, verify,
};
use anyhow::{Context, Result, bail};
use clap::Parser;
use nightlab::experiment::{replay, sample};
use nightlab::night::event::Event;
use nightlab::night::notify::{Message, Notifier};
use nightlab::night::recorded::Recorded;
use nightlab::night::{Bounds, Night, Outsider, Plan, Stop, sent, setup};
use nightlab::policy;
use nightlab::propose::inbox::Inbox;
use nightlab::propose::proposer::Proposer;
use nightlab::record::ending::Ending;
use nightlab::record::store::{Found, Model, Store, StoreError};
use nightlab::record::trial::Findings;
use nightlab::sandbox::Progress;
use nightlab::system::sanitize::printable;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Parses the command line, runs the command, and turns errors into exit codes: 0 ok, 1 failed, 2 usage.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return say(&said),
    };
    let json = cli.json;
    match dispatch(cli).and_then(|code| everything_printed().map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
            text::complain(&error, json);
            ExitCode::FAILURE
        }
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn say(said: &clap::Error) -> ExitCode {
    match said.print().and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2)),
    }
}

fn everything_printed() -> Result<()> {
    match out::failure() {
        Some(error) => bail!("cannot write to standard output: {error}"),
        None => Ok(()),
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    nightlab::sandbox::instructions::chosen()?;
    match &cli.command {
        Command::Run(run) => run_night(&cli, run),
        Command::Try { file, policy, screen } => try_file(&cli, file, policy.as_deref(), *screen),
        Command::Score(what) => score::score(&cli, what),
        Command::Mcp { policy } => lab::mcp(&cli, policy.as_deref()),
        Command::Init { dir } => lab::init(&cli, dir),
        Command::Log { last, all } => show::log(&cli, *last, *all),
        Command::Ideas => ideas::ideas(&cli),
        Command::Diff(what) => diff::diff(&cli, what),
        Command::Promote(what) => promote::run(&cli, what),
        Command::Show { hash } => show::show(&cli, hash),
        Command::Report(what) => report::report(&cli, what),
        Command::Dash(what) => dash::dash(&cli, what),
        Command::Top(what) => top::top(&cli, what),
        Command::Export(what) => export::export(&cli, what),
        Command::Replay { hash, interval, secret } => replay_experiment(&cli, hash, *interval, secret.as_deref()),
        Command::Keygen { file } => community::keygen(&cli, file.as_deref()),
        Command::Submit(what) => community::submit(&cli, what),
        Command::Claim { hash, output, key } => community::claim(&cli, hash, output.as_deref(), key),
        Command::Verify(what) => verify::verify(&cli, what),
        Command::Inbox { command: args::Inbox::Add { files, policy } } => community::add(&cli, files, policy),
        Command::Inbox { command: args::Inbox::List } => community::list(&cli),
        Command::Inbox { command: args::Inbox::Run { policy } } => run_inbox(&cli, policy),
        Command::Commons { command: args::Commons::Publish(what) } => commons::publish(&cli, what),
        Command::Commons { command: args::Commons::Follow(what) } => commons::follow(&cli, what),
        Command::Commons { command: args::Commons::List } => commons::list(&cli),
        Command::Commons { command: args::Commons::Trust { lab } } => commons::trust(&cli, lab),
        Command::Swarm { command } => swarm::swarm(&cli, command),
        Command::Work(what) => swarm::work(&cli, what),
        Command::Sample(what) => sample_text(&cli, what),
        Command::Setup => doctor::setup(&cli),
        Command::Doctor => doctor::doctor(&cli),
        Command::Data { command } => data::data(&cli, command),
        Command::Policy { command: Policy::Check { policy } } => show::check_policy(&cli, policy),
        Command::Policy { command: Policy::Schema } => show::schema(),
        Command::Calibrate { profile } => doctor::calibrate(&cli, profile),
        Command::Reference => show::reference(&cli),
        Command::Search(what) => search::search(&cli, what),
        Command::Completions { shell } => manual::completions(&cli, *shell),
        Command::Man { dir } => manual::man(&cli, dir.as_deref()),
        Command::Split { command } => split::split(&cli, command),
        Command::Store { command: StoreCommand::Gc { dry_run } } => store::gc(&cli, *dry_run),
        Command::Store { command: StoreCommand::Check { mend } } => store::check(&cli, *mend),
    }
}

/// Opens the store. While another program locks its index, it waits until the user presses Ctrl-C, and says so.
fn patient_store(cli: &Cli, stop: &Arc<Stop>) -> Result<Store> {
    const LONG_WAIT: Duration = Duration::from_secs(2);
    const AGAIN: Duration = Duration::from_secs(60);
    let (stop, json, mut told) = (stop.clone(), cli.json, None::<Instant>);
    let waiting = Box::new(move |waited: Duration, locked: &StoreError| {
        if waited >= LONG_WAIT && told.is_none_or(|told| told.elapsed() >= AGAIN) {
            let text = format!("waiting: {locked}");
            if json {
                text::json_line(&Event::Note { text })
            } else {
                eprintln!("{}", printable(&text))
            }
            told = Some(Instant::now());
        }
        if stop.soon() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    Ok(Store::open_patiently(&cli.store, waiting)?)
}

/// Says why nothing was started.
pub fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

fn run_night(cli: &Cli, run: &args::Run) -> Result<ExitCode> {
    if run.hours.is_some_and(|hours| !(hours > 0.0 && hours <= 10_000.0)) {
        bail!("--hours must be above 0 and at most 10000");
    }
    let policy_name = run.policy.as_deref().unwrap_or(setup::default_policy());
    let policy = policy::Policy::load(policy_name)?;
    if run.dry {
        return outlook::dry(cli, run, &policy, policy_name);
    }
    night_by(cli, run, policy_name, &policy)
}

fn run_inbox(cli: &Cli, policy_name: &str) -> Result<ExitCode> {
    let mut policy = policy::Policy::load(policy_name)?;
    policy.search.proposers = vec![Inbox::NAME.into()];
    let run = args::Run {
        policy: Some(policy_name.to_owned()),
        experiments: None,
        hours: None,
        dry: false,
        patience: args::PATIENCE,
        from_recorded: None,
        swarm: Coordinate::default(),
    };
    night_by(cli, &run, policy_name, &policy)
}

fn night_by(cli: &Cli, run: &args::Run, policy_name: &str, policy: &policy::Policy) -> Result<ExitCode> {
    // Report a missing key now, not after the minutes that a baseline takes.
    let clerk = match run.from_recorded {
        Some(_) => None,
        None => setup::clerk(policy, &cli.store)?,
    };
    let stop = stop_on_ctrl_c()?;
    let store = patient_store(cli, &stop)?;
    let proposers = match run.from_recorded {
        Some(_) => setup::Proposers::default(),
        None => setup::proposers(policy, &store)?,
    };
    let recorded = run.from_recorded.map(|night| Recorded::open(&store, night)).transpose()?;
    let mut view = NightView::new(cli.json, policy_name, &cli.store);
    let notifier = Notifier::start(&policy.notify);
    let mut tell = |event: Event| {
        notifier.hear(&event);
        view.show(&event);
        notifier.failures().for_each(|text| view.show(&Event::Note { text }));
    };
    proposers.unfit.iter().for_each(|unfit| tell(Event::Note { text: unfit.to_string() }));
    let brief = setup::brief()?;
    let (mut bench, seed_guest) = setup::bench(store, policy, cli.power(), &mut tell)?;
    swarm::join(cli, &run.swarm, &mut bench)?;
    if let Some(recorded) = &recorded {
        let text = format!("night {} again, {} proposals", recorded.again().night, recorded.len());
        tell(Event::Setup { what: "proposals", text });
    }
    let plan = Plan {
        policy,
        policy_name,
        brief: &brief,
        seed_guest,
        bounds: Bounds { experiments: run.experiments, hours: run.hours },
        patience: run.patience,
        recorded: recorded.as_ref().map(Recorded::again),
        clerk,
        night: None,
    };
    let writers = match recorded {
        Some(recorded) => vec![Box::new(recorded) as Box<dyn Proposer>],
        None => proposers.fit,
    };
    let ended = Night::begin(&bench, plan, &stop, &mut tell).and_then(|night| {
        proposers.unfit.iter().try_for_each(|unfit| night.leave_out(&unfit.name, &unfit.reason))?;
        night.run(writers)
    });
    if let Err(error) = &ended {
        notifier.tell(Message::fault(&format!("the night ended: {error}")));
    }
    notifier.finish().into_iter().for_each(|text| view.show(&Event::Note { text }));
    ended?;
    Ok(ExitCode::SUCCESS)
}

fn try_file(cli: &Cli, file: &std::path::Path, policy: Option<&str>, screen: bool) -> Result<ExitCode> {
    let content = mutation::read(file)?;
    let stop = stop_on_ctrl_c()?;
    let store = patient_store(cli, &stop)?;
    let source = sent::keep(&content, &store)?;
    let name = match policy {
        Some(name) => name.to_string(),
        None => {
            store.nights()?.last().map_or_else(|| setup::default_policy().into(), |night| night.policy_name.clone())
        }
    };
    let policy = policy::Policy::load(&name)?;
    let mut view = NightView::new(cli.json, &name, &cli.store);
    let mut tell = |event: Event| view.show(&event);
    let brief = setup::brief()?;
    let (bench, seed_guest) = setup::bench(store, &policy, cli.power(), &mut tell)?;
    let seed_text = seed_guest.text.clone();
    let plan = Plan::for_one(&policy, &name, &brief, seed_guest);
    let mut night = Night::begin(&bench, plan, &stop, &mut tell)?;
    let file = file.file_name().map_or_else(|| "train.rs".into(), |n| n.to_string_lossy().into_owned());
    let champion = night.situation().parent.clone();
    if nightlab::propose::description::is_nearer(&source, &seed_text, &champion.source) {
        eprintln!(
            "note: {} looks like a change of the seed guest; it competes with the champion, trial #{}, and takes back what that \
             gained. Start from {}",
            printable(&file),
            champion.number,
            cli.store.join("champion/train.rs").display()
        );
    }
    let outsider = Outsider { author: "inbox", operator: "file", source, hypothesis: String::new() };
    let tried = if screen { night.screen_text(outsider)? } else { night.try_text(outsider)? };
    let Some(line) = tried else {
        bail!("stopped; nothing was decided, what was finished is kept");
    };
    let Findings { verdict, reason, .. } = &line.trial.found;
    let what = match verdict {
        Ending::Keep | Ending::Discard | Ending::Noise | Ending::Screened | Ending::Same => {
            return Ok(ExitCode::SUCCESS);
        }
        Ending::Failed => "failed",
        Ending::Refused | Ending::HostFault => "was not tried to its end",
    };
    if !cli.json {
        eprintln!("\nerror: {} {what}\n  {}", printable(&file), printable(reason).replace('\n', "\n  "));
    }
    Ok(ExitCode::FAILURE)
}

fn replay_experiment(cli: &Cli, hash: &str, interval: Option<u32>, secret: Option<&str>) -> Result<ExitCode> {
    let secret = secret.map(split::given).transpose()?;
    let store = setup::existing_store(&cli.store)?;
    let key = match store.resolve(hash)? {
        Found::Experiment(key) => key,
        _ => bail!("{hash} is not an experiment; `host log` lists experiments"),
    };
    let record = store.find_experiment(&key)?.context("the experiment is gone from the index")?;
    let (bench, component) = setup::for_record(store, &record, secret, cli.power())?;
    if !cli.json {
        let m = &record.manifest;
        println!(
            "experiment {}  guest {}  random seed {}  class {}",
            key.short(),
            m.component.short(),
            m.random_seed,
            m.numerics
        );
    }
    let mut bar = text::Bar::new(cli.json, "replaying");
    let mut watch = |progress: &Progress| bar.progress(progress);
    let found = match interval {
        None => replay::replay(&bench, &record, &component, &mut watch)?,
        Some(k) => replay::replay_interval(&bench, &record, &component, k, &mut watch)?,
    };
    bar.finish();
    if cli.json {
        text::json_line(&found);
    } else {
        text::replay(&found).iter().for_each(|line| println!("{line}"));
    }
    Ok(if found.identical { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sample_text(cli: &Cli, what: &args::Sample) -> Result<ExitCode> {
    let args::Sample { prompt, length, temperature, random_seed, experiment } = what;
    let store = setup::existing_store(&cli.store)?;
    let record = setup::experiment_or_champion(&store, experiment.as_deref())?;
    let (bench, component) = setup::for_record(store, &record, None, cli.power())?;
    let style = sample::Style { length: *length, temperature: *temperature, random_seed: *random_seed };
    if let Model::LetGo(_) = bench.store.model(&record)? {
        eprintln!("{}", text::let_go(&record));
    }
    let mut bar = text::Bar::new(cli.json, "training again");
    let written = sample::sample(&bench, &record, &component, (prompt.as_bytes(), &style), &mut |progress| {
        bar.progress(progress)
    })?;
    bar.finish();
    if cli.json {
        text::json_line(&serde_json::json!({
            "experiment": record.key.to_string(), "prompt": prompt, "text": written,
        }));
    } else {
        println!("{prompt}{}", printable(&written));
    }
    Ok(ExitCode::SUCCESS)
}
