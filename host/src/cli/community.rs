//! `host keygen`, `submit`, `claim` and `inbox`: what strangers send, and what is sent to them.

use crate::cli::args::{Cli, KeyFile, Submit};
use crate::cli::mutation;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::{Context, Result, bail};
use nightlab::community::{Claim, Content, Form, PrivateKey, Receipt, Signed, Submission};
use nightlab::guest::component::{Card, Component};
use nightlab::guest::source::Source;
use nightlab::night::{past, sent, setup};
use nightlab::policy::Policy;
use nightlab::record::key::{Hash, TaskHash};
use nightlab::record::quotas::Quotas;
use nightlab::record::store::{Arrival, ExperimentRecord, Found, NewSubmission, Quota, Store, SubmissionRecord};
use nightlab::system::clock::unix_ms;
use nightlab::system::sanitize::{self, printable};
use nightlab::system::user_file;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub fn keygen(cli: &Cli, file: Option<&Path>) -> Result<ExitCode> {
    let path = file.map_or_else(|| setup::key_path(&cli.store), Path::to_owned);
    let public = PrivateKey::create(&path)?;
    if cli.json {
        text::json_line(&json!({ "key": public.to_string(), "file": path }));
    } else {
        println!("{public}");
        println!("the private half is in {}: keep it, and show it to nobody", printable(&path.to_string_lossy()));
    }
    Ok(ExitCode::SUCCESS)
}

pub fn key(cli: &Cli, key: &KeyFile) -> Result<PrivateKey> {
    let path = key.key.clone().unwrap_or_else(|| setup::key_path(&cli.store));
    Ok(PrivateKey::open(&path)?)
}

pub fn submit(cli: &Cli, what: &Submit) -> Result<ExitCode> {
    let Submit { file, name, licence, parent, task, claim, output, key: key_file } = what;
    let content = mutation::read(file)?;
    // What is no source would be refused there.
    sent::check(&content)?;
    let source_key = match &content {
        Content::Source(text) => Source::parse(text)?.key(),
        Content::Component(bytes) => {
            Component::from_bytes(bytes)?;
            Card::of(bytes).key()
        }
    };
    let key = key(cli, key_file)?;
    let claim = claim.as_deref().map(|hash| claimed(&cli.store, hash)).transpose()?;
    if let Some((_, component)) = &claim
        && component.source_key != source_key
    {
        bail!(
            "the claim is about another mutation than {}: its experiment ran {}",
            file.display(),
            component.source_key.short()
        );
    }
    let claim = claim.map(|(claim, _)| claim);
    let task = task_of(&cli.store, task.as_deref(), claim.as_ref())?;
    let mut submission = Submission::new(task, name.parse().context("--name")?, content);
    submission.licence = licence.as_deref().map(str::parse).transpose().context("--licence")?;
    submission.parent = parent.as_deref().map(parent_hash).transpose()?;
    if let Some(claim) = claim {
        submission = submission.with_claim(Signed::sign(claim, &key));
    }
    let bytes = Signed::sign(submission, &key).to_bytes();
    let path = output.clone().unwrap_or_else(|| file_named(name, "submission"));
    write(cli, &path, &bytes, &key)
}

/// Writes a signed text and says what it is.
fn write(cli: &Cli, path: &Path, bytes: &[u8], key: &PrivateKey) -> Result<ExitCode> {
    let at = || format!("cannot write {}", path.display());
    user_file::write(path, bytes).with_context(at)?;
    let (hash, by) = (Hash::of(bytes), key.public());
    if cli.json {
        text::json_line(&json!({ "file": path, "hash": hash, "by": by.to_string() }));
    } else {
        println!("{}  {hash}", printable(&path.to_string_lossy()));
        println!("signed by {by}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A file name made of letters and digits of a name.
fn file_named(name: &str, end: &str) -> PathBuf {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_matches('-');
    PathBuf::from(format!("{}.{end}", if plain.is_empty() { "mutation" } else { plain }))
}

/// A hash, or that of a file.
fn parent_hash(text: &str) -> Result<Hash> {
    if let Ok(hash) = text.parse() {
        return Ok(hash);
    }
    let read = mutation::read(Path::new(text));
    let content =
        read.with_context(|| format!("--parent: {text} is neither 64 hexadecimal digits nor a readable file"))?;
    Ok(Hash::of(sent::text(&content).as_bytes()))
}

fn task_of(store: &Path, given: Option<&str>, claim: Option<&Claim>) -> Result<TaskHash> {
    match (given, claim) {
        (Some(given), Some(claim)) if given != claim.evidence.manifest.task.to_string() => {
            bail!("--task: the claim is about the task {}", claim.evidence.manifest.task)
        }
        (Some(given), _) => given.parse().context("--task"),
        (None, Some(claim)) => Ok(claim.evidence.manifest.task),
        (None, None) => {
            let none = "the task of the inbox is needed: its owner sees it in `host inbox list`, and `--task` takes it";
            let store = setup::existing_store(store).context(none)?;
            past::inbox_task(&store)?.context(none)
        }
    }
}

fn experiment(store: &Store, hash: &str) -> Result<ExperimentRecord> {
    match store.resolve(hash)? {
        Found::Experiment(key) => store.find_experiment(&key)?.context("the experiment is gone from the index"),
        _ => bail!("{hash} is not an experiment; `host log` lists experiments"),
    }
}

/// The claim about an experiment of the store, and the component that it ran.
fn claimed(store: &Path, hash: &str) -> Result<(Claim, nightlab::record::store::ComponentRecord)> {
    let store = setup::existing_store(store)?;
    let record = experiment(&store, hash)?;
    let bpb = record.val_bpb.with_context(|| format!("experiment {} has no score to claim", record.key.short()))?;
    let component = store.component(&record.manifest.component)?.context("its component is not in the index")?;
    Ok((Claim { evidence: store.evidence(&record)?, bpb }, component))
}

pub fn claim(cli: &Cli, hash: &str, output: Option<&Path>, key_file: &KeyFile) -> Result<ExitCode> {
    let key = key(cli, key_file)?;
    let (claim, _) = claimed(&cli.store, hash)?;
    let default = || file_named(&claim.evidence.experiment().short(), "claim");
    let path = output.map_or_else(default, Path::to_owned);
    write(cli, &path, &Signed::sign(claim, &key).to_bytes(), &key)
}

pub fn add(cli: &Cli, files: &[PathBuf], policy: &str) -> Result<ExitCode> {
    let quotas = Policy::load(policy)?.community;
    let store = Store::open(&cli.store)?;
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let shown = printable(&file.to_string_lossy());
        match take_in(&store, file, &quotas) {
            Ok((hash, arrival)) => {
                let words = match arrival {
                    Arrival::Added => "taken in",
                    Arrival::Known => "is here already, and is answered once",
                    Arrival::Over(_) => "not taken in",
                };
                if cli.json {
                    let arrival = if arrival == Arrival::Added { "added" } else { "known" };
                    text::json_line(&json!({ "file": file, "submission": hash, "arrival": arrival }));
                } else {
                    println!("{hash}  {words}: {shown}");
                }
            }
            Err(error) => {
                let error = printable(&text::error(&error));
                if cli.json {
                    text::json_line(&json!({ "file": file, "error": error }));
                } else {
                    eprintln!("error: {shown} is not taken in: {error}");
                }
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn take_in(store: &Store, file: &Path, quotas: &Quotas) -> Result<(Hash, Arrival)> {
    let bytes = match file.to_str() {
        Some("-") => {
            let mut bytes = Vec::new();
            // One more than the limit, so that what is too long is seen to be.
            std::io::stdin().take(Submission::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            bytes
        }
        _ => user_file::read_bytes(file, Submission::MAX_BYTES as u64)?,
    };
    let Signed { text, by, .. } = Signed::<Submission>::read(&bytes)?;
    sent::check(&text.content)?;
    let (author, name) = (by.to_string(), text.name.to_string());
    let licence = text.licence.as_ref().map(ToString::to_string);
    let new = NewSubmission {
        file: &bytes,
        source: &sent::text(&text.content),
        component: sent::component_in(&bytes, &text),
        author: &author,
        task: text.task,
        name: &name,
        licence: licence.as_deref(),
        parent: text.parent,
    };
    match store.add_submission(&new, quotas, unix_ms())? {
        Arrival::Over(Quota::Submissions) => {
            bail!(
                "the key {} has sent {} submissions today, which is its quota (`submissions_per_day`); send it again tomorrow \
                 (UTC)",
                by.short(),
                quotas.submissions_per_day
            )
        }
        Arrival::Over(Quota::Bytes) => {
            bail!(
                "the key {} would have sent more than {} bytes today, its quota (`bytes_per_day`); send it again tomorrow \
                 (UTC)",
                by.short(),
                quotas.bytes_per_day
            )
        }
        Arrival::Over(Quota::Waiting) => {
            bail!(
                "{} submissions wait already (`waiting`); send it again when some were answered, which `host inbox run` does",
                quotas.waiting
            )
        }
        Arrival::Over(Quota::WaitingBytes) => {
            bail!(
                "with it, more than {} bytes would wait (`waiting_bytes`); send it again when some were answered, which \
                 `host inbox run` does, or raise the quota in the policy's table `[community]`",
                quotas.waiting_bytes
            )
        }
        arrival => Ok((Hash::of(&bytes), arrival)),
    }
}

pub fn list(cli: &Cli) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let task = past::inbox_task(&store)?;
    let submissions = store.submissions()?;
    for record in &submissions {
        let (state, receipt) = state(&store, record)?;
        let SubmissionRecord { hash, author, name, licence, parent, .. } = record;
        if cli.json {
            text::json_line(&json!({
                "submission": hash, "author": author, "name": name, "licence": licence, "parent": parent,
                "task": record.task, "arrived_unix_ms": record.arrived_unix_ms, "state": state, "receipt": receipt,
            }));
        } else {
            let author = sanitize::cut(&printable(author), 12, "");
            println!("{}  {author}  {state:<10}  {}", hash.short(), sanitize::line(name, 80));
        }
    }
    if !cli.json {
        if submissions.is_empty() {
            println!("nothing came yet; `host inbox add FILE` takes a submission in");
        }
        match task {
            Some(task) => println!("submissions have to be for the task {task}"),
            None => println!("the first `host inbox run` decides the task that submissions have to be for"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of a submission, and its receipt.
fn state(store: &Store, record: &SubmissionRecord) -> Result<(String, Option<Hash>)> {
    Ok(match record.receipt {
        Some(blob) => {
            let receipt: Signed<Receipt> = Signed::read(&store.get_blob(&blob)?)?;
            (receipt.text.status.name().to_owned(), Some(blob))
        }
        None if store.is_underway(&record.hash)? => ("underway".into(), None),
        None => ("waiting".into(), None),
    })
}
