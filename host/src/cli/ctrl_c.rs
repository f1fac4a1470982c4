//! Signals that stop a command in order.

use crate::cli::out::eprintln;
use anyhow::{Context, Result};
use nightlab::night::Stop;
use nightlab::system::user_file;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::path::Path;
use std::sync::Arc;

/// Counts presses of Ctrl-C. The night checks the counter. The end of the session (SIGTERM, or SIGHUP when the terminal
/// closes) counts as two.
pub fn stop_on_ctrl_c() -> Result<Arc<Stop>> {
    let stop = Arc::new(Stop::new());
    let handler = stop.clone();
    let mut heard = vec![SIGINT, SIGTERM];
    // `nohup` makes a night go on without its terminal.
    if !is_ignored(SIGHUP) {
        heard.push(SIGHUP);
    }
    let mut signals = signal_hook::iterator::Signals::new(heard).context("cannot listen for Ctrl-C")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            handler.press();
            if signal != SIGINT {
                handler.press();
            }
            if handler.now() {
                eprintln!("\nstopping now; what was finished is kept");
            } else {
                eprintln!("\nfinishing the experiment in hand; Ctrl-C again stops now");
            }
        }
    });
    Ok(stop)
}

/// Whether this process was started with the signal ignored, as the system tells it.
fn is_ignored(signal: i32) -> bool {
    let status = user_file::read(Path::new("/proc/self/status"), user_file::MAX_TEXT_BYTES).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
