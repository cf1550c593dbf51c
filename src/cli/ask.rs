//! One GET by hand: commands that ask a running instance, or a server, need nothing more of HTTP.
//!
//! In HTTP/1.0, so that the answer ends with the connection or has its length. Everything is bounded: connecting, any
//! silence, the bytes that are read.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Header lines of an answer; more are an answer that nobody asked for.
const MAX_HEADERS: usize = 64;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where to connect.
    pub address: SocketAddr,
    /// `Host`.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Connecting, and any silence.
    pub patience: Duration,
    /// Of the whole answer.
    pub max_bytes: u64,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As a number.
    pub status: u16,
    /// All of it.
    pub body: Vec<u8>,
}

/// Asks.
///
/// # Errors
/// What the system says; [`ErrorKind::InvalidData`] for what is no whole answer.
pub fn ask(question: &Question<'_>) -> Result<Answer, Error> {
    let Question { address, host, target, patience, max_bytes } = *question;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET {target} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: sluice\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(max_bytes).read_to_end(&mut bytes)?;
    read(&bytes)
}

fn read(bytes: &[u8]) -> Result<Answer, Error> {
    let unreadable = |why: &str| Error::new(ErrorKind::InvalidData, why.to_owned());
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head.parse(bytes).map_err(|_| unreadable("what came is no HTTP answer"))?;
    let httparse::Status::Complete(length) = parsed else { return Err(unreadable("the answer is cut off")) };
    let told = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let told: Option<usize> = told.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let body = bytes.get(length..).unwrap_or_default();
    if told.is_some_and(|told| told != body.len()) {
        return Err(unreadable("the answer is cut off"));
    }
    Ok(Answer { status: head.code.unwrap_or_default(), body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_read_and_others_are_told() {
        let answer = |text: &str| read(text.as_bytes()).map_err(|error| error.to_string());
        let good = Answer { status: 404, body: b"no".to_vec() };
        assert_eq!(answer("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"), Ok(good.clone()));
        assert_eq!(answer("HTTP/1.1 404 Not Found\r\n\r\nno"), Ok(good));
        assert_eq!(
            answer("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno"),
            Err("the answer is cut off".into())
        );
        assert_eq!(answer("HTTP/1.1 404 Not"), Err("the answer is cut off".into()));
        assert_eq!(answer("SSH-2.0"), Err("what came is no HTTP answer".into()));
    }
}
