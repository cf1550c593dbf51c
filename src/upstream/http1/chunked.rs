//! Reads a chunked body (RFC 9112, section 7.1), strictly.
//!
//! A reader that is generous here reads a different message than the next one does, which is how responses
//! get mixed up. So: one to sixteen hexadecimal digits and nothing else as size, CRLF and never LF alone,
//! extensions without control characters and bounded, data followed by CRLF.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::head::{ResponseError, parse_trailers};

/// All extensions of one body together: nobody needs more, and every byte of them costs.
const MAX_EXTENSION_BYTES: usize = 16 * 1024;
/// The trailer section of one body. It is read from its start whenever a piece of it comes, so it is short.
const MAX_TRAILER_BYTES: usize = 16 * 1024;
/// A size line without its extension: sixteen digits and CRLF.
const MAX_SIZE_DIGITS: usize = 16;

/// Where in a chunked body the next byte stands.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    extension_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    End,
}

/// What was found.
#[derive(Debug, PartialEq)]
pub enum Decoded {
    /// More bytes are needed.
    NeedMore,
    /// A part of the body.
    Data(Bytes),
    /// The trailer section; the body is at its end.
    Trailers(HeaderMap),
    /// The body is at its end.
    End,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { state: State::Size, extension_bytes: 0 }
    }
}

impl Chunked {
    /// Whether the last byte has been read.
    pub fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Takes the next part out of `buffer`.
    ///
    /// # Errors
    /// [`ResponseError::Chunk`] and kin for whatever is not exactly chunked.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, ResponseError> {
        loop {
            match self.state {
                State::Size => match self.read_size(buffer)? {
                    None => return Ok(Decoded::NeedMore),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Data(size),
                },
                State::Data(left) if buffer.is_empty() => {
                    debug_assert!(left > 0, "an empty chunk is the last one");
                    return Ok(Decoded::NeedMore);
                }
                State::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - take as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    let data = buffer.split_to(take).freeze();
                    // The end of the chunk is taken along, so that the last data can be seen to be the last.
                    self.skip_ahead(buffer)?;
                    return Ok(Decoded::Data(data));
                }
                State::DataEnd => {
                    if !self.skip_data_end(buffer)? {
                        return Ok(Decoded::NeedMore);
                    }
                }
                State::Trailers => return self.read_trailers(buffer),
                State::End => return Ok(Decoded::End),
            }
        }
    }

    /// After data: reads on over an empty trailer section if all of it is already here.
    fn skip_ahead(&mut self, buffer: &mut BytesMut) -> Result<(), ResponseError> {
        if self.state == State::DataEnd && buffer.as_ref() == b"\r\n0\r\n\r\n" {
            buffer.clear();
            self.state = State::End;
        }
        Ok(())
    }

    fn skip_data_end(&mut self, buffer: &mut BytesMut) -> Result<bool, ResponseError> {
        match buffer.as_ref() {
            [] | [b'\r'] => Ok(false),
            [b'\r', b'\n', ..] => {
                buffer.advance(2);
                self.state = State::Size;
                Ok(true)
            }
            _ => Err(ResponseError::Chunk),
        }
    }

    fn read_size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, ResponseError> {
        let digits = buffer.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > MAX_SIZE_DIGITS {
            return Err(ResponseError::Chunk);
        }
        let Some(after) = buffer.get(digits) else { return Ok(None) };
        if digits == 0 || !matches!(after, b'\r' | b';') {
            return Err(ResponseError::Chunk);
        }
        let Some(extension) = find_line_end(&buffer[digits..])? else {
            if buffer.len() - digits + self.extension_bytes > MAX_EXTENSION_BYTES {
                return Err(ResponseError::Chunk);
            }
            return Ok(None);
        };
        self.extension_bytes += extension;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(ResponseError::Chunk);
        }
        let text = std::str::from_utf8(&buffer[..digits]).map_err(|_| ResponseError::Chunk)?;
        let size = u64::from_str_radix(text, 16).map_err(|_| ResponseError::Chunk)?;
        buffer.advance(digits + extension + 2);
        Ok(Some(size))
    }

    fn read_trailers(&mut self, buffer: &mut BytesMut) -> Result<Decoded, ResponseError> {
        if buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.state = State::End;
            return Ok(Decoded::End);
        }
        match parse_trailers(buffer, MAX_TRAILER_BYTES)? {
            None => Ok(Decoded::NeedMore),
            Some(trailers) => {
                self.state = State::End;
                Ok(Decoded::Trailers(trailers))
            }
        }
    }
}

/// Bytes before the CRLF that ends the line; none if it has not come yet.
fn find_line_end(bytes: &[u8]) -> Result<Option<usize>, ResponseError> {
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => match bytes.get(index + 1) {
                Some(b'\n') => return Ok(Some(index)),
                Some(_) => return Err(ResponseError::Chunk),
                None => return Ok(None),
            },
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return Err(ResponseError::Chunk),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds a body in pieces of the given sizes; the data, or the error, and what is left.
    fn read(body: &[u8], pieces: &[usize]) -> Result<(Vec<u8>, bool, usize), ResponseError> {
        let mut chunked = Chunked::default();
        let (mut data, mut buffer, mut fed, mut turn) = (Vec::new(), BytesMut::new(), 0, 0);
        loop {
            match chunked.decode(&mut buffer)? {
                Decoded::Data(bytes) => data.extend_from_slice(&bytes),
                Decoded::End | Decoded::Trailers(_) => return Ok((data, true, buffer.len() + body.len() - fed)),
                Decoded::NeedMore if fed == body.len() => return Ok((data, false, 0)),
                Decoded::NeedMore => {
                    let size = pieces[turn % pieces.len()].min(body.len() - fed);
                    buffer.extend_from_slice(&body[fed..fed + size]);
                    fed += size;
                    turn += 1;
                }
            }
        }
    }

    #[test]
    fn reads_what_is_chunked() {
        let body = b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\n\r\nNEXT";
        for size in [1, 2, 3, 7, 100] {
            assert_eq!(read(body, &[size]), Ok((b"hello world".to_vec(), true, 4)), "pieces of {size}");
        }
    }

    #[test]
    fn h012_h013_h014_what_is_not_exactly_chunked_is_an_error() {
        for body in [
            &b"0x5\r\nhello\r\n"[..],
            b"+5\r\nhello\r\n",
            b"-1\r\n",
            b"5 \r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"_\r\n",
            b"\r\nhello",
            b"00000000000000005\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\nhello0\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\n0\r\n\r\n",
            b"5;a\nb\r\nhello",
            b"5;a\rb\r\nhello",
            b"5;\0\r\nhello",
            b"0\r\n: x\r\n\r\n",
            b"0\r\na b: x\r\n\r\n",
        ] {
            assert!(read(body, &[1]).is_err(), "{:?}", String::from_utf8_lossy(body));
            assert!(read(body, &[1000]).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
        let endless = [b"5;".to_vec(), vec![b'x'; MAX_EXTENSION_BYTES + 1]].concat();
        assert!(read(&endless, &[4096]).is_err());
    }

    #[test]
    fn a_body_cut_short_never_ends() {
        let body = b"5\r\nhello\r\n0\r\n\r\n";
        for end in 0..body.len() {
            assert!(matches!(read(&body[..end], &[3]), Ok((_, false, _))), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn any_chunks_in_any_pieces(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8),
            pieces in proptest::collection::vec(1_usize..40, 1..6),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(&body, &pieces), Ok((chunks.concat(), true, 0)));
        }

        #[test]
        fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body, &[7]);
        }
    }
}
