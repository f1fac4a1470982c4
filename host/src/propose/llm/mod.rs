//! Language models over HTTP. Two dialects are spoken: Anthropic's Messages, and the chat completions that OpenAI, Ollama,
//! vLLM, llama.cpp and most others understand. Whatever a server says is hostile input. [`Model`] sends one question and
//! blocks until its answer; [`Writer`] is the proposer made of it. But for these two and [`key`], which reads one file or
//! variable, everything here is pure. Depends on the seam of proposers, on prompts and answers; knows no night.

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
