//! Changes to messages: headers set, added, removed; another path or host; answers of a rule's own.

use http::{HeaderName, StatusCode};
use serde::Serialize;

use super::pattern::Pattern;

/// Changes to headers, in this order: remove, set, add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEdits {
    /// All values of these go.
    #[serde(serialize_with = "serialize_names", skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<HeaderName>,
    /// These have this value and no other. A name stands here once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HeaderEdit>,
    /// These have this value besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HeaderEdit>,
}

impl HeaderEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// Headers that edits of a request may not touch: they frame the message, belong to one connection, or are our own
/// word to servers. In lower case, with `-` for every `_` and `.`, which servers take for the same.
const PROTECTED: [&str; 17] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// Headers that edits of an answer may not touch.
const PROTECTED_RESPONSE: [&str; 8] =
    ["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Whether edits of a request may not touch this header.
pub fn is_protected_header(name: &HeaderName) -> bool {
    stands_in(&PROTECTED, name)
}

/// Whether edits of an answer may not touch this header.
pub fn is_protected_response_header(name: &HeaderName) -> bool {
    stands_in(&PROTECTED_RESPONSE, name)
}

fn stands_in(list: &[&str], name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_alias = name.contains(['_', '.']);
    if is_alias { list.contains(&name.replace(['_', '.'], "-").as_str()) } else { list.contains(&name) }
}

/// A header with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEdit {
    /// Lower case.
    #[serde(serialize_with = "serialize_name")]
    pub name: HeaderName,
    /// What it becomes.
    pub value: Template,
}

/// A text with variables of the request in it: `${client.address}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As written; no control characters.
    Text(String),
    /// Of the request.
    Variable(Variable),
}

/// Something of a request that can stand in a header value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// As the listener sees it.
    ClientAddress,
    /// Normalised, with the port if one was written.
    RequestHost,
    /// `http://host/path?query`, percent-encoded where it is put into another URL by the caller.
    RequestUrl,
    /// What is sent as `X-Request-Id`.
    RequestId,
}

impl Variable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ClientAddress, Self::RequestHost, Self::RequestUrl, Self::RequestId];

    /// As it is written between `${` and `}`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientAddress => "client.address",
            Self::RequestHost => "request.host",
            Self::RequestUrl => "request.url",
            Self::RequestId => "request.id",
        }
    }
}

impl Template {
    /// Of these parts.
    pub fn new(pieces: Vec<Piece>) -> Self {
        Self { pieces }
    }

    /// Its parts.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text, if there is no variable in it.
    pub fn as_text(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(variable) => format!("${{{}}}", variable.as_str()),
        };
        serializer.serialize_str(&self.pieces.iter().map(text).collect::<String>())
    }
}

/// Another path or host for servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rewrite {
    /// The path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathRewrite>,
    /// The host; none: what the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostRewrite>,
}

/// Another path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PathRewrite {
    /// Instead of the matched prefix.
    Prefix(String),
    /// The whole path; `$1` and `${name}` are groups of the rule's path pattern.
    Path(String),
    /// A path that matches becomes the replacement; `$1` and `${name}` are groups of this pattern.
    Regex {
        /// Of the whole path. A path that does not match stays.
        pattern: Pattern,
        /// With groups.
        replacement: String,
    },
}

/// Another host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HostRewrite {
    /// This one.
    To(String),
    /// The authority of the endpoint's URL.
    Backend,
}

/// An answer that sends the client elsewhere. What is not said stays as the client asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// `http` or `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Without port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// None: with another scheme or host its usual one, else the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<RedirectPath>,
    /// Whether the client's query goes along.
    pub keeps_query: bool,
    /// 301, 302, 303, 307 or 308.
    #[serde(serialize_with = "serialize_status")]
    pub status: StatusCode,
}

/// Another path in a redirect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RedirectPath {
    /// The whole path; `$1` and `${name}` are groups of the rule's path pattern.
    Path(String),
    /// Instead of the matched prefix.
    Prefix(String),
}

/// An answer of the rule's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Respond {
    /// 200 to 599.
    #[serde(serialize_with = "serialize_status")]
    pub status: StatusCode,
    /// At most 8 KiB.
    pub body: String,
    /// `text/plain` if nothing is said.
    pub content_type: String,
    /// Besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderEdit>,
}

fn serialize_name<S: serde::Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

fn serialize_names<S: serde::Serializer>(names: &[HeaderName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(HeaderName::as_str))
}

fn serialize_status<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h079_what_frames_a_message_or_is_our_word_is_protected_in_every_spelling() {
        let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).expect("a name");
        for text in ["Host", "Content-Length", "content_length", "TE", "X-Forwarded-For", "x.request_id"] {
            assert!(is_protected_header(&name(text)), "{text}");
        }
        for text in ["X-Real-IP", "Authorization", "Cookie", "X-Hosts", "Forwarded"] {
            assert!(!is_protected_header(&name(text)), "{text}");
        }
        assert!(is_protected_response_header(&name("Transfer-Encoding")));
        assert!(!is_protected_response_header(&name("X-Request-Id")));
    }
}
