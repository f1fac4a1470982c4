//! Reads and writes a file that the user names: a policy, a source, a brief, a picture. Never waits for a pipe, reads
//! no device, and holds at most the cap in memory.

use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, open};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::Path;

/// Largest policy, profile or brief in bytes.
pub const MAX_TEXT_BYTES: u64 = 1 << 20;

/// The text of a plain file, at most `cap` bytes.
///
/// # Errors
/// The file cannot be read, is no plain file, has more than `cap` bytes, or is no UTF-8 text.
pub fn read(path: &Path, cap: u64) -> Result<String> {
    String::from_utf8(read_bytes(path, cap)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::new(ErrorKind::InvalidData, format!("it is no UTF-8 text: byte {at} is wrong"))
    })
}

/// Like [`read`], for a file that need not be text.
///
/// # Errors
/// The file cannot be read, is no plain file, or has more than `cap` bytes.
pub fn read_bytes(path: &Path, cap: u64) -> Result<Vec<u8>> {
    // Non-blocking, because opening a pipe would otherwise hang until a writer comes. The open file is checked, so that
    // nothing can take its place in between.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(Error::from)?;
    if FileType::from_raw_mode(fstat(&file).map_err(Error::from)?.st_mode) != FileType::RegularFile {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no plain file: write it to one first"));
    }
    let mut bytes = Vec::new();
    File::from(file).take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {cap} bytes, which is the limit")));
    }
    Ok(bytes)
}

/// Writes a file, or into a pipe that somebody reads.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::from_raw_mode(0o666)) {
        Err(Errno::NXIO) => return Err(Error::new(ErrorKind::BrokenPipe, "it is a pipe that nobody reads")),
        opened => opened.map_err(Error::from)?,
    };
    // A slow reader is waited for.
    fcntl_setfl(&file, OFlags::empty()).map_err(Error::from)?;
    File::from(file).write_all(content.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_up_to_the_cap() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("text"), "naïve").unwrap();
        std::os::unix::fs::symlink(at("text"), at("link")).unwrap();
        assert_eq!(read(&at("link"), 6).unwrap(), "naïve");
        assert_eq!(read(&at("text"), 5).unwrap_err().kind(), ErrorKind::FileTooLarge);
        std::fs::write(at("bytes"), b"ab\xff").unwrap();
        assert!(read(&at("bytes"), 9).unwrap_err().to_string().contains("byte 2"));
        assert_eq!(read(&at("none"), 9).unwrap_err().kind(), ErrorKind::NotFound);
        let hole = File::create(at("hole")).unwrap();
        hole.set_len(3 << 30).unwrap();
        assert_eq!(read(&at("hole"), 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let fifo = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, fifo, 0).unwrap();
        for path in [at("fifo"), "/dev/zero".into(), "/dev/null".into(), folder.path().to_owned()] {
            assert_eq!(read(&path, 9).unwrap_err().kind(), ErrorKind::InvalidInput, "{}", path.display());
        }
        assert!(write(&at("fifo"), "x").unwrap_err().to_string().contains("nobody reads"));
        write(&at("text"), "new").unwrap();
        assert_eq!(read(&at("text"), 9).unwrap(), "new");
    }
}
