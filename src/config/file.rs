//! The file skin: a YAML file, or a directory of them, becomes a [`Gateway`](super::Gateway).
