//! What is spoken at a port of a Service, by its `appProtocol`.
//!
//! | appProtocol | |
//! |---|---|
//! | none, `http`, `kubernetes.io/ws` | HTTP/1.1, as everywhere; a WebSocket begins as such |
//! | `https`, `kubernetes.io/wss`, `kubernetes.io/h2c`, `grpc` | not spoken yet. Plain HTTP/1.1 would be refused there or, worse, half work, so the backend answers 500 and says why |
//! | anything else | unknown words are for others: HTTP/1.1, with a warning |
//!
//! Called by `services` for each port that a rule names.

use k8s_openapi::api::core::v1::ServicePort as PortEntry;

use super::services::{Unusable, Warning};
use crate::config::{Slug, UpstreamId};

/// Whether we can speak what is spoken at this port.
///
/// # Errors
/// [`Unusable`], when we know the protocol and cannot speak it.
pub fn check(entry: &PortEntry, port: &UpstreamId) -> Result<Option<Warning>, Unusable> {
    let slug = Slug::AppProtocol;
    match entry.app_protocol.as_deref() {
        None | Some("" | "http" | "kubernetes.io/ws") => Ok(None),
        Some(known @ ("https" | "kubernetes.io/wss")) => {
            let message =
                format!("the appProtocol of Service port {port} is {known}; TLS to servers is not supported yet");
            Err(Unusable { slug, message })
        }
        Some(known @ ("grpc" | "kubernetes.io/h2c")) => {
            let message =
                format!("the appProtocol of Service port {port} is {known}; HTTP/2 to servers is not supported yet");
            Err(Unusable { slug, message })
        }
        Some(unknown) => {
            let shown: String = unknown.chars().take(63).collect();
            let message = format!(
                "the appProtocol of Service port {port} is {shown:?}, which means nothing here: HTTP/1.1 is spoken"
            );
            Ok(Some(Warning { slug, message }))
        }
    }
}
