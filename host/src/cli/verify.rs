//! `host verify`: proves or refutes what others signed.

use crate::cli::args::{Cli, Verify};
use crate::cli::out::println;
use crate::cli::{split, text};
use anyhow::{Context, Result, bail};
use nightlab::community::{Finding, Form, Negatives, PAGE, PrivateKey, PublicKey, Purpose, SOURCE, Signed, Submission};
use nightlab::guest::source::MAX_SOURCE_BYTES;
use nightlab::night::commons;
use nightlab::night::setup::{self, OpenError};
use nightlab::night::verify::{self, Audited, Statement, VerifyError};
use nightlab::system::sanitize::printable;
use nightlab::system::user_file;
use serde_json::json;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The exit code where nothing could be decided, so that a program tells it from what is refuted.
const UNDECIDED: u8 = 2;

pub fn verify(cli: &Cli, what: &Verify) -> Result<ExitCode> {
    let decided = match (&what.file, what.audit) {
        (Some(file), _) => prove(cli, file, what),
        (None, count) => audit(cli, count.unwrap_or(0), what.random_seed),
    };
    Ok(decided.unwrap_or_else(|error| {
        text::complain(&error, cli.json);
        if is_of_this_place(&error) { ExitCode::from(UNDECIDED) } else { ExitCode::FAILURE }
    }))
}

/// Whether an error says nothing against what is to be proved: something is missing here, or the machine failed.
fn is_of_this_place(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(
            VerifyError::Open(_)
            | VerifyError::Store(_)
            | VerifyError::Replay(_)
            | VerifyError::Compile(_)
            | VerifyError::NoComponent(_)
            | VerifyError::OtherTerms(_)
            | VerifyError::NotHere(_),
        ) => true,
        Some(_) => false,
        None => error.is::<OpenError>() || error.chain().any(|cause| cause.is::<io::Error>()),
    }
}

fn prove(cli: &Cli, file: &Path, what: &Verify) -> Result<ExitCode> {
    let mut statement = statement(file)?;
    if let Some(file) = &what.submission {
        statement.bring(&read(file)?).with_context(|| file.display().to_string())?;
    }
    let secret = what.secret.as_deref().map(split::given).transpose()?;
    let store = setup::existing_store(&cli.store)?;
    statement.look_up(&store)?;
    let (purpose, by) = (statement.purpose.name(), statement.by);
    if !cli.json {
        println!("{purpose} {} by {by}{}", statement.hash.short(), whose(&by, &cli.store));
        println!("signature   holds");
    }
    if let Some(against) = statement.contradiction(&store)? {
        if cli.json {
            text::json_line(
                &json!({ "statement": purpose, "by": by.to_string(), "identical": false, "difference": against }),
            );
        } else {
            println!("REFUTED: {}", printable(&against));
        }
        return Ok(ExitCode::FAILURE);
    }
    let Some(evidence) = &statement.evidence else {
        if cli.json {
            text::json_line(&json!({ "statement": purpose, "by": by.to_string(), "identical": null }));
        } else {
            println!("it names no experiment, so that there is nothing to run again");
        }
        return Ok(ExitCode::from(if statement.purpose == Purpose::Receipt { UNDECIDED } else { 0 }));
    };
    let untied = statement.untied();
    if !cli.json {
        println!("experiment  {}", evidence.experiment());
    }
    let mut bar = text::Bar::new(cli.json, "replaying");
    let how = (what.segment, secret, cli.power());
    let found = statement.prove(evidence, store, how, &mut |progress| bar.progress(progress))?;
    bar.finish();
    if cli.json {
        let mut line = serde_json::to_value(&found)?;
        line["statement"] = purpose.into();
        line["by"] = by.to_string().into();
        line["untied"] = untied.map(|hash| hash.to_string()).into();
        text::json_line(&line);
    } else if let Some(difference) = &found.difference {
        println!("REFUTED after {}: {}", text::duration(found.seconds), printable(difference));
    } else {
        text::replay(&found).iter().for_each(|line| println!("proved: {line}"));
        statement.unproved().iter().for_each(|what| println!("not proved: {what}"));
    }
    Ok(match untied {
        _ if !found.identical => ExitCode::FAILURE,
        _ if statement.ended_in_another_run(&found) => {
            if !cli.json {
                println!("the run is proved and has a score: that the submission failed is the word of the inbox");
            }
            ExitCode::from(UNDECIDED)
        }
        None => ExitCode::SUCCESS,
        Some(submission) => {
            if !cli.json {
                println!(
                    "the run is proved, and nothing here ties it to submission {submission}: --submission FILE does"
                );
            }
            ExitCode::from(UNDECIDED)
        }
    })
}

/// Reads what is to be proved. A finding is a folder, or the page in it; its source is beside the page. What belongs
/// in a commons has to lie in its place there.
fn statement(file: &Path) -> Result<Statement> {
    let page = if file.is_dir() { file.join(PAGE) } else { file.to_owned() };
    let bytes = read(&page)?;
    if !Signed::<Finding>::is_page(&bytes) {
        let statement = Statement::read(&bytes)?;
        if statement.purpose == Purpose::Negatives {
            let list = Signed::<Negatives>::read(&bytes)?;
            check_place(&page, &commons::list_path(&list.by, &list.text))?;
        }
        return Ok(statement);
    }
    let finding = Signed::<Finding>::read_page(&bytes).with_context(|| page.display().to_string())?;
    check_place(&page, &format!("{}/{PAGE}", finding.folder()))?;
    let beside = page.with_file_name(SOURCE);
    let source = user_file::read(&beside, MAX_SOURCE_BYTES as u64)
        .with_context(|| format!("cannot read the source of the finding, {}", beside.display()))?;
    finding.text.check_source(source.as_bytes()).with_context(|| beside.display().to_string())?;
    Ok(Statement::of_finding(&finding, Some(source)))
}

/// The bytes of a signed file; the largest one is a submission.
fn read(file: &Path) -> Result<Vec<u8>> {
    user_file::read_bytes(file, Submission::MAX_BYTES as u64).with_context(|| format!("cannot read {}", file.display()))
}

/// What a file of a commons says decides where it lies.
fn check_place(file: &Path, place: &str) -> Result<()> {
    let at = file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
    if !at.ends_with(place) {
        bail!("{} lies in another place than the one that follows from what it says, {place}", file.display());
    }
    Ok(())
}

/// Whether a key is this store's own.
fn whose(by: &PublicKey, store: &Path) -> &'static str {
    let own = PrivateKey::open(&setup::key_path(store)).is_ok_and(|key| key.public() == *by);
    if own { ", the key of this store" } else { "" }
}

fn audit(cli: &Cli, count: usize, random_seed: u64) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let (mut all, mut faults) = (0, 0);
    verify::audit(&store, (count, random_seed, cli.power()), &mut |audited: &Audited| {
        all += 1;
        faults += u64::from(audited.fault.is_some());
        match (&audited.fault, cli.json) {
            (_, true) => text::json_line(audited),
            (None, _) => println!("{}: holds", audited.what),
            (Some(fault), _) => println!("{}: REFUTED: {}", audited.what, printable(fault)),
        }
    })?;
    if !cli.json {
        println!("{all} checked, {faults} refuted");
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
