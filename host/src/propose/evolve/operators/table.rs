//! The structural operators, in the order in which they are tried. A new operator is a file beside this one and a row
//! here.

use crate::propose::evolve::operators::guest::Operator;
use crate::propose::evolve::operators::{activation, norm, optimizer, schedule, sizes, softcap, windows};

pub const OPERATORS: &[Operator] = &[
    (activation::NAME, activation::sites),
    (norm::NAME, norm::sites),
    (windows::NAME, windows::sites),
    (sizes::DEPTH_AGAINST_WIDTH, sizes::depth_against_width),
    (sizes::BATCH_AGAINST_SEQUENCE, sizes::batch_against_sequence),
    (schedule::NAME, schedule::sites),
    (optimizer::NAME, optimizer::sites),
    (softcap::NAME, softcap::sites),
];
