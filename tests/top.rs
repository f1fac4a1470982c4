//! `host top`: a night in the terminal while it runs. The screen is drawn on a terminal that `script` makes, and read
//! back by an emulator of one. Tests of the screen are skipped where there is no `script`.

use crate::common::home::{Home, StoreCopy, index, lines, said, trials};
use nightlab::system::clock::unix_ms;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ROWS: u16 = 30;
const COLUMNS: u16 = 110;

/// `host top` on a terminal of its own.
struct Terminal {
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// None, with a message, where `script` is missing.
    fn start(home: &Home, arguments: &str) -> Option<Self> {
        Self::start_after("", home, arguments)
    }

    fn start_after(before: &str, home: &Home, arguments: &str) -> Option<Self> {
        let host = home.command(&[]);
        let program = Path::new(host.get_program()).display().to_string();
        let mut script = Command::new("script");
        let command =
            format!("{before}stty rows {ROWS} cols {COLUMNS}; echo $$ > top.pid; exec {program} top {arguments}");
        script.args(["-qefc", &command, "/dev/null"]).current_dir(home.path("."));
        script.env("TERM", "xterm-256color").env("HOST_CACHE", home.path("cache"));
        let Ok(mut child) = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            eprintln!("skipped: there is no `script` on this machine, which is in the package bsdutils");
            return None;
        };
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let (mut out, parser) = (child.stdout.take().unwrap(), screen.clone());
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut bytes) {
                parser.lock().unwrap().process(&bytes[..length]);
            }
        });
        Some(Self { child, screen, reader: Some(reader) })
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the screen is as it should be.
    fn wait(&self, what: &str, is_shown: impl Fn(&str) -> bool) -> String {
        let since = Instant::now();
        loop {
            let text = self.text();
            if is_shown(&text) {
                return text;
            }
            assert!(since.elapsed() < Duration::from_secs(120), "no {what} on\n{text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end, and returns its exit code.
    fn end(&mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code()
    }

    fn is_on_screen_of_its_own(&self) -> bool {
        self.screen.lock().unwrap().screen().alternate_screen()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_night_that_runs_is_on_the_screen() {
    let home = Home::new();
    home.write_policy("longer.toml", 0.5, 3);
    let Some(mut terminal) = Terminal::start(&home, "") else { return };
    terminal.wait("word of the store", |text| text.contains("there is no store in .host yet"));
    assert!(terminal.is_on_screen_of_its_own());
    let mut night = home.command(&["run", "--policy", "./longer.toml"]).stdout(Stdio::null()).spawn().unwrap();
    // It tells each run that trains.
    let trains = || {
        let now = std::fs::read_to_string(home.path(".host/now.json")).unwrap_or_default();
        let now: Value = serde_json::from_str(&now).unwrap_or_default();
        now["run"]["progress"].is_f64() && now["description"].is_string()
    };
    while !trains() {
        assert_eq!(night.try_wait().unwrap(), None, "nothing was told of what trains");
        std::thread::sleep(Duration::from_millis(1));
    }
    terminal.wait("trial", |text| text.contains("night 1 · ") && text.contains("trials "));
    assert!(night.wait().unwrap().success());
    let text = terminal.wait("end", |text| text.contains("night 1 · ended · ./longer.toml"));
    for words in ["trials ", "bits per byte", "began at", "evolve", "verdict", "q end"] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(!home.path(".host/now.json").exists());
    terminal.press("q");
    assert_eq!(terminal.end(), Some(0));
    assert!(!terminal.is_on_screen_of_its_own());
}

#[test]
fn keys_scroll_and_control_c_ends() {
    let (home, _) = Home::after_a_night();
    let Some(mut terminal) = Terminal::start(home, "--night 1") else { return };
    let first_row = |text: &str| {
        let mut rows = text.lines().skip_while(|line| !line.contains("verdict")).skip(1);
        rows.next().unwrap_or_default().trim_start().chars().next()
    };
    let latest = trials(&home.host(&["log", "--json"])).len() as u32;
    let [latest, earlier] = [latest, latest - 1].map(|number| char::from_digit(number, 10));
    terminal.wait("latest trial", |text| first_row(text) == latest);
    terminal.press("j");
    terminal.wait("earlier trial", |text| first_row(text) == earlier);
    terminal.press("\u{1b}[H");
    terminal.wait("latest trial", |text| first_row(text) == latest);
    terminal.press("\u{3}");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn it_ends_with_its_terminal() {
    let home = Home::new();
    // With and without the signal that the end of a terminal sends.
    for before in ["", "trap '' HUP; "] {
        let Some(terminal) = Terminal::start_after(before, &home, "") else { return };
        terminal.wait("screen", |text| text.contains("q end"));
        let pid = std::fs::read_to_string(home.path("top.pid")).unwrap();
        let stat = Path::new("/proc").join(pid.trim()).join("stat");
        drop(terminal);
        let since = Instant::now();
        // A process that nobody waits for is a zombie.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(since.elapsed() < Duration::from_secs(60), "it goes on without its terminal");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn without_a_terminal_lines_are_printed() {
    let (home, _) = Home::after_a_night();
    let told = said(&home.host(&["top"]));
    let count = trials(&home.host(&["log", "--json"])).len();
    let counted = format!("trials {count}");
    for words in
        ["night 1 · ended · ./night.toml", "bits per byte", "champion ", &counted, "verdict", "evolve", "proposer"]
    {
        assert!(told.contains(words), "{words}:\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "{told}");
    let json = lines(&home.host(&["--json", "top"]));
    let [line] = json.as_slice() else { panic!("{json:?}") };
    assert_eq!((&line["night"], &line["trials"], &line["state"]), (&1.into(), &count.into(), &"ended".into()));
    assert!(line["running"].is_null() && line["champion_bpb"].is_f64() && line["proposers"].is_array(), "{line}");

    let none = home.host(&["top", "--night", "9"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none).contains("the store has no night 9"), "{}", said(&none));
    let nothing = said(&home.host(&["top", "--once", "--store", "nowhere"]));
    assert!(nothing.contains("there is no store in nowhere yet"), "{nothing}");
}

/// A command that is killed on drop.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_night_is_followed_by_programs_until_it_ends() {
    let home = Home::new();
    home.write_policy("longer.toml", 0.3, 2);
    let follow = |args: &[&str]| Follower(home.command(args).stdout(Stdio::piped()).spawn().unwrap());
    let (mut follower, mut reader) = (follow(&["--json", "top"]), follow(&["top"]));
    let mut told = BufReader::new(follower.0.stdout.take().unwrap()).lines();
    let mut next = || told.next().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let first = next().unwrap();
    assert!(first["trouble"].is_string() && first["state"] == "awaited", "{first}");
    let night = home.host(&["run", "--policy", "./longer.toml"]);
    assert!(night.status.success(), "{}", said(&night));
    let last = std::iter::from_fn(next).last().unwrap();
    assert_eq!((last["trials"].as_u64() > Some(1), &last["state"]), (true, &"ended".into()), "{last}");
    assert!(follower.0.wait().unwrap().success());
    let mut text = String::new();
    reader.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let (_, end) = text.rsplit_once("night 1 · ended").unwrap_or_else(|| panic!("{text}"));
    assert!(end.contains("bits per byte") && end.contains("champion ") && end.contains("evolve"), "{text}");
}

/// A store whose night has not ended, as if a process ran it.
fn under_way(home: &Home, name: &str) -> StoreCopy {
    let store = home.copy_of_store(name);
    let index = index(&store);
    index.execute_batch("UPDATE nights SET ended_unix_ms = NULL").unwrap();
    store
}

#[test]
fn what_trains_is_shown_with_its_curve_and_the_time_left() {
    let (home, _) = Home::after_a_night();
    let store = under_way(home, "top-of-what-trains");
    let run = "{\"role\":\"random seed 2\",\"progress\":0.5,\"steps\":120,\"curve\":[[0.1,3.5],[0.3,2.5],[0.5,2.25]],
        \"seconds_left\":5000.0,\"at_once\":2}";
    let now =
        |ms: i64| format!("{{\"night\":1,\"unix_ms\":{ms},\"number\":3,\"description\":\"deeper\",\"run\":{run}}}");
    std::fs::write(store.join("now.json"), now(unix_ms())).unwrap();
    let path = store.to_str().unwrap();
    let Some(terminal) = Terminal::start(home, &format!("--store {path}")) else { return };
    let text = terminal.wait("what trains", |text| text.contains("#3 deeper"));
    for words in
        ["under way", "2 at once, the slowest: random seed 2", "50 %", "step 120", "loss 2.250", "1 h 23 min left"]
    {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(text.contains("3.50│") && text.contains("2.25│"), "no curve:\n{text}");
    drop(terminal);
    // Nobody runs a night whose last word is old.
    std::fs::write(store.join("now.json"), now(unix_ms() - 3_600_000)).unwrap();
    let told = lines(&home.host(&["--json", "top", "--store", path]));
    assert_eq!((told.len(), &told[0]["state"]), (1, &"silent".into()), "{told:?}");
}

#[test]
fn it_ends_when_nobody_reads() {
    let (home, _) = Home::after_a_night();
    let store = under_way(home, "top-that-nobody-reads");
    let mut follower =
        Follower(home.command(&["top", "--store", store.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap());
    drop(follower.0.stdout.take());
    let since = Instant::now();
    while follower.0.try_wait().unwrap().is_none() {
        assert!(since.elapsed() < Duration::from_secs(30), "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn words_of_others_and_what_was_left_behind_are_shown_as_such() {
    let (home, _) = Home::after_a_night();
    let store = under_way(home, "top-of-words-of-others");
    let index = index(&store);
    let change = "deeper\u{1b}[2J\u{202e}\nnew line";
    index.execute("UPDATE trials SET description = ?1, bpb = 9e999", [change]).unwrap();
    let now = "{\"night\":1,\"unix_ms\":1000,\"number\":3,\"description\":\"\\u001b[31mred\",\"note\":\"wait\\ning\"}";
    let top = || said(&home.host(&["top", "--once", "--store", store.to_str().unwrap()]));
    let put = |text: &str| std::fs::write(store.join("now.json"), text).unwrap();
    put(now);
    let told = top();
    assert!(told.contains("no word for ") && told.contains("stopped?") && told.contains("[31mred  wait"), "{told}");
    assert!(!told.contains('\u{1b}') && !told.contains('\u{202e}'), "{told}");
    for text in ["{", "{\"night\":7}"] {
        put(text);
        assert!(top().contains("night 1 · not running now"), "{text}");
    }
    // A baseline that was killed long ago begins no night.
    index.execute_batch("UPDATE nights SET ended_unix_ms = 2000").unwrap();
    put("{\"unix_ms\":3000}");
    assert!(top().contains("night 1 · ended"), "{}", top());
    put(&format!("{{\"unix_ms\":{}}}", unix_ms()));
    assert!(top().contains("a night begins · under way"), "{}", top());
}
