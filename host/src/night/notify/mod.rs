//! Tells people who do not watch: at a keep, at the end of the night, and when the machine fails. `message` says what
//! and is pure; `send` delivers it to a web address or a command. A night never waits for a message, but at its end.

mod message;
mod notifier;
mod send;

pub use message::Message;
pub use notifier::Notifier;
