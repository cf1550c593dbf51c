//! A map by text whose copies share what they have in common.
//!
//! A table of a hundred thousand hosts is copied for every change, as the one that is served must not change.
//! Copying it entry by entry would take longer than the change may, and freeing the old one as long again. So
//! the entries lie in shards of at most [`SHARD_ENTRIES`] on average, a copy is a list of pointers to the same
//! shards, and the first change to a shard copies that shard alone.
//!
//! Numbers: 100,000 entries lie in 1,024 shards of about 98. A copy adds 1,024 references (some 20 µs), a change
//! copies one shard (some 5 µs), and what is freed with the old map is that shard.
//!
//! Keys are hashed with a random key of each map, so that nobody can choose names that meet in one shard.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Mean number of entries of a shard at which there are made more: copying that many is cheap, and the list of
/// shards stays short.
pub const SHARD_ENTRIES: usize = 128;
/// How many times more.
const GROWTH: usize = 4;

type Shard<V> = HashTable<(Box<str>, V)>;

/// A map by text; a clone is cheap.
#[derive(Debug)]
pub struct SharedMap<V> {
    hasher: ahash::RandomState,
    /// None while it is empty, else a power of two.
    shards: Vec<Arc<Shard<V>>>,
    len: usize,
}

/// Where a key is or would be.
struct Place<'m, V> {
    entry: Entry<'m, (Box<str>, V)>,
    len: &'m mut usize,
}

impl<V> Default for SharedMap<V> {
    fn default() -> Self {
        Self { hasher: ahash::RandomState::new(), shards: Vec::new(), len: 0 }
    }
}

impl<V> Clone for SharedMap<V> {
    fn clone(&self) -> Self {
        Self { hasher: self.hasher.clone(), shards: self.shards.clone(), len: self.len }
    }
}

impl<V> SharedMap<V> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&V> {
        if self.shards.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let shard = self.shards.get(shard_of(hash, self.shards.len()))?;
        shard.find(hash, |(known, _)| **known == *key).map(|(_, value)| value)
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|(_, value)| value))
    }
}

impl<V: Clone> SharedMap<V> {
    /// The value of a key to be changed; it is made if it is not there.
    pub fn get_or_default(&mut self, key: &str) -> &mut V
    where
        V: Default,
    {
        let Place { entry, len } = self.place(key);
        match entry {
            Entry::Occupied(known) => &mut known.into_mut().1,
            Entry::Vacant(room) => {
                *len += 1;
                &mut room.insert((key.into(), V::default())).into_mut().1
            }
        }
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: &str, value: V) {
        let Place { entry, len } = self.place(key);
        match entry {
            Entry::Occupied(mut known) => known.get_mut().1 = value,
            Entry::Vacant(room) => {
                *len += 1;
                room.insert((key.into(), value));
            }
        }
    }

    fn place(&mut self, key: &str) -> Place<'_, V> {
        if self.len >= self.shards.len() * SHARD_ENTRIES {
            self.grow();
        }
        let Self { hasher, shards, len } = self;
        let hash = hasher.hash_one(key);
        let at = shard_of(hash, shards.len());
        let rehash = |(known, _): &(Box<str>, V)| hasher.hash_one(&**known);
        Place { entry: Arc::make_mut(&mut shards[at]).entry(hash, |(known, _)| **known == *key, rehash), len }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<V> {
        // Looked for first: what is not there shall not cost the copy of a shard.
        self.get(key)?;
        let hash = self.hasher.hash_one(key);
        let at = shard_of(hash, self.shards.len());
        let shard = Arc::make_mut(self.shards.get_mut(at)?);
        let known = shard.find_entry(hash, |(known, _)| **known == *key).ok()?;
        self.len -= 1;
        let ((_, value), _) = known.remove();
        Some(value)
    }

    fn grow(&mut self) {
        let count = (self.shards.len() * GROWTH).max(1);
        let old = std::mem::replace(&mut self.shards, (0..count).map(|_| Arc::default()).collect());
        let Self { hasher, shards, .. } = self;
        let rehash = |(known, _): &(Box<str>, V)| hasher.hash_one(&**known);
        for entry in old.into_iter().flat_map(Arc::unwrap_or_clone) {
            let hash = rehash(&entry);
            Arc::make_mut(&mut shards[shard_of(hash, count)]).insert_unique(hash, entry, rehash);
        }
    }
}

/// By bits in the middle: the ends tell places inside the shard. `count` is a power of two.
fn shard_of(hash: u64, count: usize) -> usize {
    (hash >> 24) as usize & (count - 1)
}

#[cfg(test)]
impl<V> SharedMap<V> {
    /// How many shards two maps share: for tests of what a change costs.
    pub fn shards_not_shared_with(&self, other: &Self) -> usize {
        self.shards.iter().zip(&other.shards).filter(|(own, other)| !Arc::ptr_eq(own, other)).count()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn it_is_a_map_and_copies_do_not_change(
            steps in proptest::collection::vec((0_u16..600, proptest::option::weighted(0.7, 0_u8..9)), 1..900),
            at in 0_usize..900,
        ) {
            let (mut map, mut model) = (SharedMap::<u8>::default(), HashMap::<u16, u8>::new());
            let mut copy = None;
            for (number, (key, value)) in steps.iter().enumerate() {
                if number == at {
                    copy = Some((map.clone(), model.clone()));
                }
                match value {
                    Some(value) => {
                        map.insert(&key.to_string(), *value);
                        model.insert(*key, *value);
                    }
                    None => prop_assert_eq!(map.remove(&key.to_string()), model.remove(key)),
                }
            }
            for (map, model) in [(map, model)].into_iter().chain(copy) {
                prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(map.values().count(), model.len());
                for key in 0..600 {
                    prop_assert_eq!(map.get(&key.to_string()), model.get(&key));
                }
            }
        }
    }

    #[test]
    fn a_change_copies_one_shard() {
        let mut map = SharedMap::default();
        for key in 0..50_000 {
            map.insert(&key.to_string(), key);
        }
        let before = map.clone();
        map.insert("77", 0);
        map.remove("not there");
        assert_eq!(map.shards_not_shared_with(&before), 1);
        assert!(map.shards.len() >= 256, "{}", map.shards.len());
    }
}
