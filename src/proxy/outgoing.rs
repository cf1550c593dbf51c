//! The head of a request as it is sent to a server.
//!
//! It is written once for all tries, while the client's head is at hand: nothing of it is copied but into that. Only
//! where the rule wants the server's own name in `Host` is one line left to the try.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;

use crate::config::message::HostRewrite;
use crate::middleware::edit::Edits;
use crate::middleware::variable::Variables;
use crate::observe::trace::Trace;
use crate::upstream::LiveEndpoint;
use crate::upstream::http1::UploadFraming;
use crate::upstream::http1::encode::HeadWriter;

use super::exchange::Record;
use super::head::Checked;
use super::hop;

/// A head for whichever server answers.
#[derive(Debug)]
pub enum Outgoing {
    /// All of it.
    Whole(Bytes),
    /// All but the `Host`, which stands between the two.
    WithoutHost {
        /// The request line.
        line: Bytes,
        /// The other headers.
        rest: Bytes,
    },
}

impl Outgoing {
    /// As it is sent to this endpoint.
    pub fn to_endpoint(&self, endpoint: &LiveEndpoint) -> Bytes {
        match self {
            Self::Whole(head) => head.clone(),
            Self::WithoutHost { line, rest } => {
                let authority = endpoint.authority();
                let mut head = BytesMut::with_capacity(line.len() + rest.len() + authority.len() + 8);
                head.put_slice(line);
                head.put_slice(b"host: ");
                head.put_slice(authority.as_bytes());
                head.put_slice(b"\r\n");
                head.put_slice(rest);
                head.freeze()
            }
        }
    }
}

/// What of a request the head is made of.
#[derive(Debug)]
pub struct Written<'a> {
    /// As received.
    pub exchange: &'a http::request::Parts,
    /// What became known.
    pub record: &'a Record,
    /// The client's head in normal form.
    pub checked: &'a Checked<'a>,
    /// Path and query for the server.
    pub target: &'a str,
    /// The host, if the rule wants another one.
    pub host: Option<&'a HostRewrite>,
    /// Changes to headers.
    pub edits: &'a Edits,
    /// The protocol asked for.
    pub upgrade: Option<&'a HeaderValue>,
}

impl Outgoing {
    /// Writes it.
    pub fn write(parts: &Written<'_>, variables: &Variables<'_>, framing: UploadFraming) -> Self {
        let record = parts.record;
        let headers = &parts.exchange.headers;
        let mut writer = HeadWriter::new(&parts.exchange.method, parts.target, 1024);
        let line = writer.len();
        match parts.host {
            None => write_host(parts.checked, "host", &mut writer),
            Some(HostRewrite::To(host)) => writer.line("host", host.as_bytes()),
            Some(HostRewrite::Backend) => {}
        }
        hop::write_end_to_end(headers, record.seen, parts.edits, record.client.word().as_ref(), &mut writer);
        writer.line("x-forwarded-for", record.client.forwarded_for().as_bytes());
        writer.line("x-forwarded-proto", b"http");
        write_host(parts.checked, "x-forwarded-host", &mut writer);
        writer.line("x-request-id", variables.request_id);
        match (&record.trace, record.trace.written()) {
            (_, Some(ours)) => writer.line("traceparent", &ours),
            (Trace::Given(theirs), None) => writer.line("traceparent", theirs.as_bytes()),
            (Trace::Made(..), None) => {}
        }
        if let Some(protocol) = parts.upgrade {
            writer.line("connection", b"upgrade");
            writer.line("upgrade", protocol.as_bytes());
        }
        for (name, value) in parts.edits.appended(variables) {
            match value {
                Ok(value) => writer.header(name, &value),
                Err(error) => tracing::debug!(%name, %error, "a header is left out"),
            }
        }
        let head = writer.finish(framing);
        match parts.host {
            Some(HostRewrite::Backend) => Self::WithoutHost { line: head.slice(..line), rest: head.slice(line..) },
            _ => Self::Whole(head),
        }
    }
}

/// The client's host as servers see it: the usual port is not written.
fn write_host(checked: &Checked<'_>, name: &str, writer: &mut HeadWriter) {
    writer.host_line(name, &checked.host, checked.port.filter(|port| *port != 80));
}
