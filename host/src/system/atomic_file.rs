//! Files that are there whole or not at all, and stay there after a power cut.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes new names in a folder durable.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
