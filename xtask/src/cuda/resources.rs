//! What each kernel takes of a card, as ptxas tells it, and the table of it.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Of one kernel on one architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of shared memory of a block.
    pub shared: u32,
    /// Bytes of a thread's stack.
    pub stack: u32,
    /// Bytes that a thread stores and loads because registers did not suffice.
    pub spilled: u32,
}

/// Of each kernel of a source.
pub type Kernels = BTreeMap<String, Usage>;

/// What `ptxas -v` says.
pub fn read(said: &str) -> Result<Kernels> {
    let mut kernels = Kernels::new();
    let mut name = None;
    for line in said.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            name = rest.split('\'').next().map(str::to_owned);
            continue;
        }
        let Some(usage) = name.clone().map(|name| kernels.entry(name).or_default()) else { continue };
        let before = |what: &str| -> Result<Option<u32>> {
            let Some((before, _)) = line.split_once(what) else { return Ok(None) };
            let number = before.rsplit(' ').next().unwrap_or_default();
            Ok(Some(number.parse().with_context(|| format!("ptxas: {line}"))?))
        };
        for (what, to) in [
            (" bytes stack frame", &mut usage.stack),
            (" bytes spill stores", &mut usage.spilled),
            (" registers", &mut usage.registers),
            (" bytes smem", &mut usage.shared),
        ] {
            if let Some(number) = before(what)? {
                *to = number;
            }
        }
        usage.spilled += before(" bytes spill loads")?.unwrap_or_default();
    }
    Ok(kernels)
}

/// Rows are kernels, by source, and columns are architectures.
pub fn table(architectures: &[&str], sources: &BTreeMap<String, Vec<Kernels>>) -> String {
    let mut text = String::new();
    for (source, by_architecture) in sources {
        let mut line = format!("{source:<26}");
        architectures.iter().for_each(|architecture| line.push_str(&format!("{architecture:<12}")));
        writeln!(text, "\n{}", line.trim_end()).expect("a String takes all");
        let names: BTreeMap<&String, ()> =
            by_architecture.iter().flat_map(|k| k.keys().map(|name| (name, ()))).collect();
        for name in names.keys() {
            let mut line = format!("  {name:<24}");
            for kernels in by_architecture {
                line.push_str(&format!("{:<12}", kernels.get(*name).map_or_else(|| "none".to_owned(), cell)));
            }
            writeln!(text, "{}", line.trim_end()).expect("a String takes all");
        }
    }
    text
}

/// Registers, and what else there is.
fn cell(usage: &Usage) -> String {
    let mut cell = usage.registers.to_string();
    for (what, bytes) in [("+", usage.shared), (" stack ", usage.stack), (" spills ", usage.spilled)] {
        if bytes > 0 {
            cell.push_str(&format!("{what}{bytes}"));
        }
    }
    cell
}

/// Lines that differ: those of the first text with −, those of the second with +.
pub fn difference(old: &str, new: &str) -> String {
    let lines = |text: &str, other: &str, mark: &str| {
        let other: Vec<String> = other.lines().map(str::to_owned).collect();
        let own = text.lines().filter(|line| !other.iter().any(|o| o == line));
        own.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    lines(old, new, "-") + &lines(new, old, "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'one' for 'sm_90'
ptxas info    : Function properties for one
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers, 372 bytes cmem[0]
ptxas info    : Compiling entry function 'two' for 'sm_90'
ptxas info    : Function properties for two
    16 bytes stack frame, 20 bytes spill stores, 24 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 33536 bytes smem
ptxas info    : Compile time = 2.935 ms
";

    #[test]
    fn what_ptxas_says_becomes_a_table() {
        let kernels = read(SAID).unwrap();
        assert_eq!(kernels["one"], Usage { registers: 10, ..Usage::default() });
        assert_eq!(kernels["two"], Usage { registers: 255, shared: 33536, stack: 16, spilled: 44 });
        let table = table(&["sm_90"], &BTreeMap::from([("a.cu".to_owned(), vec![kernels])]));
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["a.cu", "sm_90"]);
        assert_eq!(rows[2], ["one", "10"]);
        assert_eq!(rows[3], ["two", "255+33536", "stack", "16", "spills", "44"]);
        assert_eq!(difference("a\nb\n", "a\nc\n"), "- b\n+ c\n");
    }
}
