//! What is counted apart, as 128 bits of a keyed hash; the values themselves are never kept.
//!
//! Clients choose what is hashed here: header values, query parameters, addresses by the /64. With a known hash they
//! could choose values that meet in one place of a table, or one that meets somebody else's count. So each limit
//! has [`Seeds`] of its own, drawn when it is made; nobody outside the process can say where a value goes, and two
//! values share a key with a chance of 2^-128. Keys of two limits, processes or starts cannot be compared.

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::{AHasher, RandomState};

/// What is counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    place: u64,
    shard: u64,
}

impl Key {
    /// Of limits that count everything together.
    pub const ALL: Self = Self { place: 0, shard: 0 };

    /// Eight hexadecimal digits' worth, to tell keys apart in a metric. Not unique.
    pub fn short(self) -> u32 {
        u32::try_from(self.shard >> 32).unwrap_or_default()
    }

    /// Which of `len` shards. Other bits than those a table inside the shard looks at.
    pub(super) fn shard(self, len: usize) -> usize {
        usize::try_from(self.shard % u64::try_from(len.max(1)).unwrap_or(1)).unwrap_or_default()
    }

    /// A number that nobody outside can foresee.
    pub(super) fn draw(self) -> usize {
        usize::try_from(self.shard >> 16).unwrap_or_default()
    }
}

/// A key is a hash already: half of it is the place in a table.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.place);
    }
}

/// Takes the half of a [`Key`] as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place(u64);

impl Hasher for Place {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
    fn write(&mut self, bytes: &[u8]) {
        // Keys write one number only; anything else still has to be a hash.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}

/// Makes keys that nobody outside can foresee.
#[derive(Clone, Debug)]
pub struct Seeds {
    place: RandomState,
    shard: RandomState,
}

impl Default for Seeds {
    fn default() -> Self {
        Self { place: RandomState::new(), shard: RandomState::new() }
    }
}

impl Seeds {
    /// A key of nothing yet.
    pub fn builder(&self) -> KeyBuilder {
        KeyBuilder { place: self.place.build_hasher(), shard: self.shard.build_hasher() }
    }
}

/// A key in the making.
#[derive(Clone, Debug)]
pub struct KeyBuilder {
    place: AHasher,
    shard: AHasher,
}

impl KeyBuilder {
    /// Adds bytes. Where one value ends and the next begins must be told by the bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.place.write(bytes);
        self.shard.write(bytes);
    }

    /// The key of all that was fed.
    pub fn finish(&self) -> Key {
        Key { place: self.place.finish(), shard: self.shard.finish() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn key(seeds: &Seeds, bytes: &[u8]) -> Key {
        let mut builder = seeds.builder();
        builder.feed(bytes);
        builder.finish()
    }

    #[test]
    fn h060_where_a_value_goes_differs_from_limit_to_limit() {
        let (one, other) = (Seeds::default(), Seeds::default());
        assert_eq!(key(&one, b"10.0.0.1"), key(&one, b"10.0.0.1"));
        assert_ne!(key(&one, b"10.0.0.1"), key(&one, b"10.0.0.2"));
        assert_ne!(key(&one, b"10.0.0.1"), key(&other, b"10.0.0.1"));
        let shards = |seeds: &Seeds| (0..64_u32).map(|n| key(seeds, &n.to_le_bytes()).shard(32)).collect::<Vec<_>>();
        assert_ne!(shards(&one), shards(&other), "values that meet in one process do not meet in another");
    }

    #[test]
    fn similar_values_are_spread() {
        let seeds = Seeds::default();
        let keys: HashSet<Key> = (0..10_000_u32).map(|n| key(&seeds, &n.to_le_bytes())).collect();
        assert_eq!(keys.len(), 10_000);
        let mut shards = [0_u32; 32];
        keys.iter().for_each(|key| shards[key.shard(32)] += 1);
        assert!(shards.iter().all(|count| (200..450).contains(count)), "{shards:?}");
    }
}
