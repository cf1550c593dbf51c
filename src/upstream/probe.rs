//! Asks endpoints whether they are well, and tells their [`Health`].
//!
//! One prober for the whole process, on the runtime of everything that is not serving: an endpoint is asked once
//! however many rules use it, and a slow answer slows no request. Who is to be asked is looked up anew each second;
//! when, says [`Schedule`]; what the answers mean, [`crate::health::active`].
//!
//! A probe is one connection with one request, within the probe's `timeout`. Of the answer, at most
//! [`MAX_HEAD_BYTES`] are read, until the head is there; a body is never read, the connection is closed. So neither a
//! huge, nor a slow, nor an endless answer costs more than that (a redirect is an answer with its status, and is
//! not followed). What is not HTTP/1 is a failure.
//!
//! If we have no descriptor, port or memory left to ask with, that says nothing about the endpoint, and nothing is
//! recorded: else a gateway at its limits would find all its endpoints unhealthy.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::{Method, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Cidr;
use crate::config::upstream::{ActiveHealth, HttpProbe, Probe};
use crate::health::{Health, Schedule, Status};

use super::connect::check_permitted;
use super::endpoint::Address;
use super::http1::head::{self, ResponseError};

/// Probes at once: ten thousand endpoints that answer within 10 ms need a tenth of that, and those that hang for
/// 2 s still are all asked within six minutes.
const MAX_PROBES: usize = 64;
/// How often the endpoints to be probed are looked up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of an answer: enough for any head that is not an attack.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Interim answers (1xx) read over.
const MAX_INTERIM: u32 = 8;
/// How probes are called in the logs of servers.
const USER_AGENT: &str = "sluice-probe";

/// An endpoint to be probed.
#[derive(Clone, Debug)]
pub struct ProbeTarget {
    /// Where no probe may go.
    pub denied: Arc<[Cidr]>,
    /// Of the endpoint; unique in the process.
    pub number: u64,
    /// Where it is.
    pub address: Address,
    /// How it is called: the host of requests, unless another is configured.
    pub authority: String,
    /// What is asked, how often.
    pub settings: Arc<ActiveHealth>,
    /// Who is told.
    pub health: Arc<Health>,
}

/// Why a probe is a bad one.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No whole answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// It was closed before the head of an answer was there.
    #[error("the connection was closed before an answer")]
    Closed,
    /// The answer is none.
    #[error(transparent)]
    Answer(#[from] ResponseError),
    /// It is none of a healthy endpoint.
    #[error("the answer was {0}")]
    Status(StatusCode),
}

impl ProbeError {
    /// Whether it says something about us and nothing about the endpoint.
    fn is_ours(&self) -> bool {
        /// ENOMEM, ENFILE, EMFILE, ENOBUFS on Linux.
        const NOTHING_LEFT: [i32; 4] = [12, 23, 24, 105];
        let Self::Connect(error) = self else { return false };
        let is_left = |number: i32| !NOTHING_LEFT.contains(&number);
        error.kind() == io::ErrorKind::AddrNotAvailable || !error.raw_os_error().is_none_or(is_left)
    }
}

/// Probes what `targets` lists until `stop`. Dropped, it leaves nothing behind.
pub async fn run(targets: impl Fn() -> Vec<ProbeTarget> + Send + Sync + 'static, stop: CancellationToken) {
    let mut prober = Prober::new();
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        prober.begin_due();
        let wake_at = prober.schedule.wake_at();
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => prober.adopt(targets()),
            Some(ended) = prober.running.next() => prober.take_in(ended),
            () = sleep_until(wake_at.map_or_else(Instant::now, Instant::from_std)), if wake_at.is_some() => {}
        }
    }
}

struct Prober {
    targets: HashMap<u64, ProbeTarget>,
    schedule: Schedule,
    running: FuturesUnordered<BoxFuture<'static, Ended>>,
    random: Random,
}

/// What a probe found.
struct Ended {
    number: u64,
    asked: Arc<ActiveHealth>,
    found: Result<(), ProbeError>,
}

impl Prober {
    fn new() -> Self {
        Self {
            targets: HashMap::new(),
            schedule: Schedule::new(MAX_PROBES),
            running: FuturesUnordered::new(),
            random: Random::default(),
        }
    }

    fn adopt(&mut self, targets: Vec<ProbeTarget>) {
        let intervals = targets.iter().map(|target| (target.number, target.settings.interval)).collect();
        self.schedule.adopt(&intervals, Instant::now().into_std(), &mut || self.random.next());
        let mut before = std::mem::take(&mut self.targets);
        for target in targets {
            let known = before.remove(&target.number);
            if known.is_some_and(|known| !asks_the_same(&known.settings, &target.settings)) {
                target.health.active().probe_changed();
            }
            self.targets.insert(target.number, target);
        }
    }

    fn begin_due(&mut self) {
        while let Some(number) = self.schedule.next(Instant::now().into_std()) {
            // Both were taken over together, so who is due is known.
            let Some(target) = self.targets.get(&number) else { continue };
            self.running.push(Box::pin(probe_in_time(target.clone())));
        }
    }

    fn take_in(&mut self, Ended { number, asked, found }: Ended) {
        let target = self.targets.get(&number);
        // Who is gone is not due again, whatever the interval.
        let interval = target.map_or(asked.interval, |target| target.settings.interval);
        self.schedule.ended(number, interval, Instant::now().into_std(), &mut || self.random.next());
        // What was found with another question is no answer to the present one.
        let Some(target) = target.filter(|target| asks_the_same(&asked, &target.settings)) else { return };
        let problem = match found {
            Err(error) if error.is_ours() => {
                debug!(endpoint = target.authority, error = &error as &dyn std::error::Error, "could not probe");
                return;
            }
            found => found.err(),
        };
        match (target.health.active().record(problem.is_none(), &target.settings), problem) {
            (Some(Status::Unhealthy), Some(problem)) => {
                warn!(endpoint = target.authority, error = &problem as &dyn std::error::Error, "endpoint is unhealthy");
            }
            (Some(_), _) => info!(endpoint = target.authority, "endpoint is healthy"),
            (None, Some(problem)) => {
                debug!(endpoint = target.authority, error = &problem as &dyn std::error::Error, "bad probe");
            }
            (None, None) => {}
        }
    }
}

/// Whether results of the one are results of the other: thresholds and times do not matter.
fn asks_the_same(one: &ActiveHealth, other: &ActiveHealth) -> bool {
    one.port == other.port && one.probe == other.probe
}

async fn probe_in_time(target: ProbeTarget) -> Ended {
    let ProbeTarget { number, address, authority, denied, settings, .. } = target;
    let connected = connect(&address, settings.port, &denied);
    let found = timeout(settings.timeout, probe(connected, &authority, &settings)).await;
    Ended { number, asked: settings, found: found.unwrap_or(Err(ProbeError::Timeout)) }
}

async fn probe(
    connected: impl Future<Output = io::Result<TcpStream>>,
    authority: &str,
    settings: &ActiveHealth,
) -> Result<(), ProbeError> {
    let stream = connected.await.map_err(ProbeError::Connect)?;
    let Probe::Http(asked) = &settings.probe else { return Ok(()) };
    let status = ask(stream, asked, authority).await?;
    if asked.statuses.contains(status) { Ok(()) } else { Err(ProbeError::Status(status)) }
}

/// The addresses of a name are tried in turn, but for those that may not be connected to.
async fn connect(address: &Address, port: Option<u16>, denied: &[Cidr]) -> io::Result<TcpStream> {
    let found: Vec<SocketAddr> = match address {
        Address::Socket(socket) => vec![SocketAddr::new(socket.ip(), port.unwrap_or(socket.port()))],
        Address::Name(name, own) => lookup_host((name.as_str(), port.unwrap_or(*own))).await?.collect(),
    };
    let mut refused = None;
    let is_permitted = |found: &SocketAddr| match check_permitted(found.ip(), denied) {
        Ok(()) => true,
        Err(error) => {
            refused = Some(error);
            false
        }
    };
    let permitted: Vec<SocketAddr> = found.into_iter().filter(is_permitted).collect();
    match refused {
        Some(error) if permitted.is_empty() => Err(io::Error::new(io::ErrorKind::PermissionDenied, error)),
        _ => TcpStream::connect(permitted.as_slice()).await,
    }
}

async fn ask(mut stream: TcpStream, asked: &HttpProbe, authority: &str) -> Result<StatusCode, ProbeError> {
    stream.write_all(&request(asked, authority)).await.map_err(ProbeError::Broken)?;
    let mut buffer = BytesMut::with_capacity(1024);
    let mut interim = 0;
    loop {
        while let Some(head) = head::parse(&mut buffer, &asked.method.0)? {
            // 101 is an answer, although to another question.
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(head.status);
            }
            interim += 1;
            if interim > MAX_INTERIM {
                return Err(ResponseError::Interim.into());
            }
        }
        if buffer.len() >= MAX_HEAD_BYTES {
            return Err(ResponseError::TooLarge.into());
        }
        let mut rest = (&mut stream).take((MAX_HEAD_BYTES - buffer.len()) as u64);
        if rest.read_buf(&mut buffer).await.map_err(ProbeError::Broken)? == 0 {
            return Err(ProbeError::Closed);
        }
    }
}

/// What is sent. Method, path, host and headers were checked where they were described.
fn request(asked: &HttpProbe, authority: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.put_slice(part.as_bytes()));
    put(&[asked.method.as_str(), " ", &asked.path, " HTTP/1.1\r\n"]);
    put(&["host: ", asked.host.as_deref().unwrap_or(authority), "\r\n"]);
    if !asked.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header::USER_AGENT.as_str())) {
        put(&["user-agent: ", USER_AGENT, "\r\n"]);
    }
    for (name, value) in &asked.headers {
        put(&[name, ": ", value, "\r\n"]);
    }
    if matches!(asked.method.0, Method::POST | Method::PUT | Method::PATCH) {
        put(&["content-length: 0\r\n"]);
    }
    put(&["connection: close\r\n\r\n"]);
    out.freeze()
}

/// Spreads probes; nothing depends on it being hard to guess.
#[derive(Default)]
struct Random {
    state: RandomState,
    turn: u64,
}

impl Random {
    fn next(&mut self) -> u16 {
        self.turn += 1;
        (self.state.hash_one(self.turn) & u64::from(u16::MAX)) as u16
    }
}

#[cfg(test)]
mod tests;
