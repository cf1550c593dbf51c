//! Any bytes as the head of a request and of an answer, in two pieces: both are read or refused the same as in one, and
//! nothing that a reader further on could take for a line end gets through.
#![no_main]

use bytes::BytesMut;
use http::Method;
use libfuzzer_sys::fuzz_target;
use sluice::config::listener::ListenerLimits;

fn has_break(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let cut = usize::from(cut) % (bytes.len() + 1);
    let limits = ListenerLimits::default();

    let mut whole = BytesMut::from(bytes);
    let at_once = sluice::server::http1::head::parse(&mut whole, &limits);
    let mut pieces = BytesMut::from(&bytes[..cut]);
    if let Ok(None) = sluice::server::http1::head::parse(&mut pieces, &limits) {
        pieces.extend_from_slice(&bytes[cut..]);
        let in_pieces = sluice::server::http1::head::parse(&mut pieces, &limits);
        assert_eq!(at_once.is_ok(), in_pieces.is_ok());
    }
    if let Ok(Some(head)) = at_once {
        assert!(head.parts.headers.values().all(|value| !has_break(value.as_bytes())));
        assert!(head.parts.headers.len() <= limits.headers);
    }

    let mut answer = BytesMut::from(bytes);
    if let Ok(Some(head)) = sluice::upstream::http1::head::parse(&mut answer, &Method::GET) {
        assert!(head.fields.to_map().values().all(|value| !has_break(value.as_bytes())));
        assert!(head.status.as_u16() >= 100);
    }
});
