//! What commands print. The macros of this module take the place of the standard ones, which panic where the reader of
//! a pipe went away (`host log | head -1`): here printing ends quietly and the command goes on, so that no night is lost.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// Why standard output takes nothing any more.
static CLOSED: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output, unless that failed before.
pub fn write(text: Arguments<'_>) {
    attempt(|out| out.write_fmt(text));
}

/// Writes bytes to standard output, unless that failed before.
pub fn write_bytes(bytes: &[u8]) {
    attempt(|out| out.write_all(bytes));
}

fn attempt(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    if CLOSED.get().is_none() {
        let mut out = io::stdout().lock();
        if let Err(error) = write(&mut out).and_then(|()| out.flush()) {
            let _ = CLOSED.set(error);
        }
    }
}

/// Writes to standard error; nobody can be told where that fails.
pub fn write_error(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// What kept standard output from taking everything, such as a full disk; a reader that went away is no failure.
pub fn failure() -> Option<&'static io::Error> {
    CLOSED.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

macro_rules! print {
    ($($arg:tt)*) => { $crate::cli::out::write(format_args!($($arg)*)) };
}

macro_rules! println {
    () => { $crate::cli::out::write(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::cli::out::write(format_args!("{}\n", format_args!($($arg)*))) };
}

macro_rules! eprintln {
    ($($arg:tt)*) => { $crate::cli::out::write_error(format_args!("{}\n", format_args!($($arg)*))) };
}

pub(crate) use {eprintln, print, println};
