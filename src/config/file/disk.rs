//! Reading the configuration from disk: one file, or the `*.yaml` of a directory in the order of names.
//!
//! A mounted ConfigMap is a directory of links through `..data`, which is swapped while we read. Files
//! of two versions must not be mixed, so a directory whose `..data` moved meanwhile is read again.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::yaml::MAX_BYTES;

/// What the kubelet swaps.
const CONFIG_MAP_DATA: &str = "..data";
/// A swap happens once a minute at most; more than this in one reading is no ConfigMap.
const MAX_ATTEMPTS: usize = 5;

/// Reads a file, or the files of a directory, each with the name to show in messages.
///
/// # Errors
/// What the system says; a directory without `*.yaml`; more than 32 MiB in all; bytes that are no text.
pub fn read(path: &Path) -> io::Result<Vec<(String, String)>> {
    if !fs::metadata(path)?.is_dir() {
        return read_all(&[path.to_owned()]);
    }
    let version = || fs::read_link(path.join(CONFIG_MAP_DATA)).ok();
    let mut before = version();
    for _ in 0..MAX_ATTEMPTS {
        let files = read_directory(path);
        let after = version();
        if before == after {
            return files;
        }
        before = after;
    }
    Err(io::Error::other("the directory keeps changing while it is read"))
}

fn read_directory(path: &Path) -> io::Result<Vec<(String, String)>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if is_ours(&path) && fs::metadata(&path)?.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the directory has no *.yaml"));
    }
    paths.sort();
    read_all(&paths)
}

/// Hidden files are somebody else's: editors' copies, a ConfigMap's versions.
fn is_ours(path: &Path) -> bool {
    let is_hidden = path.file_name().and_then(OsStr::to_str).is_none_or(|name| name.starts_with('.'));
    !is_hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn read_all(paths: &[PathBuf]) -> io::Result<Vec<(String, String)>> {
    let mut left = MAX_BYTES;
    let mut files = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        // One more than may be, to see whether there is more; an endless device ends here too.
        File::open(path)?.take(left as u64 + 1).read_to_end(&mut bytes)?;
        left = left.checked_sub(bytes.len()).ok_or_else(|| {
            let message = format!("more than {} MiB of configuration, with {name}", MAX_BYTES >> 20);
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let message = format!("{name} is not UTF-8 at byte {}", error.utf8_error().valid_up_to());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        files.push((name, text));
    }
    Ok(files)
}
