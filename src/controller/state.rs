//! The last known World on disk, for a process that starts while the API server is away.
//!
//! A lost API server costs a running process nothing. One that starts (a crash, a node that reboots) would have
//! nothing to serve until the API server is back, which may be when it matters most. So, where `--state-dir` is
//! given, the objects that count are kept in a file, and served by the next process if the API server does not
//! answer within [`PATIENCE`]. A complete answer from it replaces them whenever it comes.
//!
//! The objects are kept and not the Gateway made of them: a newer binary translates them by its own rules, and what
//! is in the file is what `kubectl get -o json` would show, less what nobody looks at. Statuses are not in it, nor is
//! anything told about objects while they are served from it: what is true there only the API server knows.
//!
//! ```text
//! World ─▶ (5 s after a change) ─▶ Keeper ─▶ FILE.new ─▶ fsync ─▶ rename ─▶ FILE
//! start ─▶ load ─▶ PATIENCE ─▶ translate ─▶ Offer { stale: since } ─▶ fresh answer ─▶ Offer { stale: none }
//! ```
//!
//! Always holds: a file that was cut off, altered, written for another class, by another format or too long ago
//! is refused as a whole and said so; it is never repaired. Mode 0600, as objects may name what is secret. Nothing on
//! the way of a request waits for it.

mod file;
mod format;
mod keeper;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use self::keeper::{Newest, keep};
use super::operator::{News, Reading};
use super::world::{Change, Object, ObjectName, Watched, World};

/// So long the API server has to answer before what is on disk is served: longer than a large cluster takes to list,
/// shorter than anybody waits.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Between two writes; a rolling update changes endpoints many times a second.
pub const GAP: Duration = Duration::from_secs(5);
/// A file that nothing changes is written anew after this, so that its age tells how long nobody could confirm it.
pub const CONFIRM_EVERY: Duration = Duration::from_mins(10);
/// Older than this it is refused: addresses of pods are given to others meanwhile.
pub const MAX_AGE: Duration = Duration::from_hours(24);

/// Which file, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// Where.
    pub path: PathBuf,
    /// The class of this instance.
    pub class: String,
    /// The namespaces it watches; empty: all.
    pub namespaces: Vec<String>,
}

impl StateSettings {
    /// One file for each class: instances that share a directory do not share a file.
    pub fn new(directory: &Path, class: &str, namespaces: &[String]) -> Self {
        let usable = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
        let name: String = class.chars().map(usable).take(100).collect();
        let mut namespaces = namespaces.to_vec();
        namespaces.sort();
        Self { path: directory.join(format!("sluice-{name}.state")), class: class.to_owned(), namespaces }
    }
}

/// What was read from disk.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The objects.
    pub objects: Vec<Object>,
    /// When they were last known to be so.
    pub written: SystemTime,
}

impl Stored {
    /// Them in a World that has nothing else.
    pub fn fill(&self, mut world: World) -> World {
        for object in &self.objects {
            world.apply(Change::Applied(object.clone()));
        }
        if let Some(config_map) = world.config_map() {
            let mut reading = Reading::of(ObjectName::of(&config_map.metadata));
            if let News::Good(file, _) = reading.look(Some(config_map), &world.operator) {
                world.put_operator(file);
            }
        }
        world
    }

    /// Whether something of this part of the cluster is among them.
    pub fn knows(&self, watched: &Watched) -> bool {
        self.objects.iter().any(|object| watched.covers(object))
    }
}

/// Why what is on disk is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system says no.
    #[error("cannot read it")]
    Read(#[from] std::io::Error),
    /// Above what any cluster needs.
    #[error("it has {0} bytes, more than the {max} that are read", max = file::MAX_BYTES)]
    TooLarge(u64),
    /// Somebody else could have put anything into it.
    #[error("others may write it (mode {0:o})")]
    WritableByOthers(u32),
    /// Cut off, or something else altogether.
    #[error("it has no end: it was cut off, or is no state of sluice")]
    NoEnd,
    /// Altered.
    #[error("its content does not fit its checksum")]
    Altered,
    /// Of another version.
    #[error("its format is {0}, and only {known} is known", known = format::FORMAT)]
    OtherFormat(u32),
    /// Whole, but not understood: a bug, or somebody's own work.
    #[error("it cannot be understood")]
    Form(#[from] serde_json::Error),
    /// Written by an instance that serves others.
    #[error("it was written for class {class:?}, namespaces {namespaces:?}")]
    OfAnother {
        /// The class it is for.
        class: String,
        /// The namespaces it is for.
        namespaces: Vec<String>,
    },
    /// See [`MAX_AGE`].
    #[error("it is {} h old, and is not used after {} h", .0.as_secs() / 3600, MAX_AGE.as_secs() / 3600)]
    TooOld(Duration),
}

/// Reads what is on disk; none if there is nothing. Blocks.
///
/// # Errors
/// [`StateError`]: it must not be used.
pub fn load(settings: &StateSettings, now: SystemTime) -> Result<Option<Stored>, StateError> {
    let Some(bytes) = file::read(&settings.path)? else { return Ok(None) };
    format::decode(&bytes, settings, now).map(Some)
}

#[cfg(test)]
mod tests;
