//! Routes and rules, with the names that keep their identities.
//!
//! A described rule tells what it is by its identity alone: scope, route and rule, each by its name or by hosts and match.
//! Read backwards, as it was made, that gives the names to write. What cannot be read so gets a name of its own.

use std::collections::BTreeSet;

use crate::config::Gateway;
use crate::config::route::{Action, Destination, PathMatch, Route, Rule, Source, Target};
use crate::config::spec::{
    BackendSpec, HeaderEditsSpec, PolicySpec, RouteSpec, RuleFields, RuleSpec, TrafficFields, ZoneUseSpec,
};

use super::limits::{Limits, RouteOfLimits};
use super::names::Names;
use super::serving::{Piece, pieces};
use super::upstreams::{Servers, url};
use super::{header, matches, traffic, unit};

/// Policies that a rule may use, by the schema.
const MAX_USED: usize = 8;

/// The policies that are needed, and the routes, each with a comment that tells where it comes from.
pub fn write(gateway: &Gateway, servers: &Servers<'_>) -> (Vec<PolicySpec>, Vec<(String, RouteSpec)>) {
    let pieces: Vec<Piece<'_>> = pieces(gateway).into_iter().flat_map(with_names_once).collect();
    let mut writer = Writer { servers, limits: Limits::default(), names: Names::default(), rules: BTreeSet::new() };
    for (number, piece) in pieces.iter().enumerate() {
        for (index, rule) in piece.rules.iter().enumerate() {
            writer.limits.see((number, index), &rule.traffic);
        }
    }
    let routes =
        pieces.iter().enumerate().map(|(number, piece)| (origin(gateway, piece.route), writer.route(number, piece)));
    let routes = routes.collect();
    (writer.limits.written, routes)
}

/// `GatewayRoute shop/web, generation 7`
fn origin(gateway: &Gateway, route: &Route) -> String {
    match &route.source {
        Source::File => "the operator's file".to_owned(),
        Source::Object { name, .. } => match gateway.generations.get(name) {
            Some(generation) => format!("GatewayRoute {name}, generation {generation}"),
            None => format!("GatewayRoute {name}"),
        },
    }
}

/// Names of a route's rules have to be unique, so where two rules need the same one, another route begins.
fn with_names_once(piece: Piece<'_>) -> Vec<Piece<'_>> {
    let scope = scope(piece.route);
    let first_host = first_host(&piece);
    let Piece { route, hosts, listeners, rules } = piece;
    let mut parts = Vec::new();
    let mut taken = BTreeSet::new();
    for rule in rules {
        let is_taken = needs_name(rule, &scope, &first_host) && !taken.insert(&rule.name);
        if is_taken {
            taken = BTreeSet::from([&rule.name]);
        }
        match parts.last_mut().filter(|_: &&mut Piece<'_>| !is_taken) {
            Some(part) => part.rules.push(rule),
            None => {
                parts.push(Piece { route, hosts: hosts.clone(), listeners: listeners.clone(), rules: vec![rule] });
            }
        }
    }
    parts
}

fn first_host(piece: &Piece<'_>) -> String {
    piece.hosts.first().map(ToString::to_string).unwrap_or_default()
}

/// Whether a rule had a name, or would be called something else without one.
fn needs_name(rule: &Rule, scope: &str, first_host: &str) -> bool {
    let read = read_identity(rule, scope);
    read.has_name || !is_called(&rule.name, first_host, &rule.matches.path)
}

struct Writer<'w, 'g> {
    servers: &'w Servers<'g>,
    limits: Limits,
    names: Names,
    /// Identities of rules with a name.
    rules: BTreeSet<String>,
}

/// What the identity of a rule says about names.
struct Read<'r> {
    /// The identity without scope and rule.
    route: &'r str,
    /// The rule has a name; else it is known by its match.
    has_name: bool,
    /// The route is itself the rule.
    is_short: bool,
}

impl Writer<'_, '_> {
    fn route(&mut self, number: usize, piece: &Piece<'_>) -> RouteSpec {
        let scope = scope(piece.route);
        let first = piece.rules.first().map(|rule| read_identity(rule, &scope));
        let first = first.unwrap_or(Read { route: "", has_name: false, is_short: false });
        let of_limits =
            RouteOfLimits { number, identity: &format!("{scope}/{}", first.route), rules: piece.rules.len() };
        let name = self.name_of_route(piece, &first);
        let mut spec = RouteSpec {
            hosts: Some(piece.hosts.iter().map(ToString::to_string).collect())
                .filter(|hosts: &Vec<_>| !hosts.is_empty()),
            listeners: Some(piece.listeners.iter().map(|name| (*name).to_owned()).collect())
                .filter(|listeners: &Vec<_>| !listeners.is_empty()),
            ..RouteSpec::default()
        };
        if let ([rule], true, true) = (piece.rules.as_slice(), first.is_short, piece.route.source == Source::File) {
            let (fields, mut traffic) = self.rule(rule, piece, &of_limits);
            self.limits.of_route(&of_limits, &rule.traffic, &mut traffic);
            spec.rule = RuleFields { name, ..fields };
            spec.traffic = traffic;
            return spec;
        }
        let identity = name.clone().unwrap_or_else(|| first.route.to_owned());
        spec.rule.name = name;
        if let Some(rule) = piece.rules.first() {
            self.limits.of_route(&of_limits, &rule.traffic, &mut spec.traffic);
        }
        let mut rules = Vec::new();
        for rule in &piece.rules {
            let (mut fields, traffic) = self.rule(rule, piece, &of_limits);
            fields.name = self.name_of_rule(rule, &scope, piece, &identity);
            rules.push(RuleSpec { rule: fields, traffic });
        }
        spec.rules = Some(rules);
        spec
    }

    /// None where hosts and listeners say who it is, as they did before.
    fn name_of_route(&mut self, piece: &Piece<'_>, first: &Read<'_>) -> Option<String> {
        match &piece.route.source {
            Source::File if first.route == unnamed(piece) => None,
            Source::File => Some(self.names.free(first.route)),
            Source::Object { name, .. } => Some(self.names.free(&format!("{name}/{}", first.route))),
        }
    }

    /// None where the rule had none and is called the same without.
    fn name_of_rule(&mut self, rule: &Rule, scope: &str, piece: &Piece<'_>, route: &str) -> Option<String> {
        let is_needed = needs_name(rule, scope, &first_host(piece));
        let name = rule.name.as_str();
        let fits = is_needed && !name.is_empty() && name.chars().count() <= 253;
        (fits && self.rules.insert(format!("{route}/{name}"))).then(|| name.to_owned())
    }

    fn rule(&mut self, rule: &Rule, piece: &Piece<'_>, of_limits: &RouteOfLimits<'_>) -> (RuleFields, TrafficFields) {
        let mut fields = RuleFields::default();
        matches::write(&rule.matches, written_path(rule, &first_host(piece)), &mut fields);
        fields.priority = (rule.priority != 0).then_some(rule.priority);
        let mut traffic = traffic::write(&rule.traffic);
        let mut used = self.limits.of_rule(of_limits, rule.id.as_str(), &rule.traffic, &mut traffic);
        let mut request = header::edits(&rule.traffic.request_headers);
        let mut response = header::edits(&rule.traffic.response_headers);
        (traffic.request_headers, traffic.response_headers) = (request.pop(), response.pop());
        let room = MAX_USED.saturating_sub(used.len());
        used.splice(0..0, self.policies_of_headers(rule, request, response).into_iter().take(room));
        fields.r#use = Some(used).filter(|used| !used.is_empty());
        match &rule.action {
            Action::Forward(targets) => {
                fields.backends = Some(targets.iter().flat_map(|target| self.backends(target)).collect());
                self.prefer_zone(targets, &mut traffic);
            }
            Action::Redirect(redirect) => fields.redirect = Some(header::redirect(redirect)),
            Action::Respond(respond) => fields.respond = Some(header::respond(respond)),
            Action::Broken => fields.respond = Some(header::off()),
        }
        (fields, traffic)
    }

    /// Changes that have no room in the rule itself, the outermost first.
    fn policies_of_headers(
        &mut self,
        rule: &Rule,
        request: Vec<HeaderEditsSpec>,
        response: Vec<HeaderEditsSpec>,
    ) -> Vec<String> {
        let (mut request, mut response) = (request.into_iter(), response.into_iter());
        let mut used = Vec::new();
        loop {
            let fields = TrafficFields {
                request_headers: request.next(),
                response_headers: response.next(),
                ..TrafficFields::default()
            };
            if fields == TrafficFields::default() {
                return used;
            }
            used.push(self.limits.add_policy(&format!("{}/headers", rule.id), fields));
        }
    }

    /// All URLs of a rule are one share; each is written with its own.
    fn backends(&self, target: &Target) -> Vec<BackendSpec> {
        let edits = |edits| header::edits(edits).into_iter().next();
        let backend = BackendSpec {
            request_headers: edits(&target.request_headers),
            response_headers: edits(&target.response_headers),
            ..BackendSpec::default()
        };
        let weight = |weight: u32| (weight != 1).then(|| unit::number(weight));
        let named = |name: Option<&str>| BackendSpec {
            upstream: name.map(str::to_owned),
            weight: weight(target.weight),
            ..backend.clone()
        };
        match &target.to {
            Destination::Missing => vec![named(self.servers.missing())],
            Destination::Upstream(id) => match self.servers.name(id) {
                Some(name) => vec![named(Some(name))],
                None => {
                    let of_url = |endpoint| (Some(url(endpoint)), weight(endpoint.weight));
                    let urls = self.servers.urls(id).iter().map(of_url);
                    urls.map(|(url, weight)| BackendSpec { url, weight, ..backend.clone() }).collect()
                }
            },
        }
    }

    /// What a rule leaves to its Services is said here, as upstreams of a file want nothing of the kind.
    fn prefer_zone(&self, targets: &[Target], traffic: &mut TrafficFields) {
        let prefers = |target: &Target| match &target.to {
            Destination::Upstream(id) => self.servers.prefers_zone(id),
            Destination::Missing => false,
        };
        let balancer = traffic.load_balancer.get_or_insert_default();
        if balancer.zone.is_none() && targets.iter().any(prefers) {
            balancer.zone = Some(ZoneUseSpec::Prefer);
        }
        if *balancer == Default::default() {
            traffic.load_balancer = None;
        }
    }
}

fn scope(route: &Route) -> String {
    match &route.source {
        Source::File => "file".to_owned(),
        Source::Object { name, .. } => name.clone(),
    }
}

/// What a route without a name is known by.
fn unnamed(piece: &Piece<'_>) -> String {
    let mut hosts: Vec<String> = piece.hosts.iter().map(ToString::to_string).collect();
    hosts.sort();
    let hosts = if hosts.is_empty() { "any host".to_owned() } else { hosts.join(",") };
    if piece.listeners.is_empty() {
        return hosts;
    }
    let mut listeners = piece.listeners.clone();
    listeners.sort_unstable();
    format!("{hosts} on {}", listeners.join(","))
}

/// The way back from `scope/route/rule`.
fn read_identity<'r>(rule: &'r Rule, scope: &str) -> Read<'r> {
    let id = rule.id.as_str();
    let rest = id.strip_prefix(scope).and_then(|rest| rest.strip_prefix('/')).unwrap_or(id);
    let known_by = match rule.priority {
        0 => format!("/{}", rule.matches),
        priority => format!("/{} priority={priority}", rule.matches),
    };
    if let Some(route) = rest.strip_suffix(known_by.as_str()) {
        return Read { route, has_name: false, is_short: false };
    }
    if rest == rule.name {
        return Read { route: rest, has_name: true, is_short: true };
    }
    let of_name = rest.strip_suffix(rule.name.as_str()).and_then(|rest| rest.strip_suffix('/'));
    Read { route: of_name.unwrap_or(rest), has_name: of_name.is_some(), is_short: false }
}

/// Whether a rule without a name would have this one, by its first host and its path as somebody wrote it.
fn is_called(name: &str, first_host: &str, path: &PathMatch) -> bool {
    name.strip_prefix(first_host).is_some_and(|written| is_form_of(written, path))
}

fn written_path<'r>(rule: &'r Rule, first_host: &str) -> Option<&'r str> {
    rule.name.strip_prefix(first_host).filter(|written| is_form_of(written, &rule.matches.path))
}

/// `/api/` is a form of the prefix `/api`.
fn is_form_of(written: &str, path: &PathMatch) -> bool {
    match path {
        PathMatch::Prefix(path) => written == path || written.strip_suffix('/').is_some_and(|short| short == path),
        PathMatch::Exact(path) => written == path,
        PathMatch::Regex(pattern) => written == matches::path_pattern(pattern),
    }
}
