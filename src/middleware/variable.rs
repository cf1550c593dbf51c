//! Variables of a request in header values: `${client.address}`, `${request.host}`, `${request.url}`,
//! `${request.id}`.
//!
//! What comes from a client could end the header it is put into and begin another (response splitting). Host, path
//! and id are in normal form when they get here, so they contain no control characters; it is checked
//! once more all the same, by the only way there is into a [`HeaderValue`]. A value that fails is an error and never
//! cut to fit. Used by [`edit`](super::edit); what of a request decides elsewhere ([`Asked`]) is used by
//! [`redirect`](super::redirect) too.

use http::HeaderValue;

use crate::config::message::{Piece, Template, Variable};

/// 16 KiB: a URL of the longest target we take, twice. Servers refuse longer headers.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;

/// What a client asked for, in the form that was matched: before any rewrite.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Normalised, without port; IPv6 addresses in brackets; empty: none was given (HTTP/1.0).
    pub host: &'a str,
    /// As written.
    pub port: Option<u16>,
    /// Normalised.
    pub path: &'a str,
    /// As it came, without `?`.
    pub query: Option<&'a str>,
}

/// What variables stand for.
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    /// As the listener sees it.
    pub client_address: &'a str,
    /// For `request.host` and `request.url`.
    pub asked: Asked<'a>,
    /// What is sent as `X-Request-Id`.
    pub request_id: &'a [u8],
}

/// The value would not be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// A line break or another control character.
    #[error("the value would contain a control character")]
    Control,
    /// Over [`MAX_VALUE_BYTES`].
    #[error("the value would be over 16 KiB")]
    TooLong,
}

/// The text of a template for this request.
///
/// # Errors
/// [`VariableError`]; then nothing of it may be sent.
pub fn fill(template: &Template, variables: &Variables<'_>) -> Result<HeaderValue, VariableError> {
    let mut value = Vec::with_capacity(64);
    for piece in template.pieces() {
        match piece {
            Piece::Text(text) => value.extend_from_slice(text.as_bytes()),
            Piece::Variable(variable) => push(&mut value, *variable, variables),
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(VariableError::TooLong);
        }
    }
    HeaderValue::from_bytes(&value).map_err(|_| VariableError::Control)
}

fn push(value: &mut Vec<u8>, variable: Variable, variables: &Variables<'_>) {
    let asked = &variables.asked;
    match variable {
        Variable::ClientAddress => value.extend_from_slice(variables.client_address.as_bytes()),
        Variable::RequestId => value.extend_from_slice(variables.request_id),
        Variable::RequestHost => push_host(value, asked),
        Variable::RequestUrl => {
            value.extend_from_slice(asked.scheme.as_bytes());
            value.extend_from_slice(b"://");
            push_host(value, asked);
            value.extend_from_slice(asked.path.as_bytes());
            if let Some(query) = asked.query {
                value.push(b'?');
                value.extend_from_slice(query.as_bytes());
            }
        }
    }
}

fn push_host(value: &mut Vec<u8>, asked: &Asked<'_>) {
    value.extend_from_slice(asked.host.as_bytes());
    if let Some(port) = asked.port {
        value.push(b':');
        value.extend_from_slice(port.to_string().as_bytes());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn example() -> Variables<'static> {
        let asked = Asked {
            scheme: "http",
            host: "shop.example.com",
            port: Some(8080),
            path: "/cart",
            query: Some("a=1&b=%20"),
        };
        Variables { client_address: "2001:db8::1", asked, request_id: b"0123abcd" }
    }

    pub(crate) fn template(pieces: &[Piece]) -> Template {
        Template::new(pieces.to_vec())
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn each_variable_stands_for_its_part() {
        for (variable, wanted) in [
            (Variable::ClientAddress, "2001:db8::1"),
            (Variable::RequestHost, "shop.example.com:8080"),
            (Variable::RequestUrl, "http://shop.example.com:8080/cart?a=1&b=%20"),
            (Variable::RequestId, "0123abcd"),
        ] {
            let filled = fill(&template(&[text("<"), Piece::Variable(variable), text(">")]), &example());
            assert_eq!(filled.expect("fits").as_bytes(), format!("<{wanted}>").as_bytes());
        }
        assert_eq!(fill(&template(&[]), &example()).expect("fits").as_bytes(), b"");
        let plain = Variables { asked: Asked { port: None, query: None, ..example().asked }, ..example() };
        let url = fill(&template(&[Piece::Variable(Variable::RequestUrl)]), &plain);
        assert_eq!(url.expect("fits").as_bytes(), b"http://shop.example.com/cart");
    }

    #[test]
    fn h040_nothing_can_end_the_header_it_is_put_into() {
        for evil in ["a\r\nSet-Cookie: x=1", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\x1bb"] {
            let asked = example().asked;
            let all = [
                Variables { client_address: evil, ..example() },
                Variables { request_id: evil.as_bytes(), ..example() },
                Variables { asked: Asked { host: evil, ..asked }, ..example() },
                Variables { asked: Asked { path: evil, ..asked }, ..example() },
                Variables { asked: Asked { query: Some(evil), ..asked }, ..example() },
            ];
            for variables in all {
                let pieces = Variable::ALL.map(Piece::Variable);
                assert_eq!(fill(&template(&pieces), &variables), Err(VariableError::Control), "{variables:?}");
            }
        }
        let split = template(&[text("a\r\nb")]);
        assert_eq!(fill(&split, &example()), Err(VariableError::Control));
    }

    #[test]
    fn a_value_cannot_grow_without_end() {
        let path = "/".repeat(8 * 1024);
        let variables = Variables { asked: Asked { path: &path, ..example().asked }, ..example() };
        let url = Piece::Variable(Variable::RequestUrl);
        assert!(fill(&template(std::slice::from_ref(&url)), &variables).is_ok());
        let pieces = vec![url; 100];
        assert_eq!(fill(&template(&pieces), &variables), Err(VariableError::TooLong));
    }
}
