//! One turn after the other: a request is read, the proxy is asked, the answer is sent.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::request::Parts;

use crate::config::listener::ListenerLimits;
use crate::proxy::refusal::Refusal;
use crate::proxy::reply::Reply;
use crate::proxy::request_body::RequestBody;

use super::answer::Asked;
use super::head::{self, BodyFraming, Refused, RequestHead};
use super::wire::Wire;
use super::{Connection, Incoming, Next};

/// How long a connection may idle without becoming small: above the pause between the requests of a client at work,
/// below that of a page being read.
const STAYS: Duration = Duration::from_secs(1);

/// What the proxy answers.
pub(super) type Answer = Reply<RequestBody<Incoming>>;

/// What came instead of a head, or a head.
enum Arrived {
    /// Nothing yet.
    Nothing,
    /// The end.
    End,
    Head(RequestHead),
    NoHead(Box<Refused>),
}

/// A head on its way in.
#[derive(Debug, Default)]
struct Reading {
    /// When its first byte was there.
    since: Option<Instant>,
    /// Bytes that were looked at and found incomplete.
    looked_at: usize,
}

impl Connection {
    /// Answers requests until none has come for a while.
    pub(super) async fn talk(&mut self) -> Next {
        loop {
            self.take_buffer();
            let next = match self.read_head().await {
                Arrived::Nothing => Next::Request,
                Arrived::End => return Next::Close,
                Arrived::NoHead(refused) => {
                    let asked = Asked::new(&refused.parts, false);
                    let answer = self.proxy.refuse(refused.parts, Rc::clone(&self.client), refused.refusal);
                    return self.send(answer, asked, false).await.max_linger();
                }
                Arrived::Head(head) => self.turn(head).await,
            };
            if next != Next::Request {
                return next;
            }
            if self.wire.borrow().buffer.is_empty() && !self.stays().await {
                return Next::Request;
            }
        }
    }

    /// Whether the next request comes so soon that giving up this future and making it anew would cost more than it
    /// holds meanwhile. The buffer goes at once.
    async fn stays(&mut self) -> bool {
        self.give_buffer_back();
        self.idle_since = self.proxy.deadlines().now();
        let ends = self.idle_since + STAYS.min(self.patience());
        poll_fn(|cx| match self.connections().are_closing() {
            true => Poll::Ready(false),
            false => self.wire.borrow_mut().poll_idle(cx, ends),
        })
        .await
    }

    async fn read_head(&self) -> Arrived {
        let mut reading = Reading::default();
        poll_fn(|cx| reading.poll(&mut self.wire.borrow_mut(), self.limits(), cx)).await
    }

    async fn turn(&mut self, head: RequestHead) -> Next {
        let RequestHead { parts, framing, keeps_alive, expects_continue, takes_trailers } = head;
        self.requests += 1;
        let asked = Asked::new(&parts, takes_trailers);
        let body = self.begin_body(framing, expects_continue);
        let most = self.limits().request_body;
        let is_too_large = matches!((framing, most), (BodyFraming::Length(length), Some(most)) if length > most);
        let answer = if is_too_large {
            drop(body);
            Some(self.proxy.refuse(parts, Rc::clone(&self.client), Refusal::BodyTooLarge))
        } else {
            self.ask(parts, body, keeps_alive).await
        };
        match answer {
            Some(answer) => self.send(answer, asked, keeps_alive).await,
            None => Next::Close,
        }
    }

    fn begin_body(&self, framing: BodyFraming, expects_continue: bool) -> Incoming {
        let limits = self.limits();
        let mut wire = self.wire.borrow_mut();
        let turn = wire.begin(framing, limits.request_body, limits.body_idle);
        if framing == BodyFraming::None {
            return Incoming::none();
        }
        if expects_continue {
            wire.owe_continue();
        }
        Incoming::of(&self.wire, turn)
    }

    /// The proxy's answer; none if the client has gone before it came.
    async fn ask(&self, parts: Box<Parts>, body: Incoming, keeps_alive: bool) -> Option<Answer> {
        let mut serving = pin!(Rc::clone(&self.proxy).serve(parts, body, Rc::clone(&self.client)));
        poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => self.wire.borrow_mut().poll_gone(cx, !keeps_alive).map(|()| None),
        })
        .await
    }
}

impl Next {
    /// After bytes that could not be understood there may be more of them.
    fn max_linger(self) -> Self {
        if self == Self::Close { Self::Linger } else { self }
    }
}

impl Reading {
    fn poll(&mut self, wire: &mut Wire, limits: &ListenerLimits, cx: &mut Context<'_>) -> Poll<Arrived> {
        loop {
            if self.is_worth_a_look(&wire.buffer, limits.head_bytes) {
                match head::parse(&mut wire.buffer, limits) {
                    Ok(Some(head)) => return Poll::Ready(Arrived::Head(head)),
                    Ok(None) => self.looked_at = wire.buffer.len(),
                    Err(refused) => return Poll::Ready(Arrived::NoHead(refused)),
                }
            }
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Arrived::End),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if wire.buffer.is_empty() => return Poll::Ready(Arrived::Nothing),
                Poll::Pending => {
                    let since = *self.since.get_or_insert(wire.clock.now());
                    std::task::ready!(wire.poll_late(cx, since, limits.head_time));
                    // A lone empty line is what old clients leave behind a body, not a request.
                    return Poll::Ready(if wire.buffer.as_ref() == b"\r\n" {
                        Arrived::End
                    } else {
                        Arrived::NoHead(Refused::new(Refusal::HeadTimeout, &wire.buffer))
                    });
                }
            }
        }
    }

    /// Looking at each byte that drips in would be work in the square of a head's length. So only if its end may have
    /// come, if it is too long, and each time it has doubled, so that what is no head is soon found out.
    fn is_worth_a_look(&self, buffer: &[u8], most: usize) -> bool {
        let (before, length) = (self.looked_at, buffer.len());
        if before == 0 || length >= before * 2 || length > most {
            return length > before;
        }
        let new = buffer.get(before.saturating_sub(3)..).unwrap_or_default();
        new.ends_with(b"\n\n") || new.windows(3).any(|end| matches!(end, b"\n\r\n" | [b'\n', b'\n', _]))
    }
}
