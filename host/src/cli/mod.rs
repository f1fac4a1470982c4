//! The command line. `args` defines the arguments. Each command calls the library and prints the result; the work
//! itself belongs in the library. May import every room. Start with `run`, which
//! knows which function each command calls.

mod args;
mod args_house;
mod args_swarm;
mod commons;
mod community;
mod ctrl_c;
mod dash;
mod data;
mod diff;
mod doctor;
mod export;
mod ideas;
mod lab;
mod manual;
mod mutation;
mod night_view;
mod out;
mod outlook;
mod promote;
mod report;
mod run;
mod score;
mod search;
mod show;
mod split;
mod store;
mod swarm;
mod text;
mod top;
mod verify;

pub use run::{fail, run};
