//! Schema pieces that serde types alone cannot say: forms with a message, list types, bounds.
//!
//! Written by hand because the API server shows a `pattern` to users raw, while a CEL rule has a
//! message. Bounds on lengths and counts keep the cost of those rules under the API server's limit.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::spec::BackendSpec;

mod rule;

pub use rule::*;

/// The text users see for a path that is not in the form it is matched in.
pub const PATH_MESSAGE: &str =
    "must begin with / and be written the way it is matched: no //, /./, /../, ?, #, spaces or %2F";
/// The text users see for what is no host name.
pub const HOST_MESSAGE: &str =
    "must be a host name in lower case, without port; a wildcard stands for the whole first part: *.example.com";
/// The text users see for what is no host outside the cluster.
pub const EXTERNAL_HOST_MESSAGE: &str =
    "must be a host name in lower case, *.example.com, or an IP address, without scheme and port";
/// The text users see for what clients cannot connect to.
pub const PUBLIC_ADDRESS_MESSAGE: &str = "must be an IP address or a host name in lower case, without port";
/// The text users see for what is no namespace.
pub const NAMESPACE_MESSAGE: &str = "must be the name of a namespace, such as shop, or * for all";
/// The text users see when no backend gets anything.
pub const WEIGHTS_MESSAGE: &str = "at least one backend needs a weight above 0";

/// A path as it is matched.
pub fn path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 512,
        "x-kubernetes-validations": [{
            "rule": "self.startsWith('/') && !self.contains('//') && !self.contains('/./') && !self.contains('/../') && !self.endsWith('/.') && !self.endsWith('/..') && !self.contains('?') && !self.contains('#') && !self.contains(' ') && !self.contains('%2f') && !self.contains('%2F') && self.matches('^[!-~]*$')",
            "message": PATH_MESSAGE,
        }],
    })
}

/// Host names, each once.
pub fn hosts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 253,
            "x-kubernetes-validations": [{
                "rule": "self.matches('^([*][.])?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
                "message": HOST_MESSAGE,
            }],
        },
    })
}

/// The same, at least one, for a whole organisation.
pub fn some_hosts(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = hosts(generator);
    schema.insert("minItems".to_owned(), 1.into());
    schema.insert("maxItems".to_owned(), 256.into());
    schema
}

/// Hosts outside the cluster.
pub fn external_hosts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 256, "items": { "type": "string", "maxLength": 253 } })
}

/// What clients connect to.
pub fn public_addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 16, "items": { "type": "string", "maxLength": 253 } })
}

/// Methods, each once.
pub fn methods(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": method(generator),
    })
}

/// Header names with the value each must have.
pub fn headers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": [{
            "rule": "self.all(name, name.matches('^[-!#$%&*+.^_|~0-9A-Za-z]+$'))",
            "message": "a header name has letters, digits and hyphens, and no spaces",
        }],
    })
}

/// Backends, of which at least one gets something.
pub fn backends(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 32,
        "items": generator.subschema_for::<BackendSpec>(),
        "x-kubernetes-validations": [{
            "rule": "self.exists(b, !has(b.weight) || b.weight > 0)",
            "message": WEIGHTS_MESSAGE,
        }],
    })
}

/// A duration.
pub fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",
            "message": "must be a duration such as 500ms, 30s, 1m30s or 2h (whole numbers, units h m s ms)",
        }],
    })
}

/// The text users see for what is no size.
pub const SIZE_MESSAGE: &str = "must be a size such as 512B, 64KiB, 10MiB, 2GiB, or unlimited (1m and 1M are refused: they mean different things in different tools)";
/// The text users see for what a probe cannot ask for.
pub const PROBE_PATH_MESSAGE: &str = "must begin with /, as in /healthz?full=1, and have no spaces and no #";
/// The text users see for fields of an HTTP probe beside type tcp.
pub const PROBE_FORM_MESSAGE: &str =
    "a tcp probe only connects: path, method, host, headers and statuses go with type http";

/// A size.
pub fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 16,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^(unlimited|[0-9]{1,10}(B|[KMG]iB?))$')",
            "message": SIZE_MESSAGE,
        }],
    })
}

/// A TCP port.
pub fn port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535 })
}

/// Ranges of addresses.
pub fn cidrs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "items": { "type": "string", "maxLength": 64 },
    })
}

/// Statuses, classes and ranges of them: 503, "5xx", "500-504".
pub fn statuses(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 16, "items": generator.subschema_for::<IntOrString>() })
}

/// The same, at least one.
pub fn some_statuses(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "maxItems": 16, "items": generator.subschema_for::<IntOrString>() })
}

/// What a probe asks for: a path, and a query if need be.
pub fn probe_path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 512,
        "x-kubernetes-validations": [{
            "rule": "self.startsWith('/') && !self.contains('#') && self.matches('^[!-~]*$')",
            "message": PROBE_PATH_MESSAGE,
        }],
    })
}

/// A method.
pub fn method(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[-!#$%&*+.^_|~0-9A-Z]+$')",
            "message": "must be a method such as GET or POST, in capitals",
        }],
    })
}
