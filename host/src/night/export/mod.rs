//! A night in the formats of other tools: tables (CSV, Parquet), a Git repository, logs for TensorBoard, runs of
//! Weights & Biases and of Trackio, and its champion as a model that NumPy runs. Reads the store, and writes into a
//! folder that the user names. May import `data`, `guest`, `record`, `policy` and `system`.
//!
//! What is written is a function of the night, so writing it again changes nothing.

mod champion;
mod csv;
mod error;
mod parquet;
mod past;
mod protobuf;
mod repository;
mod table;
mod tensorboard;
#[cfg(test)]
mod tests;
mod tracked;
mod trackio;
mod wandb;

pub use self::champion::{Champion, constants, graph_json, write as write_champion};
pub use self::csv::write as write_tables;
pub use self::parquet::write as write_parquet;
pub use error::ExportError;
pub use past::{Guest, Keep, Past, Run};
pub use repository::write as write_repository;
pub use tensorboard::write as write_tensorboard;
pub use trackio::write as write_trackio;
pub use wandb::write as write_wandb;
