//! Offline runs of Weights & Biases: a folder for each run, which `wandb sync` sends.
//!
//! A file is a log in the format of LevelDB: blocks of 32 KiB, in them pieces of records, each with its checksum
//! (CRC-32), length and kind. A record is a `Record` of `wandb_internal.proto`, a message of protocol buffers.

use crate::night::export::error::ExportError;
use crate::night::export::past::Past;
use crate::night::export::protobuf::Message;
use crate::night::export::tracked::{Tracked, date, project, tracked, word};
use crate::system::atomic_file::{self, WriteError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Ident, magic and version of a file.
const BEGIN: &[u8; 7] = b":W&B\xe1\xbe\0";
const BLOCK: usize = 32 << 10;
/// Checksum, length and kind of a piece.
const HEADER: usize = 7;
/// Who writes, and the first version that reads what is written.
const PRODUCER: &str = "nightlab";
const MIN_CONSUMER: &str = "0.70.0";

/// Writes a folder `offline-run-…` for each run, and one for the night.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path, past: &Past) -> Result<Vec<PathBuf>, ExportError> {
    let project = project(past);
    let file = |run: Tracked| {
        let ([year, month, day], [hour, minute, second]) = date(run.began_ms);
        let began = format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}");
        let folder = folder.join(format!("offline-run-{began}-{}", run.id));
        // `wandb sync` looks there for files that go with the run.
        let files = folder.join("files");
        std::fs::create_dir_all(&files).map_err(|source| WriteError { path: files, source })?;
        let path = folder.join(format!("run-{}.wandb", run.id));
        atomic_file::replace(&path, &[&log(&project, &run).bytes])?;
        Ok(path)
    };
    tracked(past).map(file).collect()
}

/// The records of a run. The numbers of fields are those of `wandb_internal.proto`.
fn log(project: &str, run: &Tracked) -> Log {
    let mut log = Log::begin();
    log.record(|record| {
        record.message(21, |header| {
            header.message(1, |version| {
                version.bytes(1, PRODUCER);
                version.bytes(2, MIN_CONSUMER);
            });
        });
    });
    log.record(|record| record.message(17, |message| about(message, project, run)));
    let mut summary: BTreeMap<&str, f64> = BTreeMap::new();
    for (step, row) in &run.rows {
        log.record(|record| {
            record.message(2, |history| {
                for (name, value) in row {
                    history.message(1, |item| value_of(item, name, &number(*value)));
                }
                history.message(1, |item| value_of(item, "_step", &step.to_string()));
                history.message(1, |item| value_of(item, "_timestamp", &number(run.ended_ms as f64 / 1e3)));
                history.message(2, |message| message.varint(1, step.cast_unsigned()));
            });
        });
        summary.extend(row.iter().map(|(name, value)| (name.as_str(), *value)));
    }
    log.record(|record| {
        record.message(3, |message| {
            for (name, value) in &summary {
                message.message(1, |item| value_of(item, name, &number(*value)));
            }
        });
    });
    log.record(|record| {
        record.message(18, |exit| {
            exit.varint(1, u64::from(!run.completed));
            exit.varint(2, run.ended_ms.saturating_sub(run.began_ms) / 1000);
        });
    });
    log
}

/// What is known before the first step.
fn about(message: &mut Message, project: &str, run: &Tracked) {
    message.bytes(1, &run.id);
    message.bytes(3, project);
    message.message(4, |config| {
        for (key, value) in run.config.as_object().into_iter().flatten() {
            config.message(1, |item| {
                item.bytes(1, key);
                item.bytes(16, value.to_string());
            });
        }
    });
    message.bytes(6, &run.group);
    message.bytes(7, &run.role);
    message.bytes(8, &run.name);
    message.bytes(9, &run.notes);
    message.message(17, |time| {
        time.varint(1, run.began_ms / 1000);
        time.varint(2, run.began_ms % 1000 * 1_000_000);
    });
}

/// An item of history or summary. A name is one part of a path: its points and slashes part nothing.
fn value_of(item: &mut Message, name: &str, json: &str) {
    item.bytes(2, name);
    item.bytes(16, json);
}

/// A number in the JSON of W&B.
fn number(value: f64) -> String {
    word(value).map_or_else(|| serde_json::Value::from(value).to_string(), String::from)
}

/// The bytes of a file.
struct Log {
    bytes: Vec<u8>,
    records: u64,
}

impl Log {
    fn begin() -> Self {
        Self { bytes: BEGIN.into(), records: 0 }
    }

    /// A numbered record that `fill` fills.
    fn record(&mut self, fill: impl FnOnce(&mut Message)) {
        self.records = self.records.saturating_add(1);
        let mut record = Message::default();
        record.varint(1, self.records);
        fill(&mut record);
        self.pieces(&record.0);
    }

    /// Cuts a record where blocks end.
    fn pieces(&mut self, mut rest: &[u8]) {
        let mut is_first = true;
        loop {
            let mut room = BLOCK - self.bytes.len() % BLOCK;
            if room < HEADER {
                self.bytes.resize(self.bytes.len() + room, 0);
                room = BLOCK;
            }
            let (piece, after) = rest.split_at(rest.len().min(room - HEADER));
            let kind = match (is_first, after.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            self.piece(kind, piece);
            if after.is_empty() {
                return;
            }
            (rest, is_first) = (after, false);
        }
    }

    fn piece(&mut self, kind: u8, piece: &[u8]) {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&[kind]);
        checksum.update(piece);
        self.bytes.extend(checksum.finalize().to_le_bytes());
        // A piece fits into a block, and so its length into 16 bits.
        self.bytes.extend((piece.len() as u16).to_le_bytes());
        self.bytes.push(kind);
        self.bytes.extend(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a log, read as the format says.
    fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
        assert_eq!(bytes[..HEADER], *BEGIN);
        let (mut at, mut records, mut open) = (HEADER, Vec::new(), None::<Vec<u8>>);
        while at < bytes.len() {
            let room = BLOCK - at % BLOCK;
            if room < HEADER {
                assert!(bytes[at..at + room].iter().all(|byte| *byte == 0));
                at += room;
                continue;
            }
            let (header, kind) = (&bytes[at..at + HEADER], bytes[at + 6]);
            let length = usize::from(u16::from_le_bytes(header[4..6].try_into().unwrap()));
            assert!(HEADER + length <= room, "a piece ends with its block");
            let piece = &bytes[at + HEADER..at + HEADER + length];
            assert_eq!(header[..4], crc32fast::hash(&[&[kind], piece].concat()).to_le_bytes());
            assert_eq!(open.is_some(), matches!(kind, 3 | 4));
            open.get_or_insert_default().extend(piece);
            if matches!(kind, 1 | 4) {
                records.extend(open.take());
            }
            at += HEADER + length;
        }
        assert!(open.is_none());
        records
    }

    /// They are those that the package `wandb` writes for the same record.
    #[test]
    fn a_record_has_the_bytes_of_the_format() {
        let mut log = Log::begin();
        log.record(|record| record.message(18, |exit| exit.varint(1, 1)));
        let record = b"\x08\x01\x92\x01\x02\x08\x01";
        assert_eq!(log.bytes, [BEGIN, b"\xd0\x3f\x1b\xfe\x07\x00\x01" as &[u8], record].concat());
    }

    #[test]
    fn records_of_every_length_are_read_as_they_are_written() {
        let mut log = Log::begin();
        // Some end just before, at and just after the end of a block, or leave no room for a header.
        let lengths = [0, 1, BLOCK - 27, 3 * BLOCK, 5, BLOCK - HEADER, BLOCK - 2 * HEADER, BLOCK - HEADER - 3, 40];
        let lengths = lengths.into_iter().chain(BLOCK - 20..BLOCK);
        let written: Vec<Vec<u8>> = lengths.map(|length| vec![length as u8; length]).collect();
        written.iter().for_each(|record| log.pieces(record));
        assert_eq!(read(&log.bytes), written);
    }

    #[test]
    fn numbers_that_are_none_have_words() {
        let words = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5, -0.0].map(number);
        assert_eq!(words, ["NaN", "Infinity", "-Infinity", "1.5", "-0.0"]);
    }
}
