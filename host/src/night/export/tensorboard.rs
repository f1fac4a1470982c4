//! Logs for TensorBoard: a folder for each run with its curves, and one for the night with the champion's score.
//!
//! A file is a list of records (TFRecord): length, its checksum, bytes, their checksum. A record is an `Event` of
//! TensorFlow's protocol buffers, of which three fields are written: wall time, step, and one scalar by its tag.

use crate::night::export::error::ExportError;
use crate::night::export::past::Past;
use crate::night::export::protobuf::Message;
use crate::record::trial::Trial;
use crate::system::atomic_file::{self, WriteError};
use crate::system::sanitize::one_line;
use std::path::{Path, PathBuf};

/// TensorBoard reads files whose names begin so.
const FILE: &str = "events.out.tfevents.0.host";

/// Writes a folder for each run and one for the night.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, past: &Past) -> Result<Vec<PathBuf>, ExportError> {
    let mut written = vec![file(&folder.join("night"), &night(&past.trials))?];
    for run in &past.runs {
        let seconds = run.record.finished_unix_ms as f64 / 1e3;
        let mut log = Log::begin(seconds);
        for point in &run.outcome.curve {
            log.scalar(seconds, point.step, &one_line(&point.key), point.value);
        }
        if let Some(score) = &run.outcome.score {
            log.scalar(seconds, run.outcome.totals.steps, "held-out bits per byte", score.bpb);
        }
        written.push(file(&folder.join(run.name()), &log)?);
    }
    Ok(written)
}

/// By number of the trial: its score, and the champion's after it.
fn night(trials: &[Trial]) -> Log {
    let mut log = Log::begin(trials.first().map_or(0.0, |trial| trial.unix_ms as f64 / 1e3));
    for trial in trials {
        let seconds = trial.unix_ms as f64 / 1e3;
        let Some(bpb) = trial.found.bpb else { continue };
        log.scalar(seconds, trial.number, "trial bits per byte", bpb);
        if trial.is_kept() {
            log.scalar(seconds, trial.number, "champion bits per byte", bpb);
        }
    }
    log
}

fn file(folder: &Path, log: &Log) -> Result<PathBuf, ExportError> {
    let path = folder.join(FILE);
    std::fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.into(), source })?;
    atomic_file::replace(&path, &[&log.0])?;
    Ok(path)
}

/// The bytes of a file of events.
struct Log(Vec<u8>);

impl Log {
    /// A file begins with the version of its format.
    fn begin(seconds: f64) -> Self {
        let mut log = Self(Vec::new());
        let mut event = Message::default();
        event.double(1, seconds);
        event.bytes(3, "brain.Event:2");
        log.record(&event.0);
        log
    }

    fn scalar(&mut self, seconds: f64, step: u64, tag: &str, value: f64) {
        let mut event = Message::default();
        event.double(1, seconds);
        event.varint(2, step);
        event.message(5, |summary| {
            summary.message(1, |scalar| {
                scalar.bytes(1, tag);
                // `simple_value` is a float of 32 bits.
                scalar.float(2, value as f32);
            });
        });
        self.record(&event.0);
    }

    fn record(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64).to_le_bytes();
        self.0.extend(length);
        self.0.extend(masked_checksum(&length).to_le_bytes());
        self.0.extend(bytes);
        self.0.extend(masked_checksum(bytes).to_le_bytes());
    }
}

/// The CRC-32C of TFRecord, rotated and moved by a constant.
fn masked_checksum(bytes: &[u8]) -> u32 {
    let mut checksum = u32::MAX;
    for &byte in bytes {
        checksum ^= u32::from(byte);
        for _ in 0..8 {
            checksum = checksum >> 1 ^ if checksum & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    (!checksum).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C, masked as TFRecord says.
    #[test]
    fn the_checksum_is_that_of_the_format() {
        let unmasked = masked_checksum(b"123456789").wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked, 0xe306_9283);
    }

    #[test]
    fn an_event_has_the_bytes_of_its_protocol_buffer() {
        let mut log = Log(Vec::new());
        log.scalar(1.5, 300, "loss", 0.5);
        let event = b"\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\0\x3f";
        assert_eq!(log.0[..8], (event.len() as u64).to_le_bytes());
        assert_eq!(log.0[12..12 + event.len()], *event);
        assert_eq!(log.0.len(), event.len() + 16);
    }
}
