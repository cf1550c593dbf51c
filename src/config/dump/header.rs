//! Changes to messages: headers, redirects, answers, another path or host.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;

use crate::config::message::{
    HeaderEdit, HeaderEdits, HostRewrite, PathRewrite, Piece, Redirect, RedirectPath, Respond, Rewrite, Template,
};
use crate::config::spec::{
    HeaderEditsSpec, HostFromSpec, RedirectQuerySpec, RedirectSpec, RespondSpec, RewriteSpec, SchemeSpec,
};

use super::unit;

/// Headers of one kind of change in one place, by the schema.
const MAX_HEADERS: usize = 16;

/// Changes as they can be written in one place each, the outermost first; mostly one, none if nothing changes.
///
/// Levels add up, so together they may have more headers than one place can, and one name several times. What is removed
/// stands outermost: further in it would take away what is set further out.
pub fn edits(edits: &HeaderEdits) -> Vec<HeaderEditsSpec> {
    let mut removes = edits.remove.chunks(MAX_HEADERS).map(names).collect::<Vec<_>>().into_iter();
    let mut sets = chunks(&edits.set).into_iter();
    let mut adds = chunks(&edits.add).into_iter();
    let mut written = Vec::new();
    loop {
        let remove = removes.next();
        let is_last_remove = removes.len() == 0;
        let set = is_last_remove.then(|| sets.next()).flatten();
        let add = is_last_remove.then(|| adds.next()).flatten();
        if remove.is_none() && set.is_none() && add.is_none() {
            return written;
        }
        written.push(HeaderEditsSpec { set, add, remove });
    }
}

fn names(names: &[HeaderName]) -> Vec<String> {
    names.iter().map(|name| name.as_str().to_owned()).collect()
}

/// In the order given; each part as long as it can be.
fn chunks(edits: &[HeaderEdit]) -> Vec<BTreeMap<String, String>> {
    let mut chunks: Vec<BTreeMap<String, String>> = Vec::new();
    for edit in edits {
        let name = edit.name.as_str();
        match chunks.last_mut().filter(|last| last.len() < MAX_HEADERS && !last.contains_key(name)) {
            Some(last) => drop(last.insert(name.to_owned(), template(&edit.value))),
            None => chunks.push(BTreeMap::from([(name.to_owned(), template(&edit.value))])),
        }
    }
    chunks
}

fn template(template: &Template) -> String {
    let write = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Variable(variable) => format!("${{{}}}", variable.as_str()),
    };
    template.pieces().iter().map(write).collect()
}

/// Another path or host.
pub fn rewrite(rewrite: &Rewrite) -> RewriteSpec {
    let mut spec = RewriteSpec::default();
    match &rewrite.path {
        Some(PathRewrite::Prefix(prefix)) => spec.prefix = Some(prefix.clone()),
        Some(PathRewrite::Path(path)) => spec.path = Some(path.clone()),
        Some(PathRewrite::Regex { pattern, replacement }) => {
            spec.regex = Some(pattern.as_str().to_owned());
            spec.replacement = Some(replacement.clone());
        }
        None => {}
    }
    match &rewrite.host {
        Some(HostRewrite::To(host)) => spec.host = Some(host.clone()),
        Some(HostRewrite::Backend) => spec.host_from = Some(HostFromSpec::Backend),
        None => {}
    }
    spec
}

/// An answer that sends the client elsewhere.
pub fn redirect(redirect: &Redirect) -> RedirectSpec {
    let (path, prefix) = match &redirect.path {
        Some(RedirectPath::Path(path)) => (Some(path.clone()), None),
        Some(RedirectPath::Prefix(prefix)) => (None, Some(prefix.clone())),
        None => (None, None),
    };
    RedirectSpec {
        scheme: redirect.scheme.as_deref().map(|scheme| match scheme {
            "https" => SchemeSpec::Https,
            _ => SchemeSpec::Http,
        }),
        host: redirect.host.clone(),
        port: redirect.port.map(i32::from),
        path,
        prefix,
        query: (!redirect.keeps_query).then_some(RedirectQuerySpec::Drop),
        status: Some(unit::number(redirect.status.as_u16())),
    }
}

/// An answer of the rule's own.
pub fn respond(respond: &Respond) -> RespondSpec {
    let mut seen = BTreeSet::new();
    let headers = respond.headers.iter().filter(|edit| seen.insert(edit.name.as_str()));
    let headers: BTreeMap<String, String> =
        headers.map(|edit| (edit.name.as_str().to_owned(), template(&edit.value))).collect();
    RespondSpec {
        status: Some(unit::number(respond.status.as_u16())),
        body: Some(respond.body.clone()).filter(|body| !body.is_empty()),
        content_type: Some(respond.content_type.clone()),
        headers: Some(headers).filter(|headers| !headers.is_empty()),
    }
}

/// What a rule that is off answers.
pub fn off() -> RespondSpec {
    RespondSpec { status: Some(500), ..RespondSpec::default() }
}
