//! Where the file says that clients connect, and what they may cost there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use http::{HeaderName, header};

use super::Part;
use super::cluster::describe_namespaces;
use crate::config::Gateway;
use crate::config::cluster::ListenerTerms;
use crate::config::describe::Block;
use crate::config::listener::{ClientAddress, Listener, ListenerLimits, PathReading};
use crate::config::problem::{Problem, Slug};
use crate::config::route::{Route, Rule};
use crate::config::spec::{
    ClientAddressSpec, EncodedSlashSpec, ListenerLimitsSpec, ListenerSpec, PathsSpec, SlashesSpec,
};
use crate::config::units::format_size;

/// Below it plain browsers are refused; above it a head is a body. Every connection may hold one.
const HEAD_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 20;
/// Parsing is linear in them, and looking one up too.
const HEADER_LINES: RangeInclusive<i32> = 1..=1000;
/// Above it no browser sends one.
const URI_BYTES: RangeInclusive<u64> = 128..=64 << 10;
/// More sockets than one machine has.
const CONNECTIONS: RangeInclusive<i32> = 1..=10_000_000;

/// The listeners of all files; if none says anything, the one of every Sluice.
pub fn describe_listeners(parts: &[Part<'_>], problems: &mut Vec<Problem>) -> Vec<Listener> {
    if parts.iter().all(|part| part.spec.listeners.is_none()) {
        return vec![Listener::default_http()];
    }
    let mut listeners = Vec::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut ports: BTreeMap<u16, String> = BTreeMap::new();
    for part in parts {
        for (at, spec) in part.placed("listeners", part.spec.listeners.as_ref()) {
            let Some(listener) = describe_listener(spec, &at, problems) else { continue };
            if let Some(taken) = ports.get(&listener.port) {
                let message = format!("port {} is listener {taken}'s", listener.port);
                problems.push(Problem::new(format!("{at}.port"), Slug::PortTaken, message));
            } else if let Some(taken) = names.get(&listener.name) {
                let message = format!("the name {} is taken by {taken}", listener.name);
                problems.push(Problem::new(format!("{at}.name"), Slug::DuplicateName, message));
            }
            ports.entry(listener.port).or_insert_with(|| listener.name.clone());
            names.entry(listener.name.clone()).or_insert_with(|| at.clone());
            listeners.push(listener);
        }
    }
    listeners
}

/// Whose objects may be served on each.
pub fn describe_terms(parts: &[Part<'_>], problems: &mut Vec<Problem>) -> Vec<ListenerTerms> {
    if parts.iter().all(|part| part.spec.listeners.is_none()) {
        return vec![ListenerTerms { name: Listener::default_http().name, namespaces: None }];
    }
    let mut terms = Vec::new();
    for part in parts {
        for (at, spec) in part.placed("listeners", part.spec.listeners.as_ref()) {
            let port = u16::try_from(spec.port).unwrap_or_default();
            let name = spec.name.clone().unwrap_or_else(|| Listener::named_by_port(port).name);
            let mut block = Block::new(at, problems);
            let written = spec.namespaces.as_deref();
            let namespaces = written.map(|_| describe_namespaces("namespaces", written, &mut block));
            terms.push(ListenerTerms { name, namespaces });
        }
    }
    terms
}

fn describe_listener(spec: &ListenerSpec, at: &str, problems: &mut Vec<Problem>) -> Option<Listener> {
    // A port outside the range was refused by the check.
    let port = u16::try_from(spec.port).ok().filter(|port| *port > 0)?;
    let mut listener = Listener::named_by_port(port);
    if let Some(name) = &spec.name {
        listener.name.clone_from(name);
    }
    let mut block = Block::new(at, problems);
    match spec.address.as_deref().map(str::parse::<IpAddr>) {
        Some(Ok(address)) => listener.address = Some(address),
        Some(Err(_)) => {
            let message = "must be an IP address such as 127.0.0.1 or ::1, without port";
            block.problem("address", Slug::WrongType, message);
        }
        None => {}
    }
    if let Some(client) = &spec.client_address {
        listener.client_address = describe_client_address(client, &mut block.below("clientAddress"));
    }
    if let Some(paths) = &spec.paths {
        listener.paths = describe_paths(paths);
    }
    if let Some(limits) = &spec.limits {
        listener.limits = describe_limits(limits, &mut block.below("limits"));
    }
    Some(listener)
}

fn describe_client_address(spec: &ClientAddressSpec, block: &mut Block<'_>) -> ClientAddress {
    let mut client = ClientAddress::default();
    block.cidrs("trust", spec.trust.as_deref(), &mut client.trust);
    let Some(text) = &spec.header else { return client };
    match HeaderName::from_bytes(text.as_bytes()) {
        // Its values are written in another way: `for=192.0.2.60;proto=http`.
        Ok(name) if name == header::FORWARDED => {
            block.problem("header", Slug::NotSupported, "Forwarded is not supported yet");
        }
        Ok(name) => name.as_str().clone_into(&mut client.header),
        Err(_) => block.problem("header", Slug::HttpForm, "is not a header name"),
    }
    client
}

fn describe_paths(spec: &PathsSpec) -> PathReading {
    PathReading {
        keeps_slashes: spec.slashes.unwrap_or_default() == SlashesSpec::Keep,
        rejects_encoded_slash: spec.encoded_slash.unwrap_or_default() == EncodedSlashSpec::Reject,
    }
}

fn describe_limits(spec: &ListenerLimitsSpec, block: &mut Block<'_>) -> ListenerLimits {
    let mut limits = ListenerLimits::default();
    block.size_within("head", spec.head.as_deref(), &HEAD_BYTES, &mut limits.head_bytes);
    let mut headers = u16::try_from(limits.headers).unwrap_or(u16::MAX);
    block.count("headers", spec.headers, &HEADER_LINES, &mut headers);
    limits.headers = usize::from(headers);
    block.size_within("uri", spec.uri.as_deref(), &URI_BYTES, &mut limits.uri_bytes);
    block.duration("headTime", spec.head_time.as_deref(), &mut limits.head_time);
    block.duration("bodyIdle", spec.body_idle.as_deref(), &mut limits.body_idle);
    block.duration("writeIdle", spec.write_idle.as_deref(), &mut limits.write_idle);
    block.duration("keepAlive", spec.keep_alive.as_deref(), &mut limits.keep_alive);
    limits.request_body = block.size("requestBody", spec.request_body.as_deref()).flatten();
    block.bound("connections", spec.connections, &CONNECTIONS, &mut limits.connections);
    let per_client = spec.connections_per_client;
    block.bound("connectionsPerClient", per_client, &CONNECTIONS, &mut limits.connections_per_client);
    block.duration("connectionAge", spec.connection_age.as_deref(), &mut limits.connection_age);
    let mut requests = 0_u32;
    block.count("requestsPerConnection", spec.requests_per_connection, &(0..=1_000_000_000), &mut requests);
    limits.requests_per_connection = u64::from(requests);
    limits
}

/// Rules that permit longer bodies than a listener they are served on: the listener's bound counts. Called with the
/// whole Gateway, since a bound may come from defaults or policies.
pub fn warn_of_bounds_above_listeners(gateway: &Gateway, problems: &mut Vec<Problem>) {
    problems.extend(gateway.routes.iter().flat_map(|route| bounds_above_listeners(route, &gateway.listeners)));
}

/// The same for one route.
pub fn bounds_above_listeners(route: &Route, listeners: &[Listener]) -> Vec<Problem> {
    // The least of them, as that is where it is met first.
    let served_on = listeners.iter().filter(|listener| is_served_on(route, listener));
    let Some(least) = served_on.filter_map(|listener| listener.limits.request_body).min() else { return Vec::new() };
    let above = |rule: &Arc<Rule>| {
        let wanted = rule.traffic.request_body.filter(|wanted| *wanted > least)?;
        let (wanted, least) = (format_size(wanted), format_size(least));
        let message = format!("{wanted} is above the listener's {least}, which counts");
        Some(Problem::new(format!("{}.limits.requestBody", rule.at), Slug::AboveListener, message))
    };
    route.rules.iter().filter_map(above).collect()
}

fn is_served_on(route: &Route, listener: &Listener) -> bool {
    route.listeners.is_empty() || route.listeners.contains(&listener.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, Match, PathMatch, RuleId, Source, Traffic};

    fn listener(port: u16, request_body: Option<u64>) -> Listener {
        let limits = ListenerLimits { request_body, ..ListenerLimits::default() };
        Listener { limits, ..Listener::named_by_port(port) }
    }

    fn warnings(listeners: Vec<Listener>, served_on: &[&str], request_body: Option<u64>) -> Vec<String> {
        let rule = Rule {
            id: RuleId::new("file/all"),
            name: "all".to_owned(),
            at: "routes[0]".to_owned(),
            matches: Match::path(PathMatch::Prefix("/".to_owned())),
            action: Action::Broken,
            priority: 0,
            traffic: Arc::new(Traffic { request_body, ..Traffic::default() }),
        };
        let listeners_of_route = served_on.iter().map(|name| (*name).to_owned()).collect();
        let route = Route {
            source: Source::File,
            hosts: Vec::new(),
            listeners: listeners_of_route,
            rules: vec![Arc::new(rule)],
        };
        let gateway = Gateway { listeners, routes: vec![Arc::new(route)], ..Gateway::default() };
        let mut problems = Vec::new();
        warn_of_bounds_above_listeners(&gateway, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_above_its_listener_is_told() {
        const MIB: u64 = 1 << 20;
        let both = || vec![listener(80, Some(100 * MIB)), listener(81, None)];
        let told = ["routes[0].limits.requestBody: 200MiB is above the listener's 100MiB, which counts"];
        assert_eq!(warnings(both(), &[], Some(200 * MIB)), told);
        assert_eq!(warnings(both(), &["http-80"], Some(200 * MIB)), told);
        assert!(warnings(both(), &["http-81"], Some(200 * MIB)).is_empty(), "it is not served on the other");
        assert!(warnings(both(), &[], Some(100 * MIB)).is_empty());
        assert!(warnings(both(), &[], None).is_empty());
    }
}
