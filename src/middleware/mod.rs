//! Steps: what is done to a request besides sending it on, and to its answer.

pub mod edit;
pub mod redirect;
pub mod respond;
pub mod rewrite;
pub mod variable;
