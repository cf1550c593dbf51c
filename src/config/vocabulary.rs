//! What is said about a name that the schema does not have.
//!
//! In this order: a field of the reference that a later version builds (never silently ignored, since a
//! limit or a check would be missing); a field of another place; a typing error; the name that another
//! proxy has for the same thing; else all names possible there.
//!
//! Places are named by the key they stand under (`routes`, `rules`, `backends` ...) and the one above that, as
//! `limits` of a listener are not those of an upstream; the file itself by the empty text. The schema's types are
//! written out in place and carry no names of their own.

use super::nearest::nearest;
use super::problem::Slug;

/// What is said about one unknown name.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its kind.
    pub slug: Slug,
    /// The text for users.
    pub message: String,
    /// The field of this version that was probably meant.
    pub meant: Option<String>,
}

/// What to say about `name` at a place, given with the one above it, where `known` can be written.
pub fn explain_field<'a>(
    (above, place): (&str, &str),
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Unknown {
    let later = later_fields(above, place);
    let about = |slug, message: String, meant: Option<&str>| Unknown { slug, message, meant: meant.map(str::to_owned) };
    if later.contains(&name) {
        return about(Slug::NotSupported, "not supported yet".to_owned(), None);
    }
    if let Some((_, _, message)) = MISPLACED.iter().find(|(at, field, _)| *at == place && *field == name) {
        return about(Slug::NotHere, (*message).to_owned(), None);
    }
    if let Some(meant) = nearest(name, known.clone()) {
        return about(Slug::UnknownField, format!("unknown field; did you mean \"{meant}\"?"), Some(meant));
    }
    if let Some(meant) = nearest(name, later.iter().copied()) {
        let message = format!("unknown field; did you mean \"{meant}\", which is not supported yet?");
        return about(Slug::UnknownField, message, None);
    }
    let fits = |field: &str| known.clone().any(|known| known == field);
    let foreign = FOREIGN.iter().filter(|(theirs, _, _)| *theirs == name);
    for (theirs, ours, whose) in foreign {
        // `limits.head` in a listener, `head` in its limits.
        let from_here = suffixes(ours).find(|ours| fits(first_of(ours)));
        if let Some(ours) = from_here {
            let message = format!("in Sluice this is \"{ours}\" ({whose}: {theirs})");
            return about(Slug::UnknownField, message, Some(first_of(ours)));
        }
        if later.contains(&first_of(ours)) {
            let message = format!("in Sluice this is \"{ours}\" ({whose}: {theirs}), which is not supported yet");
            return about(Slug::UnknownField, message, None);
        }
    }
    let names: Vec<&str> = known.collect();
    about(Slug::UnknownField, format!("unknown field; here one can write: {}", names.join(", ")), None)
}

/// `a.b.c`, `b.c`, `c`.
fn suffixes(path: &'static str) -> impl Iterator<Item = &'static str> {
    std::iter::successors(Some(path), |path| path.split_once('.').map(|(_, rest)| rest))
}

fn first_of(path: &'static str) -> &'static str {
    path.split('.').next().unwrap_or(path)
}

/// What to say about `word` where one of `known` is expected.
pub fn explain_word<'a>(field: &str, word: &str, known: impl Iterator<Item = &'a str> + Clone) -> Unknown {
    if LATER_WORDS.contains(&(field, word)) {
        return Unknown { slug: Slug::NotSupported, message: format!("{word} is not supported yet"), meant: None };
    }
    let shown: String = word.chars().take(40).collect();
    let message = match nearest(word, known.clone()) {
        Some(meant) => format!("{shown:?} is none of its values; did you mean \"{meant}\"?"),
        None => {
            format!("{shown:?} is none of its values; here one can write: {}", known.collect::<Vec<_>>().join(", "))
        }
    };
    Unknown { slug: Slug::WrongType, message, meant: None }
}

/// Fields of the reference that this version does not build, at a place below another.
pub fn later_fields(above: &str, place: &str) -> &'static [&'static str] {
    match (above, place) {
        ("listeners", "limits") => return &["handshake", "streams"],
        ("upstreams" | "upstream", "limits") => return &["adaptive"],
        ("observability", "accessLog") => return &["fields", "headers"],
        _ => {}
    }
    match place {
        "" => &["certificates"],
        "rateLimitStore" => &["redis"],
        "defaults" | "policies" => POLICY_LATER,
        "listeners" => &["http2", "tls", "proxyProtocol", "enforce"],
        "routes" | "rules" => RULE_LATER,
        "retries" => &["grpcStatuses"],
        "rateLimits" => &["onStoreError"],
        "security" => &["plaintext", "basic", "apiKey", "jwt", "external", "clientCertificate", "satisfy"],
        "upstreams" | "upstream" => &["protocol", "tls", "proxyProtocol"],
        "active" => &["grpcService"],
        "observability" => &["tracing"],
        _ => &[],
    }
}

macro_rules! rule_fields_later {
    ($($more:literal),*) => {
        &[
            $($more,)*
            "sticky", "mirrors", "cors", "compression", "buffering", "errorPages", "fault", "grpcWeb", "tracing",
        ]
    };
}

const RULE_LATER: &[&str] = rule_fields_later!("grpc");
const POLICY_LATER: &[&str] = rule_fields_later!();

/// Fields that only objects have, and that this version does not build.
pub fn later_fields_in_objects(place: &str) -> &'static [&'static str] {
    match place {
        "spec" => &["certificates"],
        _ => &[],
    }
}

/// Values of the reference that this version does not build: field, value.
const LATER_WORDS: &[(&str, &str)] = &[("protocol", "https"), ("type", "grpc")];

const OBJECT_ONLY: &str = "belongs to a GatewayRoute, not to the file";
const MANIFEST: &str = "belongs to a Kubernetes object, not to the file: an object is given to kubectl";
const ROUTE_ONLY: &str = "belongs to the route, not to a rule";

/// Fields of another place: place, field, message.
const MISPLACED: &[(&str, &str, &str)] = &[
    ("", "grants", OBJECT_ONLY),
    ("", "ingressClassName", OBJECT_ONLY),
    ("", "apiVersion", MANIFEST),
    ("", "kind", MANIFEST),
    ("", "metadata", MANIFEST),
    ("", "spec", MANIFEST),
    ("rules", "hosts", ROUTE_ONLY),
    ("rules", "rules", ROUTE_ONLY),
    ("rules", "listeners", ROUTE_ONLY),
];

/// Names that other proxies have: theirs, ours, whose. Of several the first that can be written counts.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("hostnames", "hosts", "Gateway API"),
    ("hostname", "hosts", "Gateway API"),
    ("fqdn", "hosts", "Contour"),
    ("virtualhost", "hosts", "Contour"),
    ("virtualHosts", "routes", "Envoy"),
    ("domains", "hosts", "Envoy"),
    ("serverName", "hosts", "nginx"),
    ("server_name", "hosts", "nginx"),
    ("services", "backends", "Contour"),
    ("services", "upstreams", "Traefik"),
    ("backendRefs", "backends", "Gateway API"),
    ("backendRef", "backends", "Gateway API"),
    ("destinations", "backends", "Istio"),
    ("proxyPass", "backends", "nginx"),
    ("proxy_pass", "backends", "nginx"),
    ("reverse_proxy", "backends", "Caddy"),
    ("cluster", "backends", "Envoy"),
    ("upstream", "backends", "nginx"),
    ("clusters", "upstreams", "Envoy"),
    ("backends", "upstreams", "HAProxy"),
    ("servers", "endpoints", "Traefik"),
    ("targets", "endpoints", "Kong"),
    ("addresses", "endpoints", "Endpoints"),
    ("lbEndpoints", "endpoints", "Envoy"),
    ("address", "url", "Envoy"),
    ("entryPoints", "listeners", "Traefik"),
    ("frontends", "listeners", "HAProxy"),
    ("gateways", "listeners", "Istio"),
    ("server", "listeners", "nginx"),
    ("listen", "listeners", "nginx"),
    ("listen", "port", "nginx"),
    ("bind", "address", "HAProxy"),
    ("routers", "routes", "Traefik"),
    ("http", "routes", "Istio"),
    ("prefix", "path", "Contour"),
    ("pathPrefix", "path", "Traefik"),
    ("location", "path", "nginx"),
    ("locations", "rules", "nginx"),
    ("match", "path", "Traefik"),
    ("matches", "path", "Gateway API"),
    ("exact", "exactPath", "Contour"),
    ("pathType", "exactPath", "Ingress"),
    ("regex", "pathRegex", "Contour"),
    ("method", "methods", "Gateway API"),
    ("queryParams", "query", "Gateway API"),
    ("queryParameters", "query", "Contour"),
    ("filters", "requestHeaders", "Gateway API"),
    ("middlewares", "use", "Traefik"),
    ("plugins", "use", "Kong"),
    ("retryPolicy", "retries", "Contour"),
    ("retry", "retries", "Gateway API"),
    ("numRetries", "retries.attempts", "Envoy"),
    ("num_retries", "retries.attempts", "Envoy"),
    ("timeoutPolicy", "timeouts", "Contour"),
    ("response", "request", "Contour"),
    ("backendRequest", "perTry", "Gateway API"),
    ("strategy", "loadBalancer", "Contour"),
    ("loadBalancerPolicy", "loadBalancer", "Contour"),
    ("lbPolicy", "loadBalancer", "Envoy"),
    ("sessionPersistence", "sticky", "Gateway API"),
    ("sessionAffinity", "sticky", "Service"),
    ("requestMirror", "mirrors", "Gateway API"),
    ("rateLimitPolicy", "rateLimits", "Contour"),
    ("ipAllowPolicy", "security.allow", "Contour"),
    ("ipWhiteList", "security.allow", "Traefik"),
    ("jwt", "security.jwt", "Envoy Gateway"),
    ("extAuth", "security.external", "Envoy Gateway"),
    ("requestHeadersPolicy", "requestHeaders", "Contour"),
    ("responseHeadersPolicy", "responseHeaders", "Contour"),
    ("pathRewritePolicy", "rewrite", "Contour"),
    ("urlRewrite", "rewrite", "Gateway API"),
    ("requestRedirect", "redirect", "Gateway API"),
    ("requestRedirectPolicy", "redirect", "Contour"),
    ("directResponse", "respond", "Envoy"),
    ("directResponsePolicy", "respond", "Contour"),
    ("corsPolicy", "cors", "Contour"),
    ("healthCheckPolicy", "healthCheck", "Contour"),
    ("outlierDetection", "healthCheck.passive", "Envoy"),
    ("thresholds", "limits", "Envoy"),
    ("maxConnections", "connections", "Envoy"),
    ("max_conns", "perEndpointConnections", "nginx"),
    ("maxconn", "perEndpointConnections", "HAProxy"),
    ("maxPendingRequests", "pending", "Envoy"),
    ("maxRequests", "requests", "Envoy"),
    ("slow_start", "slowStart", "nginx"),
    ("warmup", "slowStart", "Istio"),
    ("healthyThreshold", "healthyAfter", "Envoy"),
    ("unhealthyThreshold", "unhealthyAfter", "Envoy"),
    ("rise", "healthyAfter", "HAProxy"),
    ("fall", "unhealthyAfter", "HAProxy"),
    ("consecutive5xxErrors", "failures", "Istio"),
    ("max_fails", "healthCheck.passive.failures", "nginx"),
    ("fail_timeout", "healthCheck.passive.ejectFor", "nginx"),
    ("baseEjectionTime", "ejectFor", "Envoy"),
    ("maxEjectionPercent", "maxEjectPercent", "Envoy"),
    ("minHealthPercent", "healthCheck.panicPercent", "Istio"),
    ("expectedStatuses", "statuses", "Contour"),
    ("trustedIPs", "trust", "Traefik"),
    ("set_real_ip_from", "clientAddress.trust", "nginx"),
    ("real_ip_header", "clientAddress.header", "nginx"),
    ("large_client_header_buffers", "limits.head", "nginx"),
    ("client_max_body_size", "limits.requestBody", "nginx"),
    ("client_header_timeout", "limits.headTime", "nginx"),
    ("client_body_timeout", "limits.bodyIdle", "nginx"),
    ("send_timeout", "limits.writeIdle", "nginx"),
    ("keepalive_timeout", "limits.keepAlive", "nginx"),
    ("connectionPool", "pool", "Istio"),
    ("keepalive", "pool", "nginx"),
    ("keepAlive", "pool", "nginx"),
    ("accessLog", "observability.accessLog", "Traefik"),
    ("access_log", "observability.accessLog", "nginx"),
    ("tls", "certificates", "Traefik"),
    ("middleware", "policies", "Traefik"),
    ("middlewares", "policies", "Traefik"),
];

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::*;

    /// Is given the two keys that a record stands under, and its fields.
    type See<'s> = dyn FnMut((&str, &str), &[&str]) + 's;

    /// Visits each record of the schema.
    fn visit(shape: &Shape, (above, place): (&str, &str), see: &mut See<'_>) {
        match shape {
            Shape::Record { fields, .. } => {
                let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                see((above, place), &names);
                fields.iter().for_each(|(name, field)| visit(field, (place, name), see));
            }
            Shape::List { items, .. } => visit(items, (above, place), see),
            Shape::Map { values, .. } => visit(values, (above, place), see),
            _ => {}
        }
    }

    #[test]
    fn what_the_schema_has_is_not_called_later() {
        visit(Shape::of_file(), ("", ""), &mut |(above, place), names| {
            for name in names {
                assert!(!later_fields(above, place).contains(name), "{place}.{name} is built");
                assert!(!MISPLACED.iter().any(|(at, field, _)| *at == place && field == name), "{place}.{name}");
            }
        });
    }

    #[test]
    fn every_foreign_name_leads_to_a_field() {
        let mut fields: Vec<String> = Vec::new();
        visit(Shape::of_file(), ("", ""), &mut |(above, place), names| {
            fields.extend(names.iter().chain(later_fields(above, place)).map(|name| (*name).to_owned()));
        });
        for (theirs, ours, _) in FOREIGN {
            let field = ours.split('.').next().unwrap_or_default();
            assert!(fields.iter().any(|known| known == field), "{theirs} leads to {ours}, which is nowhere");
        }
    }

    #[test]
    fn the_nearest_name_comes_before_foreign_names() {
        let known = ["hosts", "path", "rules"];
        let about = |name| explain_field(("", "routes"), name, known.into_iter()).message;
        assert_eq!(about("pathh"), "unknown field; did you mean \"path\"?");
        assert_eq!(about("hostnames"), "in Sluice this is \"hosts\" (Gateway API: hostnames)");
        assert_eq!(about("cors"), "not supported yet");
        assert_eq!(about("mirror"), "unknown field; did you mean \"mirrors\", which is not supported yet?");
        assert_eq!(about("corsPolicy"), "in Sluice this is \"cors\" (Contour: corsPolicy), which is not supported yet");
        assert_eq!(about("colour"), "unknown field; here one can write: hosts, path, rules");
    }
}
