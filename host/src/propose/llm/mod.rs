//! Language models over HTTP. There are two dialects: Anthropic's Messages, and the chat completions that OpenAI,
//! Ollama, vLLM, llama.cpp and most others support. Everything a server sends is untrusted. [`Model`] sends one
//! question and blocks until the answer; [`Writer`] is the proposer built on it. [`key`] reads one file or variable;
//! nothing else here does I/O. Imports the proposer interface, prompts, answers, `record` and `system`.

mod backoff;
mod client;
mod config;
mod cost;
mod deadline;
mod dialect;
mod error;
pub mod key;
mod key_in_answer;
mod redirect;
mod sse;
mod writer;

pub use client::Model;
pub use config::{Dialect, ModelConfig};
pub use cost::Prices;
pub use dialect::Response;
pub use error::{AskError, Class, OpenError, Phase};
pub use writer::Writer;
