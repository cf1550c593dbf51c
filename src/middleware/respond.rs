//! An answer of a rule's own: status, body and headers as configured, without asking any server.
//!
//! Compiled once, so that a request costs clones of shared bytes. Length and framing are the server's business, which
//! knows the method; here is only made sure that a status which has no body (204, 205, 304) has none.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderValue, Response, StatusCode};

use super::edit::Edits;
use super::variable::Variables;
use crate::config::message::{HeaderEdits, Respond};

/// A rule's own answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    headers: Edits,
    body: Bytes,
}

impl Answer {
    /// Compiles.
    ///
    /// # Errors
    /// The content type is no header value.
    pub fn compile(respond: &Respond) -> Result<Self, InvalidHeaderValue> {
        let has_body =
            !matches!(respond.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
        let content_type = HeaderValue::from_str(&respond.content_type)?;
        let edits = HeaderEdits { set: respond.headers.clone(), ..HeaderEdits::default() };
        Ok(Self {
            status: respond.status,
            content_type: has_body.then_some(content_type),
            headers: Edits::of_response([&edits]),
            body: if has_body { Bytes::copy_from_slice(respond.body.as_bytes()) } else { Bytes::new() },
        })
    }

    /// The answer to this request. A header whose value cannot be filled is left out.
    pub fn response(&self, variables: &Variables<'_>) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Err(error) = self.headers.apply(headers, variables) {
            tracing::debug!(%error, "a header of the rule's own answer is left out");
        }
        if let Some(content_type) = &self.content_type {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::config::message::{HeaderEdit, Piece, Variable};
    use crate::middleware::variable::tests::{example, template};

    fn respond(status: u16) -> Respond {
        let value = template(&[Piece::Text("for ".to_owned()), Piece::Variable(Variable::RequestHost)]);
        let name = HeaderName::from_static("x-answer");
        Respond {
            status: StatusCode::from_u16(status).expect("a status"),
            body: "<h1>Back soon</h1>".to_owned(),
            content_type: "text/html".to_owned(),
            headers: vec![HeaderEdit { name, value }],
        }
    }

    #[test]
    fn it_answers_as_configured() {
        let response = Answer::compile(&respond(503)).expect("it compiles").response(&example());
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html");
        assert_eq!(response.headers()["x-answer"], "for shop.example.com:8080");
        assert_eq!(response.body(), "<h1>Back soon</h1>");
    }

    #[test]
    fn a_status_without_body_has_none() {
        for status in [204, 205, 304] {
            let response = Answer::compile(&respond(status)).expect("it compiles").response(&example());
            assert!(response.body().is_empty() && !response.headers().contains_key(CONTENT_TYPE), "{status}");
        }
    }

    #[test]
    fn h040_the_content_type_cannot_end_the_header() {
        let evil = Respond { content_type: "text/html\r\nX: y".to_owned(), ..respond(200) };
        assert!(Answer::compile(&evil).is_err());
    }
}
