//! The end-to-end tests: one module per topic, in one binary that is linked once. Quick topics come first.
//! `cargo test --release --test end_to_end TOPIC::` runs one topic.

mod common;

mod manual;
mod rooms;
mod tidy;

mod models;
mod sdk;

mod causality;
mod collection;
mod command;
mod commons;
mod community;
mod hostile;
mod identity;
mod index;
mod limits;
mod modules;
mod sandbox;
mod verify;
mod walls;

mod answers;
mod browser;
mod champion;
mod cli;
mod cuda;
mod dash;
mod data;
mod diff;
mod export;
mod faults;
mod jobs;
mod languages;
mod machine;
mod mcp;
mod nights;
mod notify;
mod odd_servers;
mod operators;
mod outlook;
mod output;
mod promote;
mod proposers;
mod queries;
mod report;
mod scale;
mod score;
mod screens;
mod strangers;
mod swarm;
mod top;
