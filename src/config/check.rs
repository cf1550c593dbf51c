//! Names and types of a written document against the schema.
