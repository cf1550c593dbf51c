//! Every answer that is ours and not a server's: one table.
//!
//! The reason stands in the answer's text, in the access log and in `sluice_refusals_total`, always the same
//! word, so that a client's complaint can be found in the log.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client should not ask like this.
    Client,
    /// The servers behind us.
    Upstream,
    /// The configuration.
    Configuration,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $reason:literal, $status:ident, $fault:ident, $text:literal;)*) => {
        /// Why we answer ourselves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal { $($(#[$doc])* $variant),* }

        impl Refusal {
            /// All of them, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The label.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason),* }
            }

            /// The status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),* }
            }

            /// Whose fault it is.
            pub fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault),* }
            }

            /// What is told to the client.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

refusals! {
    /// Nobody named this host.
    NoHost = "no_host", NOT_FOUND, Client, "no route names this host";
    /// No rule of the host matches.
    NoRoute = "no_route", NOT_FOUND, Client, "no rule of this host matches the request";
    /// The Host header is missing, doubled or no host.
    BadHost = "bad_host", BAD_REQUEST, Client, "the request needs exactly one valid Host";
    /// The path can be read in two ways.
    BadPath = "bad_path", BAD_REQUEST, Client, "the path is not valid";
    /// The length of the body can be read in two ways.
    BadFraming = "bad_framing", BAD_REQUEST, Client, "the request's length is not clear";
    /// The head is no HTTP/1.1, or could be read in two ways.
    BadHead = "bad_head", BAD_REQUEST, Client, "the request is not valid HTTP/1.1";
    /// HTTP, but neither 1.0 nor 1.1.
    BadVersion = "bad_version", HTTP_VERSION_NOT_SUPPORTED, Client, "only HTTP/1.0 and HTTP/1.1 are served here";
    /// The head is over the listener's bounds.
    HeadTooLarge = "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, Client, "the request's head is too large";
    /// The head did not arrive within the listener's bound.
    HeadTimeout = "head_timeout", REQUEST_TIMEOUT, Client, "the request's head did not arrive in time";
    /// The body is over a bound.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, Client, "the request's body is too large";
    /// The target is over the listener's bound.
    UriTooLong = "uri_too_long", URI_TOO_LONG, Client, "the request's target is too long";
    /// CONNECT and TRACE.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Client, "this method is not served here";
    /// Not a method written in capitals.
    UnknownMethod = "unknown_method", NOT_IMPLEMENTED, Client, "this is not a method";
    /// `Expect` with something else than 100-continue.
    BadExpectation = "bad_expectation", EXPECTATION_FAILED, Client, "only 100-continue can be expected";
    /// An upgrade with a body, or of a kind that is not let through in this way.
    BadUpgrade = "bad_upgrade", BAD_REQUEST, Client, "a request for an upgrade has no body";
    /// The client's address is not allowed here.
    AddressDenied = "address_denied", FORBIDDEN, Client, "this address may not ask here";
    /// A rate limit is met.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, Client, "too many requests";
    /// What the rate limit counts by is not in the request.
    RateKeyMissing = "rate_key_missing", TOO_MANY_REQUESTS, Client, "the request lacks what its rate limit counts by";
    /// Too many requests at once.
    TooManyAtOnce = "too_many_at_once", SERVICE_UNAVAILABLE, Configuration, "too many requests at once";
    /// The client did not send its whole request.
    ClientBody = "client_body", BAD_REQUEST, Client, "the request's body did not arrive whole";
    /// The client sent nothing for the idle timeout.
    ClientTimeout = "client_timeout", REQUEST_TIMEOUT, Client, "the request's body did not arrive in time";
    /// The rule is off, as something in it is wrong.
    RuleOff = "rule_off", INTERNAL_SERVER_ERROR, Configuration, "the rule for this request is off because it is not valid";
    /// The backend does not exist.
    BackendMissing = "backend_missing", INTERNAL_SERVER_ERROR, Configuration, "the backend of this rule does not exist";
    /// The rewrite of the rule makes no path of this request's.
    BadRewrite = "bad_rewrite", INTERNAL_SERVER_ERROR, Configuration, "the rewrite of this rule makes no valid path";
    /// The upstream has no endpoint.
    NoEndpoints = "no_endpoints", SERVICE_UNAVAILABLE, Upstream, "no server is there for this request";
    /// All endpoints are unhealthy.
    NoHealthyEndpoint = "no_healthy_endpoint", SERVICE_UNAVAILABLE, Upstream, "no server for this request is healthy";
    /// All endpoints' breakers are open.
    CircuitOpen = "circuit_open", SERVICE_UNAVAILABLE, Upstream, "the servers for this request failed too often and are left alone";
    /// The upstream has as much as it may get.
    UpstreamFull = "upstream_full", SERVICE_UNAVAILABLE, Upstream, "the servers for this request have enough to do";
    /// No descriptor, port or memory for a connection to a server.
    Exhausted = "exhausted", SERVICE_UNAVAILABLE, Configuration, "the gateway has no room for a connection to the server";
    /// No connection to any endpoint tried.
    ConnectFailed = "connect_failed", BAD_GATEWAY, Upstream, "no connection to the server";
    /// The server closed before it answered.
    NoAnswer = "no_answer", BAD_GATEWAY, Upstream, "the server closed the connection without an answer";
    /// The server's answer cannot be passed on.
    BadAnswer = "bad_answer", BAD_GATEWAY, Upstream, "the server's answer is not valid";
    /// The server did not answer in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, Upstream, "the server did not answer in time";
    /// One try took too long.
    TryTimeout = "try_timeout", GATEWAY_TIMEOUT, Upstream, "the server did not answer within the time of one try";
    /// The whole exchange took too long.
    RequestTimeout = "request_timeout", GATEWAY_TIMEOUT, Upstream, "the request took too long";
}

impl Refusal {
    /// Seconds after which trying again may help, where nobody knows better.
    fn retry_after(self) -> Option<u64> {
        match self {
            Self::NoEndpoints | Self::NoHealthyEndpoint | Self::CircuitOpen | Self::UpstreamFull => Some(1),
            Self::TooManyAtOnce | Self::Exhausted => Some(1),
            _ => None,
        }
    }

    /// Whether the connection cannot be used on, as what follows on it is not clear; or, where descriptors are short,
    /// should not be, as its own is needed.
    pub fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::BadHost
                | Self::BadFraming
                | Self::BadPath
                | Self::BadHead
                | Self::BadVersion
                | Self::HeadTooLarge
                | Self::HeadTimeout
                | Self::BodyTooLarge
                | Self::UriTooLong
                | Self::UnknownMethod
                | Self::MethodNotAllowed
                | Self::BadExpectation
                | Self::ClientBody
                | Self::ClientTimeout
                | Self::BadUpgrade
                | Self::Exhausted
        )
    }
}

/// A refusal with what is known about this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// Of the answer: the refusal's, or what the configuration says.
    pub status: StatusCode,
    /// After which trying again may help.
    pub retry_after: Option<Duration>,
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Self {
        Self { why, status: why.status(), retry_after: why.retry_after().map(Duration::from_secs) }
    }
}

impl Refused {
    /// With another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With a better guess of when to try again.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The answer.
    pub fn response(&self) -> Response<String> {
        let text = format!("{}: {}\n", self.why.reason(), self.why.text());
        let mut response = Response::new(text);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(after).into());
        }
        response
    }
}

/// Rounded up, at least one: who comes back too early is refused again.
fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_labels_and_unique() {
        let mut reasons: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.reason()).collect();
        assert!(reasons.iter().all(|reason| reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), Refusal::ALL.len());
    }

    #[test]
    fn who_is_told_to_come_back_is_told_when() {
        let refused = Refused::from(Refusal::CircuitOpen).with_retry_after(Duration::from_millis(2001));
        assert_eq!(refused.response().headers().get(header::RETRY_AFTER), Some(&HeaderValue::from_static("3")));
        let answer = Refused::from(Refusal::RateLimited).with_status(StatusCode::SERVICE_UNAVAILABLE).response();
        assert_eq!((answer.status().as_u16(), answer.headers().get(header::RETRY_AFTER)), (503, None));
        assert_eq!(answer.body(), "rate_limited: too many requests\n");
    }

    #[test]
    fn the_status_tells_whose_fault_it_is() {
        for refusal in Refusal::ALL {
            let of_client = [StatusCode::NOT_IMPLEMENTED, StatusCode::HTTP_VERSION_NOT_SUPPORTED];
            let is_client = refusal.status().is_client_error() || of_client.contains(&refusal.status());
            assert_eq!(is_client, refusal.fault() == Fault::Client, "{refusal:?}");
        }
    }
}
