//! A thing of a request that something is reckoned by: the key of a rate limit, what a consistent hash looks at.

use std::fmt;

use http::HeaderName;

/// One thing of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// The client's address as the listener sees it; IPv6 cut to /64, which is what one customer has.
    ClientAddress,
    /// The host, normalised.
    Host,
    /// As in the request line.
    Method,
    /// The path, normalised, without query.
    Path,
    /// The rule's identity.
    Route,
    /// The listener's name.
    Listener,
    /// The first value of a header.
    Header(HeaderName),
    /// The first cookie of this name.
    Cookie(String),
    /// The first query parameter of this name.
    Query(String),
}

/// Why a text is no attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Not one of the list.
    #[error("must be clientAddress, host, method, path, route, listener, header:NAME, cookie:NAME or query:NAME")]
    Form,
    /// Part of the reference, not built yet.
    #[error("{0} is not supported yet")]
    Later(String),
}

impl Attribute {
    /// Reads `clientAddress`, `header:X-Api-Key` ...
    ///
    /// # Errors
    /// [`AttributeError`]
    pub fn parse(text: &str) -> Result<Self, AttributeError> {
        let named = |name: &str| if name.is_empty() { Err(AttributeError::Form) } else { Ok(name.to_owned()) };
        match text.split_once(':') {
            Some(("header", name)) => {
                HeaderName::from_bytes(name.as_bytes()).map(Self::Header).map_err(|_| AttributeError::Form)
            }
            Some(("cookie", name)) => named(name).map(Self::Cookie),
            Some(("query", name)) => named(name).map(Self::Query),
            Some(("claim", _)) => Err(AttributeError::Later(text.to_owned())),
            Some(_) => Err(AttributeError::Form),
            None => match text {
                "clientAddress" => Ok(Self::ClientAddress),
                "host" => Ok(Self::Host),
                "method" => Ok(Self::Method),
                "path" => Ok(Self::Path),
                "route" => Ok(Self::Route),
                "listener" => Ok(Self::Listener),
                "clientCertificate" => Err(AttributeError::Later(text.to_owned())),
                _ => Err(AttributeError::Form),
            },
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAddress => f.write_str("clientAddress"),
            Self::Host => f.write_str("host"),
            Self::Method => f.write_str("method"),
            Self::Path => f.write_str("path"),
            Self::Route => f.write_str("route"),
            Self::Listener => f.write_str("listener"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
        }
    }
}

impl serde::Serialize for Attribute {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_as_users_write_them() {
        for text in ["clientAddress", "host", "route", "header:x-api-key", "cookie:sid", "query:user"] {
            assert_eq!(Attribute::parse(text).map(|attribute| attribute.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(Attribute::parse("header:X-Api-Key"), Attribute::parse("header:x-api-key"));
        for text in ["", "client", "header:", "header:a b", "cookie:", "ip:1", "Host"] {
            assert_eq!(Attribute::parse(text), Err(AttributeError::Form), "{text:?}");
        }
        assert!(matches!(Attribute::parse("claim:sub"), Err(AttributeError::Later(_))));
    }
}
