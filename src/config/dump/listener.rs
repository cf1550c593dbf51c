//! Where clients connect.

use crate::config::listener::{ClientAddress, Listener, ListenerLimits, PathReading};
use crate::config::spec::{
    ClientAddressSpec, EncodedSlashSpec, ListenerLimitsSpec, ListenerSpec, PathsSpec, SlashesSpec,
};

use super::unit;

/// A listener with all that is not a default.
pub fn write(listener: &Listener) -> ListenerSpec {
    ListenerSpec {
        name: Some(listener.name.clone()),
        address: listener.address.map(|address| address.to_string()),
        port: i32::from(listener.port),
        client_address: (listener.client_address != ClientAddress::default())
            .then(|| client_address(&listener.client_address)),
        paths: (listener.paths != PathReading::default()).then(|| paths(listener.paths)),
        limits: (listener.limits != ListenerLimits::default()).then(|| limits(&listener.limits)),
        ..ListenerSpec::default()
    }
}

fn client_address(client: &ClientAddress) -> ClientAddressSpec {
    ClientAddressSpec { trust: Some(unit::ranges(&client.trust)), header: Some(client.header.clone()) }
}

fn paths(paths: PathReading) -> PathsSpec {
    PathsSpec {
        slashes: paths.keeps_slashes.then_some(SlashesSpec::Keep),
        encoded_slash: paths.rejects_encoded_slash.then_some(EncodedSlashSpec::Reject),
    }
}

fn limits(limits: &ListenerLimits) -> ListenerLimitsSpec {
    ListenerLimitsSpec {
        head: Some(unit::size(u64::try_from(limits.head_bytes).ok())),
        headers: Some(unit::number(limits.headers)),
        uri: Some(unit::size(u64::try_from(limits.uri_bytes).ok())),
        head_time: Some(unit::duration(limits.head_time)),
        body_idle: Some(unit::duration(limits.body_idle)),
        write_idle: Some(unit::duration(limits.write_idle)),
        keep_alive: Some(unit::duration(limits.keep_alive)),
        request_body: Some(unit::size(limits.request_body)),
        connections: limits.connections.map(unit::number),
        connections_per_client: limits.connections_per_client.map(unit::number),
        connection_age: Some(unit::duration(limits.connection_age)),
        requests_per_connection: Some(unit::number(limits.requests_per_connection)),
    }
}
