//! Where the file says that clients connect.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Part;
use crate::config::listener::Listener;
use crate::config::problem::{Problem, Slug};
use crate::config::spec::ListenerSpec;

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

fn describe_listener(spec: &ListenerSpec, at: &str, problems: &mut Vec<Problem>) -> Option<Listener> {
    // A port outside the range was refused by the check.
    let port = u16::try_from(spec.port).ok().filter(|port| *port > 0)?;
    let mut listener = Listener::named_by_port(port);
    if let Some(name) = &spec.name {
        listener.name.clone_from(name);
    }
    match spec.address.as_deref().map(str::parse::<IpAddr>) {
        Some(Ok(address)) => listener.address = Some(address),
        Some(Err(_)) => {
            let message = "must be an IP address such as 127.0.0.1 or ::1, without port";
            problems.push(Problem::new(format!("{at}.address"), Slug::WrongType, message));
        }
        None => {}
    }
    Some(listener)
}
