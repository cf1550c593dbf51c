//! Sends an answer: head and body, as fast as the client takes it and not faster.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, SizeHint};

use crate::proxy::body::ProxyBody;
use crate::proxy::reply::{Reply, ReplyHeaders};
use crate::proxy::request_body::RequestBody;

use super::answer::{Asked, Framing};
use super::outbox::{Outbox, WrongLength};
use super::turn::Answer;
use super::{Connection, Incoming, Next, ending};

/// What the proxy sends.
type Body = ProxyBody<RequestBody<Incoming>>;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// All of it has left.
    Whole,
    /// The client has gone, or takes nothing.
    Gone,
    /// The body broke off.
    Broken,
}

impl Connection {
    /// Sends an answer; what comes next depends on what the client said and on what it has sent.
    pub(super) async fn send(&mut self, answer: Answer, asked: Asked, client_goes_on: bool) -> Next {
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(answer, asked).await;
        }
        let Reply { status, headers, closes, body } = answer;
        let size = body.size_hint();
        let framing = asked.framing(status, &size);
        let goes_on = client_goes_on & !closes & self.can_go_on(framing);
        let (outbox, goes_on) = self.write_head(asked, (status, &headers), (framing, &size), goes_on);
        let mut sending = Sending {
            connection: self,
            body,
            outbox,
            framing,
            head: &headers,
            asked,
            client_goes_on,
            stage: if framing == Framing::None { Stage::Ended } else { Stage::Open },
        };
        let sent = poll_fn(|cx| sending.poll(cx)).await;
        // The exchange settles here.
        drop(sending);
        match sent {
            Sent::Gone => Next::Close,
            Sent::Broken if framing == Framing::UntilClose => Next::Reset,
            Sent::Broken => Next::Close,
            Sent::Whole => self.after_whole(goes_on, client_goes_on),
        }
    }

    /// Whether the connection can be used on after this answer, as far as is known when it begins.
    fn can_go_on(&self, framing: Framing) -> bool {
        let was_kept_waiting = self.wire.borrow_mut().begin_answer();
        !was_kept_waiting
            && framing != Framing::UntilClose
            && self.may_go_on()
            && (self.is_body_wanted() || self.is_request_whole())
    }

    /// Whether somebody may still read from the request's body.
    fn is_body_wanted(&self) -> bool {
        Rc::strong_count(&self.wire) > 1
    }

    /// Whether the request was read to its end, or can be without waiting.
    fn is_request_whole(&self) -> bool {
        let mut wire = self.wire.borrow_mut();
        wire.is_body_done() || wire.discard_body()
    }

    fn after_whole(&self, goes_on: bool, client_goes_on: bool) -> Next {
        let is_whole = self.is_request_whole();
        let wire = self.wire.borrow();
        if goes_on && is_whole {
            Next::Request
        } else if (!client_goes_on && is_whole && wire.buffer.is_empty()) || wire.is_half_closed() {
            Next::Close
        } else {
            Next::Linger
        }
    }

    fn write_head(
        &self,
        asked: Asked,
        head: (StatusCode, &ReplyHeaders),
        body: (Framing, &SizeHint),
        goes_on: bool,
    ) -> (Outbox, bool) {
        let workshop = self.connections().workshop();
        let now = self.proxy.deadlines().now();
        let mut out = workshop.take_write();
        let write_date = |out: &mut Vec<u8>| workshop.write_date(now, out);
        let goes_on = asked.write_head(&mut out, head, body, goes_on, write_date);
        (Outbox::new(out), goes_on)
    }

    /// The server has agreed to another protocol: tells the client, then carries bytes both ways.
    async fn switch(&mut self, answer: Answer, asked: Asked) -> Next {
        let Reply { status, headers, mut body, .. } = answer;
        let Some(server) = body.take_upgraded() else {
            tracing::error!("an upgrade without the connection it is for");
            return Next::Close;
        };
        self.wire.borrow_mut().begin_answer();
        let (mut outbox, _) =
            self.write_head(asked, (status, &headers), (Framing::None, &SizeHint::with_exact(0)), false);
        let flushed = poll_fn(|cx| self.poll_flush(&mut outbox, cx)).await;
        if flushed.is_ok() {
            let bytes = ending::tunnel(&self.wire, server, self.connections().workshop()).await;
            body.count(bytes);
        }
        Next::Close
    }

    fn poll_flush(&self, outbox: &mut Outbox, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limit = self.limits().write_idle;
        outbox.poll_flush(&mut self.wire.borrow_mut(), limit, self.connections().workshop(), cx)
    }
}

/// An answer on its way out.
struct Sending<'c> {
    connection: &'c Connection,
    body: Body,
    outbox: Outbox,
    framing: Framing,
    head: &'c ReplyHeaders,
    asked: Asked,
    client_goes_on: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Ended,
    Broken,
}

impl Sending<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Sent> {
        loop {
            let is_starved = self.poll_fill(cx).is_pending();
            match self.connection.poll_flush(&mut self.outbox, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Sent::Gone),
                Poll::Pending => return self.poll_gone(cx),
            }
            match self.stage {
                Stage::Ended => return Poll::Ready(Sent::Whole),
                Stage::Broken => return Poll::Ready(Sent::Broken),
                Stage::Open if is_starved => return self.poll_gone(cx),
                Stage::Open => {}
            }
        }
    }

    /// Takes frames from the body until enough waits; pending if it has none right now.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.stage == Stage::Open && self.outbox.has_room() {
            let result = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Err(_)) => {
                    self.stage = Stage::Broken;
                    return Poll::Ready(());
                }
                None => self.finish(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.put(data),
                    Err(frame) => self.finish(frame.trailers_ref()),
                },
            };
            if let Err(WrongLength) = result {
                // What has left cannot be taken back; without the rest the client sees that it is not whole.
                tracing::debug!("an answer is not as long as its head says");
                self.stage = Stage::Broken;
            }
        }
        Poll::Ready(())
    }

    fn put(&mut self, data: Bytes) -> Result<(), WrongLength> {
        self.outbox.put(data, &mut self.framing, self.connection.connections().workshop())?;
        if self.body.is_end_stream() { self.finish(None) } else { Ok(()) }
    }

    fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), WrongLength> {
        self.stage = Stage::Ended;
        let (asked, head) = (self.asked, self.head);
        let passes = |name: &http::HeaderName| asked.takes_trailer(head, name);
        self.outbox.finish(self.framing, trailers, passes, self.connection.connections().workshop())
    }

    /// While nothing moves: whether the client is still there.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<Sent> {
        self.connection.wire.borrow_mut().poll_gone(cx, !self.client_goes_on).map(|()| Sent::Gone)
    }
}
