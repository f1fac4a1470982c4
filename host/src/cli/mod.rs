//! Commands: each parses nothing and decides nothing, but calls the library and prints what it says.

mod args;
mod data;
mod doctor;
mod lab;
mod manual;
mod night_view;
mod out;
mod report;
mod run;
mod search;
mod show;
mod text;

pub use run::run;
