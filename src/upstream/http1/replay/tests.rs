//! Bodies that begin again, against the plain list of their frames.

use std::future::poll_fn;
use std::io;

use futures_util::stream;
use http::HeaderValue;
use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;

use super::*;

type Frames = Vec<Vec<u8>>;
type TestBody = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

fn body(frames: &[Vec<u8>]) -> TestBody {
    let frames: Vec<_> = frames.iter().map(|frame| Ok(Frame::data(Bytes::from(frame.clone())))).collect();
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// Takes at most so many frames; their bytes.
fn take(replay: &mut Replay<TestBody>, frames: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    for _ in 0..frames {
        let next = futures_util::FutureExt::now_or_never(poll_fn(|cx| Pin::new(&mut *replay).poll_frame(cx)));
        match next.expect("never pending") {
            Some(frame) => taken.extend_from_slice(&frame.expect("no error").into_data().expect("data")),
            None => break,
        }
    }
    taken
}

fn any_frames() -> impl Strategy<Value = Frames> {
    let sizes = prop_oneof![0_usize..20, Just(COPY_BELOW_BYTES - 1), COPY_BELOW_BYTES..COPY_BELOW_BYTES + 10];
    proptest::collection::vec(sizes.prop_flat_map(|size| proptest::collection::vec(any::<u8>(), size)), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was taken before each new beginning, what comes then is the whole body; and it can begin again
    /// just as long as no more than the limit has been taken from the client.
    #[test]
    fn it_begins_again_with_the_whole_body_or_not_at_all(
        frames in any_frames(),
        tries in proptest::collection::vec(0_usize..10, 0..4),
        limit in 0_usize..3 * COPY_BELOW_BYTES,
    ) {
        let whole = frames.concat();
        let mut replay = Replay::new(body(&frames), limit);
        let mut most_taken = 0;
        for frames in tries {
            most_taken = most_taken.max(take(&mut replay, frames).len());
            match replay.rewind() {
                Some(again) => replay = again,
                None => {
                    prop_assert!(most_taken > limit);
                    return Ok(());
                }
            }
            prop_assert!(most_taken <= limit);
        }
        prop_assert_eq!(take(&mut replay, usize::MAX), whole);
        prop_assert!(replay.is_end_stream());
    }
}

#[test]
fn what_is_kept_is_bounded_also_for_a_client_that_sends_single_bytes() {
    let frames = vec![vec![b'x']; 10_000];
    let mut replay = Replay::new(body(&frames), 64 * 1024);
    take(&mut replay, usize::MAX);
    assert_eq!((replay.kept.len(), replay.kept_bytes), (2, 10_000), "the first frame, and all others in one");
    let frames = vec![vec![b'x'; COPY_BELOW_BYTES]; 100];
    let mut replay = Replay::new(body(&frames), 64 * 1024);
    take(&mut replay, 16);
    assert_eq!(replay.kept.len(), 16);
    take(&mut replay, 1);
    assert_eq!((replay.kept.len(), replay.is_lost), (0, true));
}

#[test]
fn trailers_are_given_again() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    let frames = vec![Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"a"))), Ok(Frame::trailers(trailers.clone()))];
    let mut replay = Replay::new(StreamBody::new(stream::iter(frames)), 100);
    for _ in 0..3 {
        let mut collected = None;
        if let Some(whole) = futures_util::FutureExt::now_or_never((&mut replay).collect()) {
            collected = Some(whole.expect("no error"));
        }
        let collected = collected.expect("never pending");
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "a");
        assert!(replay.is_end_stream());
        replay = replay.rewind().expect("short");
        assert!(!replay.is_end_stream());
    }
}

#[test]
fn a_body_whose_client_failed_does_not_begin_again() {
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"a"))), Err(io::Error::other("gone"))];
    let mut replay = Replay::new(StreamBody::new(stream::iter(frames)), 100);
    assert!(futures_util::FutureExt::now_or_never((&mut replay).collect()).expect("never pending").is_err());
    assert!(replay.rewind().is_none());
}

#[test]
fn what_is_forgotten_is_not_kept_any_more_but_still_given() {
    let frames = vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()];
    let mut replay = Replay::new(body(&frames), 100);
    assert_eq!(take(&mut replay, 2), b"ab");
    let mut replay = replay.rewind().expect("short");
    assert_eq!(take(&mut replay, 1), b"a");
    replay.forget();
    assert_eq!(take(&mut replay, usize::MAX), b"bc");
    assert!(replay.kept.is_empty() && replay.rewind().is_none());
}

#[test]
fn its_length_is_that_of_what_is_still_to_come() {
    use http_body_util::Full;
    let mut replay = Replay::new(Full::new(Bytes::from_static(b"hello")), 100);
    assert_eq!(replay.size_hint().exact(), Some(5));
    let _ = futures_util::FutureExt::now_or_never(poll_fn(|cx| Pin::new(&mut replay).poll_frame(cx)));
    assert_eq!(replay.size_hint().exact(), Some(0));
    let replay = replay.rewind().expect("short");
    assert_eq!(replay.size_hint().exact(), Some(5));
}
