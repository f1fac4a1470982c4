//! One file of the user as text: unpacked if it is compressed, taken apart if it holds JSON lines, refused or left out
//! if it is no text. Reads with bounded memory, however much a compressed file claims to hold.

use crate::data::corpus::BOUNDARY;
use crate::data::error::DataError;
use crate::system::sanitize;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes that one read takes, and of which the format is told.
const BLOCK: usize = 64 << 10;
/// Longest line of JSON lines, in bytes.
const MAX_LINE: u64 = 64 << 20;
/// Most bytes that the lines of one file of JSON lines may have, text and all other fields.
const MAX_LINES_BYTES: u64 = 8 << 30;
/// Most memory that the decoder of an xz file may take. `xz -9` asks for 65 MiB.
const MAX_XZ_MEMORY: u64 = 256 << 20;

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// Text: documents with a [`BOUNDARY`] between them, none empty.
    Text(Vec<u8>),
    /// No text.
    Other(Kind),
    /// More than the caller can take.
    TooLarge,
}

/// A format that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in a sentence.
    pub name: &'static str,
    /// Whether it may hold a whole data set, so that a corpus without it would not be what its owner means.
    holds_data: bool,
    /// The command that makes text of it: what comes before the file's name, and what comes after.
    command: Option<(&'static str, &'static str)>,
}

impl Kind {
    /// An empty file.
    pub const EMPTY: Self = Self::plain("empty");
    const BINARY: Self = Self::plain("binary, no text");

    const fn plain(name: &'static str) -> Self {
        Self { name, holds_data: false, command: None }
    }

    const fn of(name: &'static str, holds_data: bool, before: &'static str, after: &'static str) -> Self {
        Self { name, holds_data, command: Some((before, after)) }
    }

    /// Whether a folder that holds such a file is refused.
    pub fn is_refused_in_folders(self) -> bool {
        self.holds_data
    }

    /// The error for a file that its owner named.
    pub fn refusal(self, path: &Path) -> DataError {
        match self.command {
            None => DataError::Refused { path: path.to_owned(), why: self.name },
            Some((before, after)) => {
                let command = format!("{before} {}{after}", sanitize::shell_word(&path.to_string_lossy()));
                DataError::Foreign { path: path.to_owned(), format: self.name, command }
            }
        }
    }
}

const PARQUET: &str = "pip install pyarrow && python3 -c 'import json,sys,pyarrow.parquet as p\n\
    for b in p.ParquetFile(sys.argv[1]).iter_batches(columns=[\"text\"]):\n  \
    for t in b.column(0).to_pylist(): print(json.dumps({\"text\": t or \"\"}))'";
const ARROW: &str = "pip install pyarrow && python3 -c 'import json,sys,pyarrow.feather as f\n\
    for t in f.read_table(sys.argv[1])[\"text\"].to_pylist(): print(json.dumps({\"text\": t or \"\"}))'";

/// Formats by the bytes that they begin with, at an offset.
const FORMATS: [(usize, &[u8], Kind); 12] = [
    (0, b"PAR1", Kind::of("a Parquet file", true, PARQUET, " > text.jsonl")),
    (0, b"ARROW1", Kind::of("an Arrow file", true, ARROW, " > text.jsonl")),
    (0, b"PK\x03\x04", Kind::of("a zip archive", false, "unzip", " -d text")),
    (257, b"ustar", Kind::of("a tar archive", false, "mkdir text && tar -C text -xf", "")),
    (0, b"7z\xbc\xaf\x27\x1c", Kind::of("a 7z archive", false, "7z x -otext", "")),
    (0, b"Rar!\x1a\x07", Kind::of("a rar archive", false, "mkdir text && unrar x", " text/")),
    (0, b"%PDF-", Kind::of("a PDF file", false, "pdftotext", " text.txt")),
    (0, b"SQLite format 3\0", Kind::of("a SQLite database", false, "sqlite3", " .dump > text.txt")),
    (0, b"\x04\x22\x4d\x18", Kind::of("an lz4 file", false, "lz4 -dc", " > text.txt")),
    (0, b"LZIP", Kind::of("an lzip file", false, "lzip -dc", " > text.txt")),
    (0, b"\xff\xfe", Kind::of("UTF-16 text", false, "iconv -f UTF-16 -t UTF-8", " > text.txt")),
    (0, b"\xfe\xff", Kind::of("UTF-16 text", false, "iconv -f UTF-16 -t UTF-8", " > text.txt")),
];

/// The format of a file that begins with `head`, if it is one that is not read.
fn foreign(head: &[u8]) -> Option<Kind> {
    let named = FORMATS.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    named.map(|format| format.2).or_else(|| head.contains(&BOUNDARY).then_some(Kind::BINARY))
}

/// Reads the file `path`, at most `most` bytes of text. `field` is the field of a JSON line that holds its text.
pub fn read(path: &Path, field: &str, most: u64) -> Result<Content, DataError> {
    let failed = |source| DataError::Io { path: path.to_owned(), source };
    let mut file = BufReader::with_capacity(BLOCK, File::open(path).map_err(failed)?);
    let mut unpacked = BufReader::with_capacity(BLOCK, unpack(&mut file).map_err(failed)?);
    let head = fill(&mut unpacked).map_err(failed)?;
    if head.is_empty() {
        return Ok(Content::Other(Kind::EMPTY));
    }
    if let Some(kind) = foreign(&head) {
        return Ok(Content::Other(kind));
    }
    let mut text = io::Cursor::new(head).chain(unpacked);
    if holds_json_lines(path) { json_lines(&mut text, path, field, most) } else { plain(text, most).map_err(failed) }
}

/// The first [`BLOCK`] bytes, or all if there are fewer.
fn fill(source: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    source.take(BLOCK as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// The content of a file that may be compressed, told by its first bytes.
fn unpack<'a>(file: &'a mut BufReader<File>) -> io::Result<Box<dyn Read + 'a>> {
    let head = file.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(MultiGzDecoder::new(file)));
    }
    if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        let stream = liblzma::stream::Stream::new_stream_decoder(MAX_XZ_MEMORY, liblzma::stream::CONCATENATED)?;
        return Ok(Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream)));
    }
    if head.starts_with(b"BZh") && head.get(4..10) == Some(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59]) {
        return Ok(Box::new(bzip2::bufread::MultiBzDecoder::new(file)));
    }
    let is_zstd = |head: &[u8]| matches!(head, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    if is_zstd(head) {
        return Ok(Box::new(Zstd { source: file, frame: FrameDecoder::new(), is_open: false }));
    }
    Ok(Box::new(file))
}

/// The frames of a zstd file, one after the other.
struct Zstd<R> {
    source: R,
    frame: FrameDecoder,
    is_open: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame that holds data. Returns false at the end of the file.
    fn open(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.source.by_ref().take(u64::from(length)), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_open && !self.open()? {
                return Ok(0);
            }
            self.is_open = true;
            if self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.frame.decode_blocks(&mut self.source, one).map_err(io::Error::other)?;
            }
            let read = self.frame.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            if self.frame.is_finished() {
                let promised = self.frame.get_checksum_from_data();
                if promised.is_some() && promised != self.frame.get_calculated_checksum() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the zstd checksum does not match"));
                }
                self.is_open = false;
            }
        }
    }
}

fn holds_json_lines(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let packed = [".gz", ".zst", ".zstd", ".xz", ".bz2"].iter().find_map(|end| name.strip_suffix(end));
    let name = packed.unwrap_or(&name);
    name.ends_with(".jsonl") || name.ends_with(".ndjson")
}

/// A text as it is, as one document.
fn plain(mut source: impl Read, most: u64) -> io::Result<Content> {
    let mut text = Vec::new();
    loop {
        let from = text.len();
        if source.by_ref().take(BLOCK as u64).read_to_end(&mut text)? == 0 {
            return Ok(Content::Text(text));
        }
        if text[from..].contains(&BOUNDARY) {
            return Ok(Content::Other(Kind::BINARY));
        }
        if text.len() as u64 > most {
            return Ok(Content::TooLarge);
        }
    }
}

/// The text of each line, as a document of its own.
fn json_lines(source: &mut dyn BufRead, path: &Path, field: &str, most: u64) -> Result<Content, DataError> {
    let failed = |source| DataError::Io { path: path.to_owned(), source };
    let (mut text, mut line) = (Vec::new(), Vec::new());
    let (mut number, mut bytes) = (0, 0);
    loop {
        line.clear();
        let read = source.take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(failed)? as u64;
        number += 1;
        bytes += read;
        let wrong = |why| DataError::Line { path: path.to_owned(), line: number, why };
        if read > MAX_LINE || bytes > MAX_LINES_BYTES {
            return Err(wrong(format!("lines may have {MAX_LINE} bytes each and {MAX_LINES_BYTES} together")));
        }
        if read == 0 {
            return Ok(if text.is_empty() { Content::Other(Kind::EMPTY) } else { Content::Text(text) });
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let document = document(&line, field).map_err(wrong)?;
        if document.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push(BOUNDARY);
        }
        text.extend_from_slice(document.as_bytes());
        if text.len() as u64 > most {
            return Ok(Content::TooLarge);
        }
    }
}

/// The text in `field` of a JSON line.
fn document(line: &[u8], field: &str) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|error| format!("no JSON: {error}"))?;
    let serde_json::Value::Object(mut fields) = value else { return Err("no JSON object".into()) };
    match fields.remove(field) {
        Some(serde_json::Value::String(text)) if text.as_bytes().contains(&BOUNDARY) => {
            Err(format!("the text in \"{field}\" holds a zero byte, which stands between documents"))
        }
        Some(serde_json::Value::String(text)) => Ok(text),
        _ => {
            let texts: Vec<_> = fields.iter().filter(|(_, value)| value.is_string()).map(|(name, _)| name).collect();
            Err(format!(
                "no text in the field \"{field}\"; fields with text: {texts:?}; `--field NAME` chooses another"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    type Packer = fn(&[u8]) -> Vec<u8>;

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        liblzma::read::XzEncoder::new(text, 1).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bzip2::read::BzEncoder::new(text, bzip2::Compression::fast()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn read_as(name: &str, bytes: &[u8], most: u64) -> Result<Content, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, "text", most)
    }

    #[test]
    fn compressed_text_is_read_and_cut_short_files_are_errors() {
        let text = "to be, or not to be\n".repeat(20_000).into_bytes();
        // A frame for other programs, as `pzstd` writes them.
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
        let packers: [Packer; 4] = [gzip, zstd, xz, bzip2];
        for (pack, between) in packers.into_iter().zip([&b""[..], skipped, b"", b""]) {
            let once = pack(&text);
            assert_eq!(read_as("a", &once, 1 << 30).unwrap(), Content::Text(text.clone()));
            let twice = [&once, between, &once].concat();
            assert_eq!(read_as("a", &twice, 1 << 30).unwrap(), Content::Text([text.clone(), text.clone()].concat()));
            assert!(matches!(read_as("a", &once[..once.len() * 3 / 4], 1 << 30), Err(DataError::Io { .. })));
        }
    }

    /// A few kilobytes that unpack to 64 MB.
    #[test]
    fn a_bomb_ends_at_the_cap() {
        for pack in [gzip, zstd, xz, bzip2] {
            assert_eq!(read_as("a", &pack(&vec![b'a'; 64 << 20]), 1 << 20).unwrap(), Content::TooLarge);
            assert_eq!(read_as("a", &pack(&vec![0; 64 << 20]), 1 << 20).unwrap(), Content::Other(Kind::BINARY));
        }
    }

    #[test]
    fn json_lines_become_documents() {
        let lines = "{\"text\": \"one\", \"id\": 1}\n\n{\"id\": 2, \"text\": \"tw\\u00f6\\n\"}\r\n{\"text\": \"\"}\n{\"text\": \"three\"}";
        let text = Content::Text("one\0twö\n\0three".into());
        assert_eq!(read_as("a.jsonl", lines.as_bytes(), 100).unwrap(), text);
        assert_eq!(read_as("A.JSONL.gz", &gzip(lines.as_bytes()), 100).unwrap(), text);
        assert_eq!(read_as("a.txt", lines.as_bytes(), 1000).unwrap(), Content::Text(lines.into()));
        assert_eq!(read_as("a.jsonl", lines.as_bytes(), 5).unwrap(), Content::TooLarge);
        for (line, word) in [
            ("{\"content\": \"one\", \"id\": 1}", "fields with text: [\"content\"]"),
            ("{\"text\": 5}", "no text in the field"),
            ("[1]", "no JSON object"),
            ("{", "no JSON"),
            ("{\"text\": \"a\\u0000b\"}", "zero byte"),
        ] {
            let error = read_as("a.ndjson", format!("{{\"text\": \"x\"}}\n{line}\n").as_bytes(), 1000).unwrap_err();
            assert!(error.to_string().contains(word) && error.to_string().contains("line 2"), "{error}");
        }
    }

    #[test]
    fn other_formats_are_named_with_a_command() {
        let name = |bytes: &[u8]| match read_as("it's.bin", bytes, 1 << 20).unwrap() {
            Content::Other(kind) => kind.refusal(Path::new("it's.bin")).to_string(),
            content => panic!("{content:?}"),
        };
        assert!(name(b"PAR1....").contains("a Parquet file") && name(b"PAR1").contains("'it'\\''s.bin' > text.jsonl"));
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(name(&gzip(&tar)).contains("a tar archive"));
        assert!(name(b"\xff\xfea\0").contains("iconv -f UTF-16"));
        assert!(name(b"a\0b").contains("binary") && name(b"").contains("empty"));
        let mut late = vec![b'a'; 3 * BLOCK];
        late.push(0);
        assert!(name(&late).contains("binary"));
    }
}
