//! A headless Chromium, driven by its DevTools protocol over two pipes. Tests that need one are skipped where there is
//! none.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The programs that are looked for, in this order.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A page in a browser of its own.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    last: u64,
    session: Option<String>,
    /// What the browser told besides answers.
    pub events: Vec<Value>,
    /// Where the page and what it asks for come from.
    origin: String,
    /// Its settings, caches and sockets.
    _folder: tempfile::TempDir,
}

/// How a reader looks at a page.
#[derive(Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub is_dark: bool,
    pub has_scripts: bool,
}

impl Look {
    pub const DESK: Self = Self { width: 1200, height: 900, is_dark: false, has_scripts: true };
    pub const PHONE: Self = Self { width: 390, height: 844, ..Self::DESK };
}

impl Browser {
    /// Opens a file. Returns none, with a message, where there is no Chromium.
    pub fn open(file: &Path, look: Look) -> Option<Self> {
        Self::at(&format!("file://{}", file.canonicalize().unwrap().display()), look)
    }

    /// Opens an address.
    pub fn at(url: &str, look: Look) -> Option<Self> {
        let Some(program) = found() else {
            eprintln!("skipped: there is no Chromium on this machine; tests/README.md says how to run this test");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        // The browser reads from descriptor 3 and writes to 4.
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"]).arg(program);
        shell.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        shell.args(["--disable-background-networking", "--remote-debugging-pipe"]);
        shell.arg(format!("--user-data-dir={}", folder.path().display())).env("TMPDIR", folder.path());
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
        let (events, session) = (Vec::new(), None);
        let mut browser = Self { child, to, from, last: 0, session, events, origin, _folder: folder };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attached);
        browser.session = session["sessionId"].as_str().map(String::from);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        browser.look(look);
        browser.go(url);
        Some(browser)
    }

    /// Goes to another address, and waits until it is loaded.
    pub fn go(&mut self, url: &str) {
        let before = self.events.len();
        let loader = self.call("Page.navigate", json!({ "url": url }))["loaderId"].clone();
        // The page before may be loaded only now, too.
        let is_loaded = |event: &Value| {
            let (method, params) = (&event["method"], &event["params"]);
            method == "Page.lifecycleEvent" && params["name"] == "load" && params["loaderId"] == loader
        };
        while !self.events[before..].iter().any(is_loaded) {
            let event = self.read();
            self.events.push(event);
        }
    }

    /// Waits until an expression in the page is true.
    pub fn wait(&mut self, expression: &str) {
        let since = std::time::Instant::now();
        while self.value(expression) != true {
            assert!(since.elapsed().as_secs() < 60, "{expression} is not true after a minute");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Runs a script in each page before its own.
    pub fn before_pages(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    pub fn look(&mut self, look: Look) {
        let Look { width, height, is_dark, has_scripts } = look;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!({ "name": "prefers-color-scheme", "value": if is_dark { "dark" } else { "light" } });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [scheme] }));
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !has_scripts }));
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let code = if key == "Escape" { 27 } else { 13 };
            let text = if key == "Enter" && kind == "keyDown" { "\r" } else { "" };
            let pressed = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", pressed);
        }
    }

    /// What the browser had to complain about, and what it loaded besides the page.
    pub fn complaints(&self) -> Vec<String> {
        let is_one = |event: &&Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded" => true,
            "Network.requestWillBeSent" => {
                let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
                event["params"]["type"] != "Document"
                    && !(self.origin.starts_with("http") && url.starts_with(&self.origin))
            }
            _ => false,
        };
        self.events.iter().filter(is_one).map(ToString::to_string).collect()
    }

    /// Writes what is seen into the folder `BROWSER_SHOTS`, if that is set.
    pub fn shoot(&mut self, name: &str) {
        use base64::Engine;
        let Some(folder) = std::env::var_os("BROWSER_SHOTS") else { return };
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        loop {
            let answer = self.read();
            if answer["id"] == self.last {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser went away");
        serde_json::from_slice(&bytes).unwrap()
    }
}

fn found() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let all = NAMES.iter().flat_map(|name| std::env::split_paths(&paths).map(move |folder| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
