//! Where clients reach us, as every status says: what the operator's file names, else what the load balancer of our
//! own Service has, and its external addresses.
//!
//! The Service is read once in a while instead of watched: it changes about once in its life, and a role for one
//! object by name is enough to get it. A failed read leaves what was known; what was never known is left in the
//! statuses as it stands there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::status_writer::Board;
use super::watch::jittered;

/// Between two reads. A new load balancer takes minutes to come.
const EVERY: Duration = Duration::from_secs(15);
/// One request.
const DEADLINE: Duration = Duration::from_secs(5);

/// Puts the addresses of a Service on the board, for ever; ends `known` with the first.
pub async fn follow(client: Client, namespace: String, service: String, board: Arc<Board>, known: CancellationToken) {
    let api: Api<Service> = Api::namespaced(client, &namespace);
    let mut last = None;
    loop {
        match timeout(DEADLINE, api.get(&service)).await {
            Ok(Ok(found)) => {
                let addresses = addresses(&found);
                if last.as_ref() != Some(&addresses) {
                    info!(?addresses, service, "where clients reach us");
                    board.set_addresses(addresses.clone(), Instant::now());
                    last = Some(addresses);
                }
                known.cancel();
            }
            Ok(Err(error)) => debug!(%error, service, "cannot read our own Service"),
            Err(_) => debug!(service, "no answer about our own Service in time"),
        }
        sleep(jittered(EVERY)).await;
    }
}

/// Each once: those of the load balancer first, by address or by name, then the external ones.
fn addresses(service: &Service) -> Vec<String> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let of_balancer = ingress.filter_map(|entry| entry.ip.clone().or_else(|| entry.hostname.clone()));
    let external = service.spec.as_ref().and_then(|spec| spec.external_ips.clone()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    of_balancer.chain(external).filter(|address| !address.is_empty() && seen.insert(address.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_balancer_comes_first_and_nothing_twice() {
        let text = r#"{"spec": {"externalIPs": ["198.51.100.1", "203.0.113.7"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}, {"hostname": "lb.example.com"}]}}}"#;
        let service: Service = serde_json::from_str(text).unwrap();
        assert_eq!(addresses(&service), ["203.0.113.7", "lb.example.com", "198.51.100.1"]);
        assert!(addresses(&Service::default()).is_empty());
    }
}
