//! Any bytes as a chunked body, in any pieces: the data, the end or the refusal do not depend on how it was cut.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sluice::upstream::http1::chunked::{Chunked, Decoded};

/// The data, and whether the body has ended; none: refused.
fn decode(bytes: &[u8], piece: usize) -> Option<(Vec<u8>, bool)> {
    let (mut chunked, mut buffer, mut data) = (Chunked::default(), BytesMut::new(), Vec::new());
    for part in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(part);
        loop {
            match chunked.decode(&mut buffer).ok()? {
                Decoded::NeedMore => break,
                Decoded::End => return Some((data, true)),
                Decoded::Data(part) => data.extend_from_slice(&part),
                Decoded::Trailers(_) => {}
            }
        }
    }
    Some((data, chunked.is_end()))
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    assert_eq!(decode(bytes, bytes.len()), decode(bytes, usize::from(piece)));
});
