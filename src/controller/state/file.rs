//! The file itself: written beside and renamed over, so that there is always a whole one or none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StateError;

/// Far above 100,000 routes with their Services; a file that is not ours cannot fill the memory.
pub const MAX_BYTES: u64 = 1 << 30;

/// The whole file; none if there is none.
///
/// # Errors
/// If it cannot be read, or must not be.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if metadata.mode() & 0o002 != 0 {
        return Err(StateError::WritableByOthers(metadata.mode() & 0o7777));
    }
    if metadata.len() > MAX_BYTES {
        return Err(StateError::TooLarge(metadata.len()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts a whole new file in the place of the old one. After a crash at any moment there is the old or the new one.
///
/// # Errors
/// Those of the file system and of `fill`; the old file stays.
pub fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    if !directory.as_os_str().is_empty() && !directory.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let new = beside(path);
    let outcome = write(&new, fill).and_then(|()| fs::rename(&new, path));
    if outcome.is_err() {
        // Full disks are why it fails most often: nothing of it may stay.
        let _ = fs::remove_file(&new);
    }
    outcome?;
    // Without this the new name may be lost in a power cut. Some file systems cannot do it, and need not.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn write(new: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // Left by a process that was killed while it wrote. Never followed if it is a link: only made anew.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    fill(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// One name for each pod: two that share a directory do not write into one file.
fn beside(path: &Path) -> PathBuf {
    let owner = std::env::var("POD_NAME").unwrap_or_else(|_| std::process::id().to_string());
    let owner: String = owner.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(100).collect();
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{owner}.new"));
    path.with_file_name(name)
}
