//! Changes to headers: names, values with variables, and what is not to be changed.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use super::at::At;
use super::reader::Reader;
use crate::config::message::{
    HeaderEdit, HeaderEdits, Piece, Template, Variable, is_protected_header, is_protected_response_header,
};
use crate::config::nearest::nearest;
use crate::config::problem::Slug;
use crate::config::spec::HeaderEditsSpec;

/// Which message is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On the way to servers.
    Request,
    /// On the way back.
    Response,
    /// An answer of the rule's own.
    Answer,
}

impl Reader<'_> {
    pub(super) fn header_edits(&mut self, spec: &HeaderEditsSpec, side: Side, at: At<'_>) -> HeaderEdits {
        let mut remove = Vec::new();
        for (index, text) in spec.remove.iter().flatten().enumerate() {
            remove.extend(self.header_name(text, side, at.field("remove").index(index)));
        }
        remove.sort_by(|a: &HeaderName, b| a.as_str().cmp(b.as_str()));
        remove.dedup();
        let set = self.headers_of(spec.set.as_ref(), side, at.field("set"));
        let add = self.headers_of(spec.add.as_ref(), side, at.field("add"));
        HeaderEdits { remove, set, add }
    }

    /// Names with values, in the order of names in lower case.
    pub(super) fn headers_of(
        &mut self,
        map: Option<&BTreeMap<String, String>>,
        side: Side,
        at: At<'_>,
    ) -> Vec<HeaderEdit> {
        let mut headers: Vec<HeaderEdit> = Vec::new();
        for (written, value) in map.into_iter().flatten() {
            let place = at.name(written);
            let name = self.header_name(written, side, place);
            let value = self.template(value, place);
            let (Some(name), Some(value)) = (name, value) else { continue };
            if headers.iter().any(|known| known.name == name) {
                self.note(place, Slug::DuplicateName, "stands here twice, as the case of letters does not count");
                continue;
            }
            headers.push(HeaderEdit { name, value });
        }
        headers.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        headers
    }

    fn header_name(&mut self, text: &str, side: Side, at: At<'_>) -> Option<HeaderName> {
        let read = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not a header name");
        let name = self.take(read, at, Slug::HttpForm)?;
        match protection(&name, side) {
            Some(reason) => {
                self.note(at, Slug::ProtectedHeader, format!("{text} {reason}"));
                None
            }
            None => Some(name),
        }
    }

    fn template(&mut self, text: &str, at: At<'_>) -> Option<Template> {
        if let Some(message) = unfit_value(text) {
            self.note(at, Slug::HeaderValue, message);
            return None;
        }
        parse_template(text).map_err(|(slug, message)| self.note(at, slug, message)).ok()
    }
}

/// Why a text is no header value.
pub fn unfit_value(text: &str) -> Option<&'static str> {
    if HeaderValue::from_str(text).is_ok() {
        return None;
    }
    Some(if text.contains(['\r', '\n']) {
        "a header value may not contain a line break"
    } else {
        "a header value has visible ASCII characters only"
    })
}

/// Why this header is not to be changed. Another length or framing than that of the body is how requests are smuggled.
fn protection(name: &HeaderName, side: Side) -> Option<&'static str> {
    match (name.as_str(), side) {
        ("content-type", Side::Answer) => Some("is set by respond.contentType"),
        ("host", Side::Request) => Some("is set by rewrite.host"),
        ("content-length" | "transfer-encoding" | "trailer", _) => Some("is told by the body"),
        ("connection" | "keep-alive" | "proxy-connection" | "te", _) => Some("is about one connection only"),
        ("upgrade", _) => Some("is let through by upgrades"),
        ("x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-request-id", Side::Request) => {
            Some("is always written by Sluice")
        }
        // What the steps would not do either: in any spelling that servers fold together.
        (_, Side::Request) if is_protected_header(name) => Some("belongs to one connection, or is Sluice's own word"),
        (_, Side::Response | Side::Answer) if is_protected_response_header(name) => {
            Some("belongs to one connection only")
        }
        _ => None,
    }
}

fn parse_template(text: &str) -> Result<Template, (Slug, String)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            return Err((Slug::Variable, "${ has no closing }".to_owned()));
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Variable(variable(name)?));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(Template::new(pieces))
}

fn variable(name: &str) -> Result<Variable, (Slug, String)> {
    if let Some(known) = Variable::ALL.into_iter().find(|variable| variable.as_str() == name) {
        return Ok(known);
    }
    if name.starts_with("claim.") || name.starts_with("tls.") {
        return Err((Slug::NotSupported, format!("${{{name}}} is not supported yet")));
    }
    let known = Variable::ALL.map(Variable::as_str);
    let message = match nearest(name, known) {
        Some(meant) => format!("${{{name}}} is not known: did you mean ${{{meant}}}?"),
        None => {
            let known = known.map(|name| format!("${{{name}}}")).join(", ");
            format!("${{{name}}} is not known; here one can write: {known}")
        }
    };
    Err((Slug::Variable, message))
}
