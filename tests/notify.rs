//! `[notify]`: a night tells a web address and a command of its end.

use crate::common::home::{Home, said};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

/// Answers one request with this status, and returns its body.
fn answer_once(listener: TcpListener, status: &'static str) -> thread::JoinHandle<Value> {
    thread::spawn(move || {
        listener.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + Duration::from_secs(300);
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => assert!(Instant::now() < deadline, "nobody told"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        stream.set_nonblocking(false).unwrap();
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = given.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        write!(reader.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        serde_json::from_slice(&body).unwrap()
    })
}

fn add(home: &Home, table: &str) {
    let policy = std::fs::read_to_string(home.path("night.toml")).unwrap();
    let before = policy.split("\n[notify]").next().unwrap();
    std::fs::write(home.path("night.toml"), format!("{before}\n[notify]\n{table}")).unwrap();
}

#[test]
fn the_end_of_a_night_is_told_to_an_address_and_a_command() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
    let command = r#"command = ["sh", "-c", "echo \"$1\" >> told; echo \"$NIGHTLAB_MESSAGE\" >> told", "tell"]"#;
    add(&home, &format!("on = [\"end\"]\nwebhook = \"{address}\"\n{command}\n"));
    let told = answer_once(listener, "200 OK");
    let night = home.host(&["run", "--policy", "./night.toml", "--experiments", "1"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    let told = told.join().unwrap();
    assert_eq!(told["event"], "end");
    assert!(told["text"].as_str().unwrap().starts_with("nightlab: the night has ended after "), "{told}");
    let lines = std::fs::read_to_string(home.path("told")).unwrap();
    let (text, json) = lines.split_once('\n').unwrap();
    assert_eq!((Value::from(text), serde_json::from_str::<Value>(json).unwrap()), (told["text"].clone(), told.clone()));

    // Another address is the same night, and an address that fails is a note without its secret.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
    let refuses = answer_once(listener, "404 Not Found");
    add(&home, &format!("webhook = \"{address}\"\n"));
    let night = home.host(&["run", "--policy", "./night.toml", "--experiments", "1"]);
    refuses.join().unwrap();
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    assert!(said(&night).contains("the webhook was not told: it answered 404 Not Found"), "{}", said(&night));
    assert!(!said(&night).contains("hidden"), "{}", said(&night));
    let index = std::fs::read(home.path(".host/index.sqlite")).unwrap();
    assert!(!index.windows(6).any(|bytes| bytes == b"hidden"));
}

#[test]
fn a_wrong_table_is_refused_with_its_line() {
    let home = Home::new();
    add(&home, "webhook = \"ftp://x\"\n");
    let checked = home.host(&["policy", "check", "./night.toml"]);
    assert!(said(&checked).contains("must begin with https:// or http://"), "{}", said(&checked));
    add(&home, "on = [\"always\"]\n");
    assert!(said(&home.host(&["policy", "check", "./night.toml"])).contains("`keep`, `end`, `fault`"));
}
