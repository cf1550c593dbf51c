//! What steps see of a request: views into it, made once the rule is known.
//!
//! Host and path are those that the router matched, so that no step reads them another way than the rule that let it
//! run.

use std::net::IpAddr;

use http::request::Parts;

use crate::config::RuleId;

/// A request, as steps see it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Method, headers, target as they came.
    pub parts: &'a Parts,
    /// Who asks, as [`client`](super::client) found out.
    pub client: IpAddr,
    /// Normalised, without port.
    pub host: &'a str,
    /// Normalised, without query.
    pub path: &'a str,
    /// As it came, without `?`.
    pub query: Option<&'a str>,
    /// The rule that answers.
    pub route: &'a RuleId,
    /// Name of the listener it came in by.
    pub listener: &'a str,
}
