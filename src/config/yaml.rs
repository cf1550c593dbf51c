//! YAML with places: where each key and value of a document stands.
