//! What is done to a request besides sending it on, and to its answer: each step a small thing of its own, in one
//! fixed order.
//!
//! The order is not configured. Every order but this one is a hole or a surprise: a limit by token before the token
//! is checked, a redirect that tells strangers which paths exist, a log without those who were refused. It is, of the
//! whole reference (what stands in brackets is not built here):
//!
//! ```text
//! request   log and trace begin             observe
//!           who the client is               client     the peer, or whom a trusted peer names
//!           allow and deny                  access     by the client's address
//!           [enforced policies]
//!           rate limits                     limit      all must pass; what was counted before a refusal is given back
//!           concurrency                     attribute  makes the key, ratelimit::Gate lets in
//!           [https, CORS preflight, identity, limits by identity, faults]
//!           length of the body
//!           headers, path and host          edit, rewrite, with values filled in by variable
//!           redirect or respond             redirect, respond; or: split, balance, try (snapshot, upstream)
//! answer    [error pages]
//!           headers                         edit; those of limits first, so that a rule can change them
//!           [CORS, compression]
//!           log                             observe
//! ```
//!
//! Steps are compiled with the snapshot (`snapshot` calls `new`) and called by `proxy`, which knows the order; no
//! step knows another. They see a request as [`Asked`]: a few borrowed views, cheap to make. What a step needs that
//! lives (counts of limits) comes from the registry and is handed to it when it is compiled.

pub mod access;
pub mod address_set;
pub mod asked;
pub mod attribute;
pub mod client;
pub mod edit;
pub mod limit;
pub mod limit_headers;
pub mod redirect;
pub mod respond;
pub mod rewrite;
pub mod variable;

pub use access::Access;
pub use asked::Asked;
pub use client::{Identified, Trust};
pub use limit::{LimitOutcome, LimitRefusal, Limits, Met};
