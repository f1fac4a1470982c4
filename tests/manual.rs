//! Shell completions and manual pages: every command has them, and the programs that read them accept them.

use crate::common::HOST;
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn host(args: &[&str]) -> Output {
    let output = Command::new(HOST).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn text(args: &[&str]) -> String {
    String::from_utf8(host(args).stdout).unwrap()
}

/// The commands that the help lists, except `help` itself.
pub fn commands(of: &[&str]) -> Vec<String> {
    let help = text(&[of, &["--help"]].concat());
    let list = help.split_once("\nCommands:\n").map_or("", |(_, list)| list).split("\n\n").next().unwrap_or_default();
    // Continuation lines of a description are indented more.
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(String::from).collect()
}

#[test]
fn every_shell_gets_completions_for_every_command() {
    let commands = commands(&[]);
    assert!(commands.len() > 10, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&["completions", shell]);
        let missing: Vec<_> = commands.iter().filter(|command| !script.contains(command.as_str())).collect();
        assert!(missing.is_empty(), "{shell}: {missing:?}");
    }
    assert_eq!(Command::new(HOST).args(["completions", "cmd"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn bash_reads_its_completions() {
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        ". /dev/stdin && COMP_WORDS=(host pol) COMP_CWORD=1 && _host host pol host && echo ${COMPREPLY[@]}",
    ]);
    let mut bash = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(&host(&["completions", "bash"]).stdout).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "policy\n", "{output:?}");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man");
    host(&["man", pages.to_str().unwrap()]);
    let page = |name: &str| std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
    assert_eq!(page("host"), text(&["man"]));
    for command in commands(&[]) {
        assert!(page(&format!("host-{command}")).contains(".SH SYNOPSIS"), "{command}");
        for sub in commands(&[&command]) {
            assert!(page(&format!("host-{command}-{sub}")).contains(".SH SYNOPSIS"), "{command} {sub}");
        }
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let failed = Command::new(HOST).args(["man".as_ref(), file.as_os_str()]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("cannot write manual pages into"), "{failed:?}");
}
