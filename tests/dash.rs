//! `host dash`: the nights of a store as live pages, with a real browser and without one. Tests that need a browser are
//! skipped where there is no Chromium.

use crate::common::browser::{Browser, Look};
use crate::common::home::{Home, StoreCopy, index, lines, said};
use nightlab::record::store::Store;
use nightlab::system::clock::unix_ms;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A name that would run a script, leave its element, or turn the text around.
const HOSTILE: &str =
    "</script><img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>\u{1b}[31m\u{202e}'\"&lt;";

/// A running `host dash`. It is killed on drop.
struct Dash {
    child: Child,
    url: String,
}

impl Dash {
    fn start(home: &Home, store: &Path) -> Self {
        let mut command = home.command(&["--json", "dash", "--port", "0", "--store", store.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, url: told["url"].as_str().unwrap().to_owned() }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn place(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.place()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// The whole answer to a request of these lines.
    fn answer(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(format!("{request}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.answer(&format!("GET /{path} HTTP/1.1\r\nHost: {}", self.place()))
    }

    /// Begins to listen to events, and returns the connection with the first lines of the answer.
    fn listen(&self, path: &str) -> (TcpStream, String) {
        let mut stream = self.connect();
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.place());
        stream.write_all(request.as_bytes()).unwrap();
        let mut begin = [0; 2048];
        let length = stream.read(&mut begin).unwrap();
        (stream, String::from_utf8_lossy(&begin[..length]).into_owned())
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Dash {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// The night's store once more, with its trials again as a second night.
fn two_nights(name: &str) -> StoreCopy {
    let (home, _) = Home::after_a_night();
    let store = home.copy_of_store(&format!("dash-of-{name}"));
    let columns = "unix_ms, proposer, parent, source_blob, source_key, component_key, behaviour_key, experiment_key,
        verdict, bpb, delta, p_better, description, operator, reason, peak_bytes, wall_ms, champion, hypothesis, pairs";
    let sql = format!(
        "INSERT INTO nights (policy_name, policy_blob, task, context, started_unix_ms)
         SELECT policy_name, policy_blob, task, context, started_unix_ms + 1000 FROM nights WHERE id = 1;
         INSERT INTO trials (night, number, {columns}) SELECT 2, number + 100, {columns} FROM trials WHERE night = 1"
    );
    index(&store).execute_batch(&sql).unwrap();
    store
}

#[test]
fn every_view_opens() {
    let (home, _) = Home::after_a_night();
    let store = two_nights("views");
    let dash = Dash::start(home, &store);
    let Some(mut browser) = Browser::at(&dash.at("night/1"), Look::DESK) else { return };
    browser.wait("document.getElementById('state').textContent.startsWith('ended · last trial ')");
    browser.shoot("dash");
    for section in ["latest", "staircase", "champion", "lineage", "search", "trials"] {
        assert_eq!(browser.value(&format!("!!document.querySelector('main > #{section} > h2')")), true, "{section}");
    }
    for id in ["moved", "sealed-plot-title", "lanes-title"] {
        assert_eq!(browser.value(&format!("!!document.querySelector('#search #{id}')")), true, "{id}");
    }
    // Nothing moves while the page is loaded and connected.
    browser.before_pages(SHIFTS);
    browser.go(&dash.at("night/1"));
    browser.wait("document.getElementById('state').textContent.startsWith('ended · last trial ')");
    assert_eq!(browser.value("[window.shifts, window.moved]"), json!([0, []]));
    // Landmarks, labels, and a language.
    let marks = "['header', 'main', 'nav[aria-label=\"Nights\"]', 'nav[aria-label=\"Sections\"]', '[role=status]',
        '[role=search]', 'html[lang]'].filter((mark) => !document.querySelector(mark))";
    assert_eq!(browser.value(marks), json!([]));
    let unlabelled = "[...document.querySelectorAll('input:not([type=hidden]), select')]
        .filter((control) => control.labels.length === 0).length";
    assert_eq!(browser.value(unlabelled), 0);
    // A trial, with the keyboard.
    browser.value("document.querySelector('#t1 a').focus()");
    browser.press("Enter");
    browser.wait("document.getElementById('details').open");
    browser.shoot("dash-details");
    assert_eq!(browser.value("document.activeElement.id"), "details-heading");
    for heading in ["What it changes of", "Loss in training", "Where its budget goes", "Its dearest lines", "Runs"] {
        let has = format!("[...details.querySelectorAll('h3')].some((h) => h.textContent.startsWith('{heading}'))");
        assert_eq!(browser.value(&has), true, "{heading}");
    }
    browser.press("Escape");
    assert_eq!(browser.value("details.open"), false);
    // The picture by another axis.
    browser.value("document.getElementById('by-time').click()");
    browser.wait("!!document.querySelector('.plot.time .drawing')");
    assert_eq!(browser.value("location.search"), "?axis=time");
    assert_eq!(browser.complaints(), Vec::<String>::new());

    browser.go(&dash.at("nights"));
    browser.shoot("dash-nights");
    assert_eq!(
        browser.value("[...document.querySelectorAll('#nights-table tbody tr')].map((row) => row.id)"),
        json!(["n2", "n1"])
    );
    browser.value("document.querySelector('form button').click()");
    browser.wait("location.search === '?a=1&b=2' && !!document.querySelector('#figures table')");
    browser.shoot("dash-compare");
    browser.go(&dash.at(""));
    assert_eq!(browser.value("document.querySelector('h1').textContent.startsWith('Night 2 of')"), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn rows_are_filtered_and_sorted() {
    let (home, _) = Home::after_a_night();
    let store = two_nights("rows");
    let dash = Dash::start(home, &store);
    let Some(mut browser) = Browser::at(&dash.at("night/1"), Look::DESK) else { return };
    let numbers = "[...document.querySelectorAll('#all tbody tr')].map((row) => row.id).join()";
    let before = browser.value(numbers).as_str().unwrap().to_owned();
    let turned = before.split(',').rev().collect::<Vec<_>>().join(",");
    let head = "document.querySelector('#all th[data-column=\"trial\"] a')";
    browser.value(&format!("{head}.click()"));
    browser.wait(&format!("{head}.parentElement.getAttribute('aria-sort') === 'ascending'"));
    assert_eq!(browser.value(numbers), before);
    browser.value(&format!("{head}.focus()"));
    browser.press("Enter");
    browser.wait(&format!("{head}.parentElement.getAttribute('aria-sort') === 'descending'"));
    assert_eq!(browser.value(numbers), turned);
    // The focus stays, and the choice is in the address.
    assert_eq!(browser.value(&format!("document.activeElement === {head}")), true);
    assert_eq!(browser.value("location.search"), "?sort=trial&down=1");
    let all = before.split(',').count();
    let filter =
        |words: &str| format!("words.value = '{words}'; words.dispatchEvent(new Event('input', {{ bubbles: true }}))");
    browser.value(&filter("no such words"));
    browser.wait(&format!("count.textContent === '0 of 0 that match, of {all}'"));
    browser.value(&filter(""));
    browser.wait(&format!("count.textContent === '{all} of {all}'"));
    browser.value("verdict.selectedIndex = 1; verdict.dispatchEvent(new Event('input', { bubbles: true }))");
    browser.wait("location.search.includes('verdict=')");
    browser.wait("[...document.querySelectorAll('#all tbody tr')].every((row) => row.className === verdict.value)");
    // Other tables are sorted in the page.
    browser.value("document.querySelector('#scores th button').click()");
    assert_eq!(browser.value("document.querySelector('#scores th').getAttribute('aria-sort')"), "ascending");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Adds up how far a page moves what the reader looks at.
const SHIFTS: &str = "window.shifts = 0; window.moved = [];
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
      window.shifts += entry.value;
      entry.sources.forEach((source) => window.moved.push(source.node?.outerHTML?.slice(0, 80) ?? source.node?.textContent));
    })).observe({ type: 'layout-shift' });";

#[test]
fn a_night_of_another_process_arrives() {
    let home = Home::new();
    home.write_policy("longer.toml", 0.04, 4);
    let store = home.path(".host");
    let dash = Dash::start(&home, &store);
    let Some(mut browser) = Browser::at(&dash.url, Look::DESK) else { return };
    assert_eq!(
        browser.value("document.querySelector('.lead').textContent.startsWith('There is no store here yet')"),
        true
    );
    browser.shoot("dash-no-store");
    browser.value("window.mark = 1");
    let mut night = home.command(&["run", "--policy", "./longer.toml"]).stdout(Stdio::null()).spawn().unwrap();
    browser.wait("document.querySelectorAll('#newest > li').length > 0");
    browser.wait("/ · step [0-9]+/.test(document.querySelector('#now .how').textContent)");
    browser.wait("document.querySelector('#now polyline').getAttribute('points').includes(' ')");
    browser.shoot("dash-under-way");
    // What the reader does while it goes on, and looks at the picture and the latest trials.
    browser.value("words.value = 'e'; words.dispatchEvent(new Event('input', { bubbles: true })); words.focus({ preventScroll: true })");
    browser.value("document.querySelector('#search details').open = true");
    browser.value("new Promise((done) => setTimeout(done, 500))");
    browser.value(SHIFTS);
    let ended = night.wait().unwrap();
    assert!(ended.success(), "{ended}");
    browser.wait("document.body.dataset.ended !== undefined");
    let log = crate::common::home::trials(&home.host(&["log", "--json"]));
    browser.wait(&format!("document.querySelectorAll('#staircase .plot.trial [data-trial]').length === {}", log.len()));
    browser.wait("document.querySelector('#now .what').textContent === 'The night has ended.'");
    browser.shoot("dash-ended");
    assert_eq!(browser.value("[window.mark, document.activeElement.id, words.value]"), json!([1, "words", "e"]));
    assert_eq!(browser.value("document.querySelector('#search details').open"), true);
    assert!(browser.value("said.textContent").as_str().unwrap().contains('#'), "listeners are told");
    assert_eq!(browser.value("[window.shifts, window.moved]"), json!([0, []]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn hostile_names_stay_text_on_live_pages() {
    let (home, _) = Home::after_a_night();
    let store = two_nights("hostile-dash");
    let sql = "UPDATE trials SET description = ?1, proposer = ?1, operator = ?1, reason = ?1, hypothesis = ?1";
    index(&store).execute(sql, [HOSTILE]).unwrap();
    index(&store).execute("UPDATE nights SET policy_name = ?1", [HOSTILE]).unwrap();
    let dash = Dash::start(home, &store);
    let Some(mut browser) = Browser::at(&dash.at("night/1"), Look::DESK) else { return };
    browser.value("document.querySelector('#t1 a').click()");
    browser.wait("details.open");
    browser.shoot("dash-hostile");
    let visible = "</script><img src=x onerror=\\\"window.hacked=1\\\"><script>";
    for place in ["h1", "#newest", "#t1", "#details", "#lineage", "#search"] {
        let has = format!("document.querySelector('{place}').textContent.includes(\"{visible}\")");
        // A heading is one line, which is cut.
        let cut = "document.querySelector('h1').textContent.includes('<img')";
        assert_eq!(browser.value(if place == "h1" { cut } else { &has }), true, "{place}");
    }
    // As words of a filter, in an address.
    browser.value(&format!(
        "details.close(); words.value = {}; words.dispatchEvent(new Event('input', {{ bubbles: true }}))",
        json!(HOSTILE)
    ));
    browser.wait("location.search.includes('words=')");
    browser.wait("count.textContent.startsWith('0 of 0')");
    // As what trains now.
    index(&store).execute("UPDATE nights SET ended_unix_ms = NULL WHERE id = 2", []).unwrap();
    let now = json!({ "night": 2, "unix_ms": unix_ms(), "number": 9, "description": HOSTILE,
        "run": { "role": HOSTILE, "progress": 0.5, "steps": 3, "curve": [[0.1, 2.5], [0.5, 1e30]], "at_once": 1 } });
    std::fs::write(store.join("now.json"), now.to_string()).unwrap();
    browser.go(&dash.at("night/2"));
    browser.wait("document.querySelector('#now .how').textContent.includes('<img')");
    assert_eq!(browser.value("document.querySelector('#now .what').textContent.includes('<img')"), true);
    browser.shoot("dash-hostile-now");
    for page in
        [dash.at("nights"), dash.at("compare?a=1&b=2"), dash.at("night/2?words=%3Cimg+src%3Dx%3E&sort=%22%3E%3Cimg%3E")]
    {
        browser.go(&page);
        assert_eq!(
            browser.value("[typeof window.hacked, document.querySelectorAll('img').length]"),
            json!(["undefined", 0])
        );
    }
}

#[test]
fn narrow_screens_show_everything() {
    let (home, _) = Home::after_a_night();
    let store = two_nights("narrow-dash");
    let dash = Dash::start(home, &store);
    let Some(mut browser) = Browser::at(&dash.at("night/1"), Look::PHONE) else { return };
    for page in ["night/1", "nights", "compare?a=1&b=2"] {
        browser.go(&dash.at(page));
        assert_eq!(browser.value("document.documentElement.scrollWidth <= window.innerWidth"), true, "{page}");
        browser.shoot(&format!("dash-phone-{}", page.split(['/', '?']).next().unwrap()));
    }
    browser.look(Look { is_dark: true, ..Look::DESK });
    browser.go(&dash.at("night/1"));
    assert_eq!(browser.value("getComputedStyle(document.body).backgroundColor"), "rgb(13, 17, 23)");
    browser.shoot("dash-dark");
}

#[test]
fn requests_that_are_not_for_it_are_refused() {
    let (home, _) = Home::after_a_night();
    let dash = Dash::start(home, &home.path(".host"));
    let place = dash.place().to_owned();
    let port = place.rsplit(':').next().unwrap().to_owned();
    for (host, code) in [
        (place.clone(), 200),
        (format!("localhost:{port}"), 200),
        (format!("LOCALHOST:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        ("127.0.0.1".into(), 421),
        (format!("evil.example:{port}"), 421),
        (format!("127.0.0.1.evil.example:{port}"), 421),
        (format!("localhost:{port}@evil.example"), 421),
    ] {
        assert_eq!(status(&dash.answer(&format!("GET /nights HTTP/1.1\r\nHost: {host}"))), code, "{host}");
    }
    assert_eq!(status(&dash.answer(&format!("GET /nights HTTP/1.1\r\nHost: {place}\r\nHost: {place}"))), 421);
    assert_eq!(status(&dash.answer(&format!("GET http://evil.example/nights HTTP/1.1\r\nHost: {place}"))), 421);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        for path in ["", "nights", "nowhere"] {
            let answer = dash.answer(&format!("{method} /{path} HTTP/1.1\r\nHost: {place}"));
            assert_eq!(status(&answer), 405, "{method} /{path}");
        }
    }
    for (path, code) in [
        ("nowhere", 404),
        ("night/77", 404),
        ("night/x", 400),
        ("night/1?rows=many", 400),
        ("night/1?rows=18446744073709551615", 200),
        ("night/1/trial/99", 404),
        ("compare?a=1&b=9", 404),
        ("compare?a=1", 400),
        ("events?night=x", 400),
    ] {
        let answer = dash.get(path);
        assert_eq!(status(&answer), code, "{path}: {answer}");
        for header in ["cache-control: no-store", "x-content-type-options: nosniff", "frame-ancestors 'none'"] {
            assert!(answer.contains(header), "{path} lacks {header}");
        }
    }
    let head = dash.answer(&format!("HEAD /night/1 HTTP/1.1\r\nHost: {place}"));
    assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn odd_stores_are_shown_or_refused_with_a_sentence() {
    let (home, _) = Home::after_a_night();
    let refused = |store: &Path, wanted: &str| {
        let made = home.host(&["dash", "--port", "0", "--store", store.to_str().unwrap()]);
        assert!(made.status.code() == Some(1) && said(&made).contains(wanted), "{}", said(&made));
    };
    // Of another version.
    let store = home.copy_of_store("versions");
    for (version, wanted) in [(5, "`host log` brings it up to date"), (99, "use a newer host")] {
        index(&store).pragma_update(None, "user_version", version).unwrap();
        refused(&store, wanted);
    }
    std::fs::write(store.join("index.sqlite"), "no database, but longer than nothing").unwrap();
    refused(&store, "is damaged");
    // A port in use, and a night that is not there.
    let empty = home.path("empty");
    drop(Store::open(&empty).unwrap());
    let dash = Dash::start(home, &empty);
    let port = dash.place().rsplit(':').next().unwrap();
    let taken = home.host(&["dash", "--port", port]);
    assert!(said(&taken).contains("is in use") && taken.status.code() == Some(1), "{}", said(&taken));
    let missing = home.host(&["dash", "--port", "0", "--night", "7"]);
    assert!(said(&missing).contains("the store has no night 7"), "{}", said(&missing));
    // Without a night; then one without trials begins.
    assert!(dash.get("").contains("The store has no night yet"));
    assert!(dash.get("nights").contains("The store has no night yet"));
    let from = index(&home.path(".host"));
    let (name, blob): (String, String) = from
        .query_row("SELECT policy_name, policy_blob FROM nights", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let policy = Store::open(&home.path(".host")).unwrap().get_blob(&blob.parse().unwrap()).unwrap();
    Store::open(&empty).unwrap().put_blob(&policy).unwrap();
    let sql = "INSERT INTO nights (policy_name, policy_blob, task, context, started_unix_ms)
        SELECT ?1, ?2, hex(zeroblob(32)), hex(zeroblob(32)), 1";
    index(&empty).execute(sql, [&name, &blob]).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let page = dash.get("");
    assert!(status(&page) == 200 && page.contains("No trials yet"), "{page}");
}

#[test]
fn failures_infinite_figures_and_damaged_blobs_are_shown() {
    let (home, _) = Home::after_a_night();
    let failures = two_nights("failures");
    let sql = "UPDATE trials SET verdict = 'failed', bpb = NULL, delta = NULL, reason = 'diverged: 3 at line 4'";
    index(&failures).execute(sql, []).unwrap();
    let dash = Dash::start(home, &failures);
    let page = dash.get("");
    assert!(status(&page) == 200 && page.contains("Failures by kind"), "{page}");
    drop(dash);
    let infinite = two_nights("infinite");
    index(&infinite)
        .execute("UPDATE trials SET bpb = 9e999, delta = -9e999, p_better = 9e999, spread = 9e999", [])
        .unwrap();
    let dash = Dash::start(home, &infinite);
    for path in ["", "nights", "night/1", "night/1?sort=%CE%94&down=1", "night/1/trial/1", "compare?a=1&b=2"] {
        let page = dash.get(path);
        let figures = page.split_once("<main").map_or(page.as_str(), |(_, main)| main);
        assert_eq!(status(&page), 200, "{path}");
        assert!(!figures.contains("NaN") && !figures.contains(">inf"), "{path}: {page}");
    }
    drop(dash);
    // The source of a trial is damaged, later the policy of its night is gone.
    let damaged = two_nights("damaged");
    let blob = |what: &str| {
        let name: String = index(&damaged).query_row(what, [], |row| row.get(0)).unwrap();
        damaged.join("blobs").join(&name[..2]).join(&name[2..])
    };
    std::fs::write(blob("SELECT source_blob FROM trials WHERE night = 1 AND number = 1"), "other bytes").unwrap();
    let dash = Dash::start(home, &damaged);
    assert_eq!(status(&dash.get("night/1")), 200);
    let details = dash.get("night/1/trial/1");
    assert!(status(&details) == 200 && details.contains("is damaged"), "{details}");
    std::fs::remove_file(blob("SELECT policy_blob FROM nights WHERE id = 1")).unwrap();
    // What was read before is still shown, so another process is asked.
    let dash = Dash::start(home, &damaged);
    let page = dash.get("night/2");
    assert!(status(&page) == 500 && page.contains("is missing"), "{page}");
    assert_eq!(status(&dash.get("nights")), 200, "the list needs no policy");
}

#[test]
fn a_locked_store_is_waited_for() {
    let (home, _) = Home::after_a_night();
    let store = two_nights("locked");
    // Another program that lets nobody read.
    let other = index(&store);
    other.pragma_update(None, "locking_mode", "exclusive").unwrap();
    other.execute("UPDATE nights SET started_unix_ms = started_unix_ms", []).unwrap();
    let dash = Dash::start(home, &store);
    let page = dash.get("");
    assert!(status(&page) == 200 && page.contains("another program has locked the index"), "{page}");
    let state = || dash.listen("events").1;
    assert!(state().contains("\"waiting\""), "{}", state());
    drop(other);
    let since = Instant::now();
    while !state().contains("\"ready\"") {
        assert!(since.elapsed().as_secs() < 60, "it is not read again: {}", state());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(status(&dash.get("night/2")), 200);
}

#[test]
fn a_writer_does_not_wait_for_readers() {
    let (home, _) = Home::after_a_night();
    let store = two_nights("written");
    let dash = Dash::start(home, &store);
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let writer = index(&store);
            writer.busy_timeout(Duration::ZERO).unwrap();
            for number in 0..300 {
                let sql = "UPDATE trials SET wall_ms = ?1 WHERE night = 2";
                writer.execute(sql, [number]).expect("nobody is in the way");
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        while !writes.is_finished() {
            assert_eq!(status(&dash.get("night/2")), 200);
            assert_eq!(status(&dash.get("night/2/trial/101")), 200);
        }
    });
}

#[test]
fn clients_that_come_and_go_cost_nothing() {
    let (home, _) = Home::after_a_night();
    let dash = Dash::start(home, &home.path(".host"));
    drop(dash.listen("events"));
    let before = dash.open_files();
    for _ in 0..10_000 {
        let (stream, begin) = dash.listen("events?night=1");
        assert!(begin.starts_with("HTTP/1.1 200") || begin.starts_with("HTTP/1.1 503"), "{begin}");
        drop(stream);
    }
    // More that stay than there are places: the others are asked to come again, and pages are served.
    let staying: Vec<_> = (0..300).map(|_| dash.listen("events")).collect();
    let refused = staying.iter().filter(|(_, begin)| begin.contains("retry-after: 5")).count();
    assert!(refused >= 300 - 256, "{refused} were refused");
    assert_eq!(status(&dash.get("night/1")), 200);
    drop(staying);
    let since = Instant::now();
    while dash.open_files() > before + 4 {
        assert!(since.elapsed().as_secs() < 30, "{} files are open, {before} before", dash.open_files());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(status(&dash.get("events?night=x")), 400);
    assert!(dash.listen("events").1.starts_with("HTTP/1.1 200"), "there are places again");
}

#[test]
fn the_address_is_printed_and_ctrl_c_ends_it_at_once() {
    let (home, _) = Home::after_a_night();
    let mut command = home.command(&["dash", "--port", "0", "--night", "1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("http://127.0.0.1:") && line.ends_with("/night/1\n"), "{line}");
    let since = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

/// How soon a browser shows a night of many trials, in milliseconds: the first time, and again.
fn first_paint(dash: &Dash, store: &Path) -> Option<(Value, Value)> {
    let mut browser = Browser::at(&dash.at("night/1"), Look::DESK)?;
    let times = "(() => { const [page] = performance.getEntriesByType('navigation');
        return { paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime, answer: page.responseStart,
        loaded: page.loadEventEnd, bytes: page.decodedBodySize }; })()";
    browser.wait("performance.getEntriesByName('first-contentful-paint').length > 0");
    let first = browser.value(times);
    browser.go("about:blank");
    browser.go(&dash.at("night/1"));
    browser.wait("performance.getEntriesByName('first-contentful-paint').length > 0");
    browser.shoot("dash-10000");
    let again = browser.value(times);
    println!("first page {first}; the same again {again}");
    browser.value("window.last = document.querySelector('#newest a').textContent");
    // Rows are chosen from all of them.
    let head = "document.querySelector('#all th[data-column=\"trial\"] a')";
    let before = browser.value("performance.now()").as_f64().unwrap();
    for order in ["ascending", "descending"] {
        browser.value(&format!("{head}.click()"));
        browser.wait(&format!("{head}.parentElement.getAttribute('aria-sort') === '{order}'"));
    }
    let sorted = browser.value("performance.now()").as_f64().unwrap() - before;
    assert_eq!(browser.value("document.querySelectorAll('#all tbody tr').length"), 200);
    println!("sorted twice in {sorted:.0} ms");
    // A trial more.
    let since = browser.value("performance.now()").as_f64().unwrap();
    crate::scale::add_trials(&Store::open(store).unwrap(), 1);
    browser.wait("document.querySelector('#newest a').textContent !== window.last");
    let told = browser.value("performance.now()").as_f64().unwrap() - since;
    println!("a new trial after {told:.0} ms");
    Some((first, again))
}

/// A store with many trials in its night.
fn many(count: u64) -> (Home, tempfile::TempDir) {
    let home = Home::new();
    assert!(home.host(&["run", "--policy", "./night.toml"]).status.success());
    // On a disk, each of the writes would wait for it.
    let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    Command::new("cp").arg("-r").arg(home.path(".host")).arg(memory.path().join("store")).status().unwrap();
    crate::scale::add_trials(&Store::open(&memory.path().join("store")).unwrap(), count);
    (home, memory)
}

#[test]
#[ignore = "takes minutes; `cargo test --release --test end_to_end dash:: -- --ignored --nocapture` prints figures"]
fn ten_thousand_trials_are_painted_in_a_second() {
    let (home, memory) = many(10_000);
    let store = memory.path().join("store");
    let dash = Dash::start(&home, &store);
    let Some((first, again)) = first_paint(&dash, &store) else { return };
    for times in [first, again] {
        assert!(times["paint"].as_f64().unwrap() < 1_000.0, "{times}");
    }
    let log = lines(&home.host(&["log", "--json", "--store", store.to_str().unwrap()])).len();
    assert!(log > 10_000, "{log}");
}
