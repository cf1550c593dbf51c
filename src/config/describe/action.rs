//! What a rule does: send on, redirect or answer.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::at::At;
use super::header::Side;
use super::server::{merge_endpoint, weight_of};
use super::{Describer, form::describe_url};
use crate::config::id::UpstreamId;
use crate::config::message::{PathRewrite, Redirect, RedirectPath, Respond};
use crate::config::problem::{Problem, Slug};
use crate::config::route::{Action, Destination, Match, PathMatch, Target};
use crate::config::schema::{REDIRECT_STATUS_MESSAGE, WEIGHTS_MESSAGE};
use crate::config::spec::{BackendSpec, RedirectQuerySpec, RedirectSpec, RespondSpec, RuleFields, SchemeSpec};
use crate::config::traffic::Traffic;
use crate::config::upstream::{Endpoint, Upstream, UpstreamSettings};

/// Of a direct answer, in bytes.
const MAX_BODY_BYTES: usize = 8 * 1024;

/// The rule whose action is described.
pub struct Whose<'a> {
    pub identity: &'a str,
    pub name: &'a str,
    pub matches: &'a Match,
    /// Its path could be read as written.
    pub has_good_path: bool,
    pub at: At<'a>,
}

impl Describer<'_> {
    /// All actions that are written are looked at, so that all their problems are told at once.
    pub(super) fn action(&mut self, spec: &RuleFields, traffic: &Traffic, whose: &Whose<'_>) -> Action {
        let actions = [spec.backends.is_some(), spec.redirect.is_some(), spec.respond.is_some()];
        if actions.into_iter().filter(|is_set| *is_set).count() != 1 {
            self.reader().note(whose.at, Slug::OneAction, "set exactly one of backends, redirect, respond");
        }
        let mut action = Action::Broken;
        if let Some(respond) = &spec.respond {
            action = Action::Respond(self.respond(respond, whose.at.field("respond")));
        }
        if let Some(redirect) = &spec.redirect {
            action = Action::Redirect(self.redirect(redirect, spec, whose));
        }
        if let Some(backends) = &spec.backends {
            action = Action::Forward(self.targets(backends, whose));
            self.check_rewrite(traffic, spec, whose);
        }
        action
    }

    /// All URLs of a rule are one upstream of its own; its share is the sum of theirs. A URL with changes to headers
    /// is one by itself, as another server is not to get them.
    fn targets(&mut self, backends: &[BackendSpec], whose: &Whose<'_>) -> Vec<Target> {
        let at = whose.at.field("backends");
        if !backends.iter().any(|backend| weight_of(backend.weight) > 0) {
            self.reader().note(at, Slug::WeightsZero, WEIGHTS_MESSAGE);
        }
        let mut targets: Vec<Target> = Vec::new();
        let mut of_urls: Vec<Upstream> = Vec::new();
        let defaults = self.scope.upstream_defaults();
        for (index, backend) in backends.iter().enumerate() {
            let place = at.index(index);
            let mut target = Target::plain(Destination::Missing, weight_of(backend.weight));
            if let Some(edits) = &backend.request_headers {
                target.request_headers =
                    self.reader().header_edits(edits, Side::Request, place.field("requestHeaders"));
            }
            if let Some(edits) = &backend.response_headers {
                let at = place.field("responseHeaders");
                target.response_headers = self.reader().header_edits(edits, Side::Response, at);
            }
            match self.backend(backend, place) {
                Some(Backend::Server(mut endpoint)) => {
                    endpoint.weight = target.weight;
                    let has_edits = !target.request_headers.is_empty() || !target.response_headers.is_empty();
                    let id = if has_edits {
                        UpstreamId::new(format!("{}/{}", whose.identity, endpoint.id))
                    } else {
                        UpstreamId::new(whose.identity)
                    };
                    add_server(&mut of_urls, id.clone(), whose.name, endpoint, &defaults);
                    target.to = Destination::Upstream(id);
                }
                Some(Backend::Upstream(id)) => target.to = Destination::Upstream(id),
                None => {}
            }
            add_target(&mut targets, target);
        }
        self.out.upstreams.extend(of_urls);
        // One of room for four, as a rule, and a hundred thousand times.
        targets.shrink_to_fit();
        targets
    }

    fn backend(&mut self, spec: &BackendSpec, at: At<'_>) -> Option<Backend> {
        let found = match (&spec.url, &spec.service, &spec.upstream) {
            (Some(url), None, None) => {
                describe_url(url, 1, self.scope, &at.field("url").to_string()).map(Backend::Server)
            }
            (None, Some(service), None) => {
                self.scope.service(service, &at.field("service").to_string()).map(Backend::Upstream)
            }
            (None, None, Some(name)) => {
                self.scope.upstream(name, &at.field("upstream").to_string()).map(Backend::Upstream)
            }
            _ => {
                let message = "set exactly one of url, service, upstream";
                Err(Problem::new(at.to_string(), Slug::BackendOne, message))
            }
        };
        found.map_err(|problem| self.out.problems.push(problem)).ok()
    }

    fn redirect(&mut self, spec: &RedirectSpec, rule: &RuleFields, whose: &Whose<'_>) -> Redirect {
        let at = whose.at.field("redirect");
        let mut reader = self.reader();
        let is_empty = spec.scheme.is_none()
            && spec.host.is_none()
            && spec.port.is_none()
            && spec.path.is_none()
            && spec.prefix.is_none();
        if is_empty {
            reader.note(at, Slug::RedirectEmpty, "a redirect has to change something");
        }
        if spec.path.is_some() && spec.prefix.is_some() {
            reader.note(at, Slug::RedirectOne, "set only one of path, prefix");
        }
        if spec.prefix.is_some() && rule.path.is_none() {
            let message = "redirect.prefix replaces the prefix in path, so path has to be set";
            reader.note(whose.at, Slug::PrefixPath, message);
        }
        let path = spec.path.as_ref().and_then(|text| reader.path_template(text, at.field("path")));
        if let (Some(path), true) = (&path, whose.has_good_path) {
            reader.check_groups(path, whose.pattern(), at.field("path"));
        }
        let prefix = spec.prefix.as_ref().and_then(|text| reader.prefix(text, at.field("prefix")));
        let port = spec.port.map(|port| u16::try_from(port).ok().filter(|port| *port > 0));
        if port == Some(None) {
            reader.note(at.field("port"), Slug::PortForm, "a port is 1 to 65535");
        }
        let status = spec.status.unwrap_or(302);
        let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
        if !is_redirect {
            reader.note(at.field("status"), Slug::StatusForm, REDIRECT_STATUS_MESSAGE);
        }
        let status = u16::try_from(status).ok().filter(|_| is_redirect);
        Redirect {
            scheme: spec.scheme.map(|scheme| match scheme {
                SchemeSpec::Http => "http".to_owned(),
                SchemeSpec::Https => "https".to_owned(),
            }),
            host: spec.host.as_ref().and_then(|text| reader.host(text, at.field("host"))),
            port: port.flatten(),
            path: path.map(RedirectPath::Path).or(prefix.map(RedirectPath::Prefix)),
            keeps_query: spec.query != Some(RedirectQuerySpec::Drop),
            status: status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::FOUND),
        }
    }

    fn respond(&mut self, spec: &RespondSpec, at: At<'_>) -> Respond {
        let mut reader = self.reader();
        let status = reader.status(spec.status, 200, at.field("status")).unwrap_or(StatusCode::OK);
        let body = spec.body.clone().unwrap_or_default();
        if body.len() > MAX_BODY_BYTES {
            let message = format!("must be at most 8 KiB, has {} bytes", body.len());
            reader.note(at.field("body"), Slug::RespondForm, message);
        }
        let content_type = spec.content_type.clone().unwrap_or_else(|| "text/plain".to_owned());
        if content_type.is_empty() || HeaderValue::from_str(&content_type).is_err() {
            let message = "must be a media type such as text/html";
            reader.note(at.field("contentType"), Slug::RespondForm, message);
        }
        let headers = reader.headers_of(spec.headers.as_ref(), Side::Answer, at.field("headers"));
        Respond { status, body, content_type, headers }
    }

    /// Whether what is to be rewritten, here or by a level above, is there to be rewritten.
    fn check_rewrite(&mut self, traffic: &Traffic, spec: &RuleFields, whose: &Whose<'_>) {
        match traffic.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref()) {
            Some(PathRewrite::Prefix(_)) if spec.path.is_none() => {
                let message = "rewrite.prefix replaces the prefix in path, so path has to be set";
                self.reader().note(whose.at, Slug::PrefixPath, message);
            }
            Some(PathRewrite::Path(path)) if whose.has_good_path => {
                self.reader().check_groups(path, whose.pattern(), whose.at.field("rewrite").field("path"));
            }
            _ => {}
        }
    }
}

impl Whose<'_> {
    fn pattern(&self) -> Option<&crate::config::Pattern> {
        match &self.matches.path {
            PathMatch::Regex(pattern) => Some(pattern),
            _ => None,
        }
    }
}

enum Backend {
    Server(Endpoint),
    Upstream(UpstreamId),
}

fn add_server(
    upstreams: &mut Vec<Upstream>,
    id: UpstreamId,
    label: &str,
    endpoint: Endpoint,
    defaults: &Arc<UpstreamSettings>,
) {
    if let Some(known) = upstreams.iter_mut().find(|known| known.id == id) {
        merge_endpoint(&mut known.endpoints, endpoint);
        return;
    }
    upstreams.push(Upstream {
        id,
        label: label.to_owned(),
        is_of_urls: true,
        endpoints: vec![endpoint],
        prefers_zone: false,
        denied: Arc::default(),
        settings: Arc::clone(defaults),
    });
}

/// Shares of the same destination with the same changes are one.
fn add_target(targets: &mut Vec<Target>, new: Target) {
    let is_same = |known: &Target| {
        known.to == new.to
            && known.request_headers == new.request_headers
            && known.response_headers == new.response_headers
    };
    match targets.iter_mut().find(|known| is_same(known)) {
        Some(known) => known.weight = known.weight.saturating_add(new.weight),
        None => targets.push(new),
    }
}
