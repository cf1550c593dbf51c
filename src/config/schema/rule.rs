//! Schema pieces of rules: sizes, rates, patterns, names, and lists of them.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::methods;
use crate::config::spec::RateLimitSpec;

/// The text users see for what is not one host name.
pub const ONE_HOST_MESSAGE: &str = "must be one host name in lower case, without port and wildcard";
/// The text users see for a path to write to which is none.
pub const PATH_TEMPLATE_MESSAGE: &str = "must begin with / or with a group such as $1, and hold no ?, # or spaces";
/// The text users see for a limit's name.
pub const LIMIT_NAME_MESSAGE: &str = "must consist of letters, digits, hyphens, underscores and dots";
/// The text users see for a redirect's status.
pub const REDIRECT_STATUS_MESSAGE: &str = "must be 301, 302, 303, 307 or 308";
/// The text users see for a bound below the mean.
pub const BOUNDED_LOAD_MESSAGE: &str = "must be 0 for no bound, or at least 100";

/// A list of methods, each once, which may be empty.
pub fn methods_or_none(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = methods(generator);
    schema.remove("minItems");
    schema
}

/// So many in such a time.
pub fn rate(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[1-9][0-9]{0,8}/([1-9][0-9]{0,2})?(s|m|h|d)$')",
            "message": "must be a rate such as 100/s, 600/m, 50/10s or 10000/d",
        }],
    })
}

/// A pattern for paths. Evaluating a bad one fails, with the parser's reason.
pub fn path_regex(_: &mut SchemaGenerator) -> Schema {
    regex(512)
}

/// A pattern for values.
pub fn value_regex(_: &mut SchemaGenerator) -> Schema {
    regex(256)
}

fn regex(max_length: usize) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": max_length,
        "x-kubernetes-validations": [{
            "rule": "[''.matches(self)].size() == 1",
            "message": "not a regular expression",
        }],
    })
}

/// A path to write, with groups of a pattern.
pub fn path_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 512,
        "x-kubernetes-validations": [{
            "rule": "(self.startsWith('/') || self.startsWith('$')) && !self.contains('?') && !self.contains('#') && !self.contains(' ')",
            "message": PATH_TEMPLATE_MESSAGE,
        }],
    })
}

/// One host name, without wildcard.
pub fn host(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
            "message": ONE_HOST_MESSAGE,
        }],
    })
}

/// The status of a redirect.
pub fn redirect_status(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer",
        "format": "int32",
        "minimum": 301,
        "maximum": 308,
        "x-kubernetes-validations": [{ "rule": "self in [301, 302, 303, 307, 308]", "message": REDIRECT_STATUS_MESSAGE }],
    })
}

/// No bound, or one that all endpoints together can keep.
pub fn bounded_load(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "maximum": 10000,
        "x-kubernetes-validations": [{ "rule": "self == 0 || self >= 100", "message": BOUNDED_LOAD_MESSAGE }],
    })
}

/// The name of a limit, which stands in headers and labels.
pub fn limit_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "x-kubernetes-validations": [{ "rule": "self.matches('^[-_.A-Za-z0-9]+$')", "message": LIMIT_NAME_MESSAGE }],
    })
}

/// Rate limits, each name once.
pub fn rate_limits(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": generator.subschema_for::<RateLimitSpec>(),
    })
}

/// Names with values. What may stand in them is said by `describe`: a rule for each would cost too much below backends.
pub fn named_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
    })
}

/// Names of headers.
pub fn header_names(_: &mut SchemaGenerator) -> Schema {
    texts((0, 16), (1, 128), None)
}

/// Values that something may have.
pub fn values(_: &mut SchemaGenerator) -> Schema {
    texts((1, 16), (0, 256), None)
}

/// Names of listeners.
pub fn listener_names(_: &mut SchemaGenerator) -> Schema {
    texts((1, 8), (1, 63), None)
}

/// Namespaces, at least one.
pub fn namespaces(_: &mut SchemaGenerator) -> Schema {
    texts((1, 64), (1, 63), None)
}

/// Namespaces; none is a choice, too.
pub fn namespaces_or_none(_: &mut SchemaGenerator) -> Schema {
    texts((0, 256), (1, 63), None)
}

/// Names of policies.
pub fn policy_names(_: &mut SchemaGenerator) -> Schema {
    texts((0, 8), (1, 253), None)
}

/// Upgrades that are let through.
pub fn upgrades(_: &mut SchemaGenerator) -> Schema {
    texts((0, 8), (1, 32), None)
}

/// Things of a request.
pub fn attributes(_: &mut SchemaGenerator) -> Schema {
    texts((0, 4), (1, 160), Some(ATTRIBUTE))
}

/// Things of a request, at least one.
pub fn some_attributes(_: &mut SchemaGenerator) -> Schema {
    texts((1, 4), (1, 160), Some(ATTRIBUTE))
}

/// Ranges of addresses.
pub fn ranges(_: &mut SchemaGenerator) -> Schema {
    texts((0, 256), (1, 49), Some(RANGE))
}

/// Ranges of addresses, at least one: an empty list of those allowed could mean all and none.
pub fn allowed_ranges(_: &mut SchemaGenerator) -> Schema {
    texts((1, 256), (1, 49), Some(RANGE))
}

/// A few ranges of addresses.
pub fn some_ranges(_: &mut SchemaGenerator) -> Schema {
    texts((1, 64), (1, 49), Some(RANGE))
}

// Forms that are too many for rules with a message: the API server shows them raw, `describe` says more.
const ATTRIBUTE: &str =
    "^(clientAddress|clientCertificate|host|method|path|route|listener|(header|cookie|query|claim):[!-~]+)$";
const RANGE: &str = "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$";

fn texts((min, max): (usize, usize), (shortest, longest): (usize, usize), form: Option<&str>) -> Schema {
    let mut items = json_schema!({ "type": "string", "minLength": shortest, "maxLength": longest });
    if let Some(form) = form {
        items.insert("pattern".to_owned(), form.into());
    }
    let mut schema = json_schema!({ "type": "array", "maxItems": max, "items": items });
    if min > 0 {
        schema.insert("minItems".to_owned(), min.into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use schemars::SchemaGenerator;

    use super::*;
    use crate::config::units::{parse_rate, parse_size};

    #[test]
    fn objects_and_files_are_told_the_same() {
        let message = |schema: fn(&mut SchemaGenerator) -> Schema| {
            let schema = schema(&mut SchemaGenerator::default());
            let message = schema.as_value().pointer("/x-kubernetes-validations/0/message").cloned();
            message.and_then(|message| message.as_str().map(str::to_owned))
        };
        assert_eq!(message(crate::config::schema::size), parse_size("1m").err().map(|error| error.to_string()));
        assert_eq!(message(rate), parse_rate("1").err().map(|error| error.to_string()));
    }
}
