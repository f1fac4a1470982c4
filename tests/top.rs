//! `host top`: a night in the terminal while it runs. The screen is drawn on a terminal that `script` makes, and read
//! back by an emulator of one.

use crate::common::home::{Home, lines, said};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ROWS: u16 = 30;
const COLUMNS: u16 = 110;

/// `host top` on a terminal of its own.
struct Terminal {
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn start(home: &Home, arguments: &str) -> Self {
        let host = home.command(&[]);
        let program = Path::new(host.get_program()).display().to_string();
        let mut script = Command::new("script");
        let command = format!("stty rows {ROWS} cols {COLUMNS}; {program} top {arguments}; echo code=$?");
        script.args(["-qfc", &command, "/dev/null"]).current_dir(home.path("."));
        script.env("TERM", "xterm-256color").env("HOST_CACHE", home.path("cache"));
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let (mut out, parser) = (child.stdout.take().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut bytes) {
                parser.lock().unwrap().process(&bytes[..length]);
            }
        });
        Self { child, screen }
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
    let mut terminal = Terminal::start(&home, "");
    terminal.wait("word of the store", |text| text.contains("there is no store in .host yet"));
    assert!(terminal.is_on_screen_of_its_own());
    let mut night = home.command(&["run", "--policy", "./longer.toml"]).stdout(Stdio::null()).spawn().unwrap();
    terminal.wait("baseline", |text| text.contains("a night begins · under way"));
    terminal.wait("progress", |text| text.contains("random seed") && text.contains("loss ") && text.contains("step "));
    terminal.wait("trial", |text| text.contains("night 1 · ./longer.toml · ") && text.contains("trials "));
    assert!(night.wait().unwrap().success());
    let text = terminal.wait("end", |text| text.contains("night 1 · ./longer.toml · ended"));
    for words in ["trials ", "bits per byte", "began at", "evolve", "verdict", "q end"] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(!home.path(".host/now.json").exists());
    terminal.press("q");
    terminal.wait("way back", |text| text.contains("code=0"));
    assert!(!terminal.is_on_screen_of_its_own());
}

#[test]
fn keys_scroll_and_control_c_ends() {
    let (home, _) = Home::after_a_night();
    let mut terminal = Terminal::start(home, "--night 1");
    let first_row = |text: &str| {
        let mut rows = text.lines().skip_while(|line| !line.contains("verdict")).skip(1);
        rows.next().unwrap_or_default().trim_start().chars().next()
    };
    terminal.wait("latest trial", |text| first_row(text) == Some('2'));
    terminal.press("j");
    terminal.wait("earlier trial", |text| first_row(text) == Some('1'));
    terminal.press("\u{1b}[H");
    terminal.wait("latest trial", |text| first_row(text) == Some('2'));
    terminal.press("\u{3}");
    terminal.wait("way back", |text| text.contains("code=0"));
}

#[test]
fn without_a_terminal_lines_are_printed() {
    let (home, _) = Home::after_a_night();
    let told = said(&home.host(&["top"]));
    for words in ["night 1 · ./night.toml · ended", "champion ", "trials 2", "verdict", "evolve", "proposer"] {
        assert!(told.contains(words), "{words}:\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "{told}");
    let json = lines(&home.host(&["--json", "top"]));
    let [line] = json.as_slice() else { panic!("{json:?}") };
    assert_eq!((&line["night"], &line["trials"], &line["is_over"]), (&1.into(), &2.into(), &true.into()));
    assert!(line["running"].is_null() && line["champion_bpb"].is_f64() && line["proposers"].is_array(), "{line}");

    let none = home.host(&["top", "--night", "9"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none).contains("the store has no night 9"), "{}", said(&none));
    let nothing = said(&home.host(&["top", "--once", "--store", "nowhere"]));
    assert!(nothing.contains("there is no store in nowhere yet"), "{nothing}");
}

#[test]
fn a_night_is_followed_by_programs_until_it_ends() {
    let home = Home::new();
    home.write_policy("longer.toml", 0.3, 2);
    let follower = home.command(&["--json", "top"]).stdout(Stdio::piped()).spawn().unwrap();
    let night = home.host(&["run", "--policy", "./longer.toml"]);
    assert!(night.status.success(), "{}", said(&night));
    let told = lines(&follower.wait_with_output().unwrap());
    assert!(told[0]["trouble"].is_string(), "{told:?}");
    let last = told.last().unwrap();
    assert_eq!((&last["trials"], &last["is_over"]), (&Value::from(2), &true.into()));
}

#[test]
fn a_night_that_was_killed_and_words_of_others_are_shown_as_such() {
    let (home, _) = Home::after_a_night();
    let store = home.copy_of_store("top-of-a-killed-night");
    let index = rusqlite::Connection::open(store.join("index.sqlite")).unwrap();
    index.execute_batch("UPDATE nights SET ended_unix_ms = NULL").unwrap();
    let change = "deeper\u{1b}[2J\u{202e}\nnew line";
    index.execute("UPDATE trials SET description = ?1, bpb = 9e999", [change]).unwrap();
    let now = "{\"night\":1,\"unix_ms\":1000,\"number\":3,\"description\":\"\\u001b[31mred\",\"note\":\"wait\\ning\"}";
    std::fs::write(store.join("now.json"), now).unwrap();
    let told = said(&home.host(&["top", "--once", "--store", store.to_str().unwrap()]));
    assert!(told.contains("no word for ") && told.contains("stopped?") && told.contains("[31mred  wait"), "{told}");
    assert!(!told.contains('\u{1b}') && !told.contains('\u{202e}'), "{told}");
    std::fs::write(store.join("now.json"), "{").unwrap();
    let told = said(&home.host(&["top", "--once", "--store", store.to_str().unwrap()]));
    assert!(told.contains("not running now"), "{told}");
}
