//! Programs as proposers, most of them bad: they hang, crash, flood, fork, detach, or leave no valid source. Each one
//! is a few lines of shell.

use crate::common::HOST;
use crate::common::home::{Home, lines, said};
use nightlab::propose::command::{Answer, Command, CommandError, Config, Program, Work};
use nightlab::propose::proposer::{Desk, Failed, Ledger, Parent, ProposeError, Proposer, Reservation, Situation};
use nightlab::record::ending::Ending;
use nightlab::record::facts::Facts;
use nightlab::record::key::{ContextKey, TaskHash};
use nightlab::record::spend::{Exchange, Spend};
use nightlab::record::stage::Stage;
use nightlab::record::trial::{Findings, Trial};
use nightlab::system::untrusted_folder::UntrustedFileError;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const PARENT: &str = "const LR: f32 = 0.1;\nfn train() {}\n";

fn tried() -> Trial {
    let reason = "not proven".into();
    let found = Findings { bpb: Some(2.5), delta: Some(0.001), reason, ..Findings::new(Ending::Noise) };
    Trial {
        number: 7,
        parent: 3,
        hypothesis: "faster".into(),
        description: "LR 0.1 → 0.2".into(),
        proposer: "evolve".into(),
        ..Trial::baseline("", found)
    }
}

/// A shell script, its arguments, and how it is run.
struct Script<'a> {
    text: &'a str,
    arguments: Vec<String>,
    config: Config,
}

impl<'a> Script<'a> {
    fn new(text: &'a str) -> Self {
        let config = Config { argv: Vec::new(), timeout_s: 20, output_bytes: 4096, env: Vec::new() };
        Self { text, arguments: Vec::new(), config }
    }

    fn argument(mut self, path: &Path) -> Self {
        self.arguments.push(path.to_str().unwrap().into());
        self
    }

    fn timeout(mut self, seconds: u32) -> Self {
        self.config.timeout_s = seconds;
        self
    }

    fn ask(self) -> Result<Answer, CommandError> {
        self.ask_until(&|| false)
    }

    fn ask_until(mut self, stopped: &dyn Fn() -> bool) -> Result<Answer, CommandError> {
        let shell = ["sh", "-c", self.text, "sh"].map(str::to_owned);
        self.config.argv = shell.into_iter().chain(self.arguments).collect();
        ask(self.config, None, stopped)
    }
}

fn ask(config: Config, error: Option<&str>, stopped: &dyn Fn() -> bool) -> Result<Answer, CommandError> {
    let history = &[&tried()];
    let work = Work {
        source: PARENT,
        brief: "the brief",
        reference: "the sdk",
        facts: "the facts",
        ideas: "the ideas",
        history,
        error,
    };
    Command::new(config, Some(HOST.into())).ask(&work, stopped)
}

/// Whether every process whose id is in the file has ended.
fn all_gone(pids: &Path) -> bool {
    let text = std::fs::read_to_string(pids).unwrap();
    assert!(!text.trim().is_empty(), "the script recorded no process");
    text.split_whitespace().all(|pid| !Path::new("/proc").join(pid).exists())
}

#[test]
fn a_good_program_changes_the_source_and_says_why() {
    let script = "grep -q brief program.md && grep -q sdk sdk.md && grep -q facts facts.md && grep -q '| 7 | 3 | 2.5000 |' history.md &&
        grep -q '\"number\":7' history.jsonl && grep -q hypothesis AGENTS.md && test ! -e error.txt || exit 9
        sed -i 's/0.1/0.2/' train.rs; echo 'a larger rate learns faster' > hypothesis.txt; echo thinking; echo hm >&2";
    let answer = Script::new(script).ask().unwrap();
    assert_eq!(answer.source, PARENT.replace("0.1", "0.2"));
    assert_eq!(answer.hypothesis.as_deref(), Some("a larger rate learns faster"));
    assert_eq!(answer.output, "thinking\nhm");
}

#[test]
fn a_repair_is_told_what_was_wrong() {
    let argv = ["sh", "-c", "sed -i s/0.1/0.3/ train.rs; cat error.txt"].map(str::to_owned).to_vec();
    let config = Config { argv, timeout_s: 20, output_bytes: 4096, env: Vec::new() };
    let answer = ask(config, Some("op 41: inner sizes differ\u{1b}[2J"), &|| false).unwrap();
    assert_eq!(answer.output, "op 41: inner sizes differ\\u{1b}[2J");
}

#[test]
fn secrets_are_inherited_by_name_only() {
    // Cargo sets this variable for every test.
    let secret = "CARGO_MANIFEST_DIR";
    let text = "echo \"[$CARGO_MANIFEST_DIR][$HOME]\"; echo // >> train.rs";
    let without = Script::new(text).ask().unwrap();
    assert_eq!(without.output, format!("[][{}]", std::env::var("HOME").unwrap_or_default()));
    let mut named = Script::new(text);
    named.config.env = vec![secret.into()];
    assert!(named.ask().unwrap().output.starts_with(&format!("[{}]", env!("CARGO_MANIFEST_DIR"))));
    let mut unset = Script::new(text);
    unset.config.env = vec!["HOST_TEST_IS_NOT_SET".into()];
    let error = unset.ask().unwrap_err();
    assert!(matches!(error, CommandError::NoVariable(_)) && error.is_final(), "{error}");
}

#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let text = "echo $$ >> $1; sleep 600 & echo $! >> $1; setsid sleep 600 & echo $! >> $1; echo hm; wait";
    let started = Instant::now();
    let error = Script::new(text).argument(&pids).timeout(1).ask().unwrap_err();
    assert!(matches!(&error, CommandError::TimedOut { seconds: 1, output } if output == "hm"), "{error}");
    assert!(!error.is_final());
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(all_gone(&pids));
}

#[test]
fn a_daemon_does_not_outlive_the_program_that_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    // It forks twice, has its own session and no open pipes, and ignores every signal that can be ignored.
    let text = "(setsid sh -c 'trap \"\" TERM HUP INT; echo $$ >> $0; exec sleep 600' $1 >/dev/null 2>&1 </dev/null &)
        while [ ! -s $1 ]; do sleep 0.01; done; echo // >> train.rs";
    Script::new(text).argument(&pids).ask().unwrap();
    assert!(all_gone(&pids));
}

#[test]
fn many_forks_are_all_found() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let text = "i=0; while [ $i -lt 60 ]; do setsid sh -c 'echo $$ >> $0; sleep 600 & wait' $1 & i=$((i+1)); done
        while [ $(wc -l < $1) -lt 60 ]; do sleep 0.02; done; echo // >> train.rs";
    Script::new(text).argument(&pids).ask().unwrap();
    assert!(all_gone(&pids));
}

#[test]
fn the_users_word_kills_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let text = "trap '' INT TERM; echo $$ >> $1; setsid sleep 600 & echo $! >> $1; echo ready >> $1.ready; wait";
    let ready = folder.path().join("pids.ready");
    let error = Script::new(text).argument(&pids).ask_until(&|| ready.exists()).unwrap_err();
    assert!(matches!(error, CommandError::Interrupted) && !error.is_final(), "{error}");
    assert!(all_gone(&pids));
}

#[test]
fn a_host_that_dies_takes_the_program_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut supervisor = std::process::Command::new(HOST)
        .args(["__command", "/bin/sh", "-c", "echo $$ >> $1; setsid sleep 600 & echo $! >> $1; wait", "sh"])
        .arg(&pids)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    while std::fs::read_to_string(&pids).unwrap_or_default().lines().count() < 2 {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(ours);
    assert!(supervisor.wait().unwrap().success());
    assert!(all_gone(&pids));
}

#[test]
fn a_supervisor_ends_without_a_word_to_nobody() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut supervisor = std::process::Command::new(HOST)
        .args(["__command", "/no/such/program"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("unstarted No such file"), "{said}");
    assert!(supervisor.wait().unwrap().success());
}

#[test]
fn a_crash_says_how_and_repeats_the_last_words() {
    let error = Script::new(
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do echo \"line $i\" >&2; done
        printf 'no \\033[31mcredit\\n' >&2; echo // >> train.rs; exit 3",
    )
    .ask()
    .unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("the program ended with code 3; it said last:\n"), "{message}");
    assert!(message.contains("line 14\nno \\u{1b}[31mcredit") && !message.contains("line 3\n"), "{message}");
    let killed = Script::new("kill -9 $$").ask().unwrap_err().to_string();
    assert!(killed.starts_with("the program was killed by signal 9"), "{killed}");
}

#[test]
fn a_program_that_kills_its_own_group_is_just_a_crash() {
    let error = Script::new("sleep 600 & trap 'exit 4' TERM; kill 0; wait").ask().unwrap_err();
    assert!(matches!(error, CommandError::Crashed { .. }), "{error}");
}

#[test]
fn a_flood_keeps_its_end_and_costs_nothing() {
    let text = "head -c 30000000 /dev/zero | tr '\\0' x; echo last; head -c 9000 /dev/zero >&2; echo // >> train.rs";
    let answer = Script::new(text).ask().unwrap();
    // A zero byte is shown as five characters.
    assert!(answer.output.len() < 6 * 4096 + 200, "{}", answer.output.len());
    assert!(answer.output.contains("bytes before this are not kept") && answer.output.contains("xlast"));
    assert!(!answer.output.contains('\0'));
    let endless = Script::new("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaa; done").timeout(1).ask().unwrap_err();
    assert!(matches!(endless, CommandError::TimedOut { .. }), "{endless}");
}

fn left(text: &str) -> UntrustedFileError {
    match Script::new(text).ask() {
        Err(CommandError::Left(error)) => error,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn only_a_plain_small_text_is_taken() {
    let is = |matched: bool, text: &str| assert!(matched, "{text}");
    is(matches!(left("rm train.rs"), UntrustedFileError::Missing(_)), "missing");
    is(matches!(left("ln -sf /etc/passwd train.rs"), UntrustedFileError::Link(_)), "link");
    is(matches!(left("rm train.rs; mkfifo train.rs"), UntrustedFileError::NotAFile(_)), "pipe");
    is(matches!(left("rm train.rs; mkdir train.rs"), UntrustedFileError::NotAFile(_)), "folder");
    is(matches!(left("printf '\\377' > train.rs"), UntrustedFileError::NotText { at: 0, .. }), "bytes");
    is(matches!(left("head -c 300000 /dev/zero > train.rs"), UntrustedFileError::TooLarge { .. }), "huge");
    is(
        matches!(
            left("truncate -s 1T train.rs 2>/dev/null || head -c 300000 /dev/zero > train.rs"),
            UntrustedFileError::TooLarge { .. }
        ),
        "sparse",
    );
    is(matches!(left("d=$PWD; cd ..; rm -r $d"), UntrustedFileError::Missing(_)), "no folder");
    is(
        matches!(left("d=$PWD; cd ..; rm -r $d; ln -s /etc $d; sleep 0"), UntrustedFileError::Missing(_)),
        "swapped folder",
    );
}

#[test]
fn an_unchanged_source_is_refused_with_what_was_said() {
    let error = Script::new("echo 'I could not decide'; echo >> train.rs").ask().unwrap_err();
    assert!(matches!(&error, CommandError::Unchanged { output } if output == "I could not decide"), "{error}");
}

#[test]
fn a_program_that_is_not_there_ends_it_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("agent");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    let asked = |program: &str| {
        let config = Config { argv: vec![program.into()], timeout_s: 5, output_bytes: 4096, env: Vec::new() };
        ask(config, None, &|| false).unwrap_err()
    };
    for missing in ["no-such-agent", "/no/such/agent", folder.path().to_str().unwrap()] {
        let error = asked(missing);
        assert!(matches!(error, CommandError::NotFound(_)) && error.is_final(), "{missing}: {error}");
    }
    let error = asked(plain.to_str().unwrap());
    assert!(matches!(error, CommandError::NotExecutable(_)) && error.is_final(), "{error}");
}

#[test]
fn the_work_folder_is_gone_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("at");
    let text = "pwd > $1; mkdir -p a/b; touch a/b/c; chmod 500 a/b; chmod 0 a; echo // >> train.rs";
    Script::new(text).argument(&at).ask().unwrap();
    let work = std::fs::read_to_string(at).unwrap();
    assert!(!work.trim().is_empty() && !Path::new(work.trim()).exists());
}

/// A ledger with room for a limited number of requests.
struct Book {
    room: u64,
    filed: Vec<Exchange>,
}

impl Ledger for Book {
    fn reserve(&mut self, worst: &Spend) -> Result<Reservation, ProposeError> {
        let left = self.room.checked_sub(worst.requests);
        self.room = left.ok_or_else(|| ProposeError::Stop("the cap on requests is reached".into()))?;
        Ok(Reservation(0))
    }

    fn settle(&mut self, _: Reservation, exchange: &Exchange) -> Result<(), ProposeError> {
        self.filed.push(exchange.clone());
        Ok(())
    }
}

fn situation() -> Situation {
    let facts = Facts::default();
    let parent = Parent { number: 0, source: PARENT.into(), description: "baseline".into(), bpb: 2.5, facts };
    Situation {
        brief: "Lower is better.".into(),
        task: TaskHash::of(b"t"),
        context: ContextKey::of(b"t"),
        hints: [].into(),
        parent: Arc::new(parent),
        past: Vec::new(),
        underway: Vec::new(),
        noise: 0.01,
        budget_seconds: 1.0,
        digest: "".into(),
        number: 1,
        random_seed: 1,
    }
}

fn program(text: &str) -> Program {
    let argv = ["sh", "-c", text].map(str::to_owned).to_vec();
    let config = Config { argv, timeout_s: 1, output_bytes: 4096, env: Vec::new() };
    Program::new("command.test".into(), config, Some(HOST.into()), "the sdk".into())
}

#[test]
fn in_a_night_a_program_proposes_and_repairs_on_account() {
    let (mut book, cancelled) = (Book { room: 2, filed: Vec::new() }, AtomicBool::new(false));
    let mut desk = Desk { ledger: &mut book, cancelled: &cancelled };
    let mut program = program(
        "[ -e error.txt ] && r=0.4 || { r=0.x; echo faster > hypothesis.txt; }
        sed -i s/0.1/0.x/ train.rs; sed -i s/0.x/$r/ train.rs",
    );
    let first = program.propose(&situation(), &mut desk).unwrap().unwrap();
    assert_eq!((first.source, first.hypothesis.as_str()), (PARENT.replace("0.1", "0.x"), "faster"));
    let proposal = Some(nightlab::propose::proposer::Proposal {
        source: PARENT.replace("0.1", "0.x"),
        hypothesis: "faster".into(),
        description: String::new(),
        operator: String::new(),
        credit: None,
    });
    let failed =
        Failed { proposal, answer: String::new(), stage: Stage::Source, message: "train.rs:1:17".into(), repair: 1 };
    let mended = program.repair(&situation(), &failed, &mut desk).unwrap().unwrap();
    assert_eq!((mended.source, mended.hypothesis.as_str()), (PARENT.replace("0.1", "0.4"), "faster"));
    assert_eq!(mended.description, "LR 0.1 → 0.4");
    let capped = program.propose(&situation(), &mut desk).unwrap_err();
    assert!(matches!(capped, ProposeError::Stop(_)), "{capped}");
    let statuses: Vec<&str> = book.filed.iter().map(|exchange| exchange.status.as_str()).collect();
    assert_eq!(statuses, ["answered", "answered"], "nothing is started that the cap does not allow");
    assert!(String::from_utf8_lossy(&book.filed[1].request).contains("train.rs:1:17"));
    assert!(String::from_utf8_lossy(&book.filed[1].response).contains("0.4"));
}

#[test]
fn in_a_night_each_failure_has_its_consequence() {
    let (mut book, cancelled) = (Book { room: 100, filed: Vec::new() }, AtomicBool::new(false));
    let mut fails = |text: &str| {
        let mut desk = Desk { ledger: &mut book, cancelled: &cancelled };
        program(text).propose(&situation(), &mut desk).unwrap_err()
    };
    assert!(matches!(fails("exit 3"), ProposeError::Later { .. }));
    assert!(matches!(fails("sleep 600"), ProposeError::Later { .. }));
    assert!(matches!(fails("echo nothing"), ProposeError::Later { .. }), "it is not run again at once");
    assert!(matches!(fails("rm train.rs"), ProposeError::Later { .. }));
    assert!(book.filed.iter().all(|exchange| exchange.spend.requests == 1), "each call is filed");
    cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut desk = Desk { ledger: &mut book, cancelled: &cancelled };
    assert!(matches!(program("sleep 600").propose(&situation(), &mut desk), Err(ProposeError::Interrupted)));
}

/// A home whose `night.toml` has only this program as a proposer.
fn home_with(script: &str) -> Home {
    let home = Home::new();
    home.set("night.toml", "search.proposers", vec!["command.sh"]);
    let path = home.path("night.toml");
    let policy = std::fs::read_to_string(&path).unwrap();
    let argv = serde_json::json!(["sh", "-c", script]);
    std::fs::write(path, format!("{policy}\n[command.sh]\nargv = {argv}\n")).unwrap();
    home
}

#[test]
fn a_night_asks_a_program_and_has_its_fault_mended() {
    let home = home_with(
        "[ -e error.txt ] && new=0.03 || { new=0.0oops; echo a larger rate > hypothesis.txt; }
         sed -i \"s/LR: f32 = [^;]*/LR: f32 = $new/\" train.rs",
    );
    let night = home.host(&["run", "--policy", "night.toml", "--experiments", "1"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    let log = lines(&home.host(&["log", "--json"]));
    let first = &log[0];
    assert_eq!((&first["proposer"], &first["repairs"]), (&"command.sh".into(), &1.into()), "{first}");
    assert_eq!((&first["hypothesis"], &first["description"]), (&"a larger rate".into(), &"LR 0.02 → 0.03".into()));
    assert!(first["bpb"].is_number(), "{first}");
}

#[test]
fn the_last_words_of_a_failing_program_are_where_people_look() {
    let home = home_with("echo \"Your login has expired: run \\`agent login\\`\"; echo a warning >&2; exit 7");
    home.set("night.toml", "search.proposers", vec!["command.sh", "evolve"]);
    let night = said(&home.host(&["run", "--policy", "night.toml", "--experiments", "1"]));
    let last = "the program ended with code 7; it said last: Your login has expired: run `agent login` | a warning";
    assert!(night.contains("  | Your login has expired"), "within the night: {night}");
    assert!(night.contains(last), "in its summary: {night}");
    let log = said(&home.host(&["log"]));
    assert!(log.contains(last), "{log}");
    let report = std::fs::read_to_string(home.path(".host/report.md")).unwrap();
    assert!(report.contains("Your login has expired"), "{report}");
    let all = lines(&home.host(&["log", "--json"]));
    let db = rusqlite::Connection::open(home.path(".host/index.sqlite")).unwrap();
    let answer: String = db.query_row("SELECT response_blob FROM requests", [], |row| row.get(0)).unwrap();
    let shown = said(&home.host(&["show", &answer]));
    assert!(shown.contains("\nYour login has expired: run `agent login`\n"), "{shown}\n{all:?}");
}

#[test]
fn a_program_that_says_a_word_again_and_again_is_still_ended_in_time() {
    let started = std::time::Instant::now();
    let error = Script::new("while :; do echo .; sleep 0.05; done").timeout(1).ask().unwrap_err();
    assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_night_that_is_stopped_takes_its_program_along() {
    let home = home_with("echo $$ >> $HOST_LAB/pids; setsid sleep 600 & echo $! >> $HOST_LAB/pids; wait");
    let pids = home.path("pids");
    let mut night =
        home.command(&["run", "--policy", "night.toml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while std::fs::read_to_string(&pids).unwrap_or_default().lines().count() < 2 {
        assert!(night.try_wait().unwrap().is_none(), "the night ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_raw(night.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(night.wait().unwrap().success());
    assert!(all_gone(&pids));
}
