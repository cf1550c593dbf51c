//! Whether an object may use something of another namespace.
//!
//! Only where the other namespace has granted it with a ReferenceGrant (Gateway API). Without leave the answer does not
//! depend on whether the thing exists: a refused object must not learn what a foreign namespace holds. Where the kind
//! ReferenceGrant is not installed there are none, and everything across namespaces is refused.

use serde_json::Value;

use super::services::{self, Found, Unusable};
use crate::config::Slug;
use crate::config::spec::ServiceSpec;
use crate::controller::world::{GrantObject, World};
use crate::crd::{GROUP, KIND};

/// Finds the port of a Service that an object of namespace `own` names.
///
/// # Errors
/// [`Unusable`], also when the Service is in another namespace which has not given leave.
pub fn find_service(world: &World, own: &str, service: &ServiceSpec) -> Found {
    let namespace = service.namespace.as_deref().unwrap_or(own);
    if namespace != own && !permits(world, namespace, own, &service.name) {
        let message = format!(
            "Service {namespace}/{} is in another namespace, and no ReferenceGrant there permits GatewayRoutes of {own}",
            service.name
        );
        return Err(Unusable { slug: Slug::RefNotPermitted, message });
    }
    services::find(world, namespace, service)
}

/// Whether `namespace` lets GatewayRoutes of `own` use its Service.
fn permits(world: &World, namespace: &str, own: &str, service: &str) -> bool {
    world.reference_grants(namespace).any(|grant| names_us(grant, own) && names_service(grant, service))
}

fn names_us(grant: &GrantObject, own: &str) -> bool {
    entries(grant, "from")
        .any(|from| text(from, "group") == GROUP && text(from, "kind") == KIND && text(from, "namespace") == own)
}

/// Without a name all of its kind are meant.
fn names_service(grant: &GrantObject, service: &str) -> bool {
    entries(grant, "to").any(|to| {
        let name = text(to, "name");
        text(to, "group").is_empty() && text(to, "kind") == "Service" && (name.is_empty() || name == service)
    })
}

fn entries<'g>(grant: &'g GrantObject, list: &str) -> impl Iterator<Item = &'g Value> {
    grant.spec.get(list).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
