//! Prints the output of commands. The macros here replace the standard ones, which panic if the reader of a pipe closes
//! it (`host log | head -1`). These macros stop printing and let the command continue, so that no night is lost.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

/// The error that closed standard output.
static CLOSED: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output, unless it failed before.
pub fn write(text: Arguments<'_>) {
    attempt(|out| out.write_fmt(text));
}

/// Writes bytes to standard output, unless it failed before.
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

/// Writes to standard error. A failure is ignored, because there is no place to report it.
pub fn write_error(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// The error of standard output, such as a full disk. A closed pipe is not an error.
pub fn failure() -> Option<&'static io::Error> {
    CLOSED.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// Whether nobody reads standard output any more, or it failed.
pub fn is_closed() -> bool {
    CLOSED.get().is_some()
}

/// Whether standard output shows colours: it is a terminal, and nobody asks for none (<https://no-color.org>).
pub fn shows_colours() -> bool {
    io::stdout().is_terminal() && !is_dumb() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether standard error can show a bar that is drawn again and again.
pub fn shows_bars() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

/// Whether standard output is a terminal that can be drawn on.
pub fn shows_screens() -> bool {
    io::stdout().is_terminal() && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
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
