//! Signals that stop a command in order.

use crate::cli::out::eprintln;
use anyhow::{Context, Result};
use nightlab::night::Stop;
use std::sync::Arc;

/// Counts presses of Ctrl-C. The night checks the counter.
pub fn stop_on_ctrl_c() -> Result<Arc<Stop>> {
    let stop = Arc::new(Stop::new());
    let handler = stop.clone();
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .context("cannot listen for Ctrl-C")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            handler.press();
            if signal == signal_hook::consts::SIGTERM {
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
