//! Whether an object may use something of another namespace.
//!
//! Only where the other namespace has granted it with a ReferenceGrant. Those are not read yet, so for now
//! nothing is granted; the answer does not even depend on whether the thing exists, as a refused object
//! must not learn what a foreign namespace holds.

use super::services::Unusable;
use crate::config::Slug;
use crate::config::spec::ServiceSpec;

/// The namespace in which an object's Service reference is to be looked up.
///
/// # Errors
/// `ref-not-permitted`, when that is another namespace.
pub fn namespace_of<'a>(service: &'a ServiceSpec, own: &'a str) -> Result<&'a str, Unusable> {
    match service.namespace.as_deref() {
        None => Ok(own),
        Some(namespace) if namespace == own => Ok(own),
        Some(namespace) => {
            let message = format!(
                "Service {namespace}/{} is in another namespace, and no ReferenceGrant there permits GatewayRoutes of {own}",
                service.name
            );
            Err(Unusable { slug: Slug::RefNotPermitted, message })
        }
    }
}
