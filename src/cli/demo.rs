//! `sluice demo`: see it work, with nothing to prepare.
//!
//! Three small servers inside this process, the example file in front of them, and lines to paste, each with what
//! will be seen. The file is written to a folder for temporary files, so that it can be edited while it is served.
//!
//! What the third server does wrong it does by count and not by chance, so that the lines show what they promise: of
//! each twenty requests to `/moody` it fails the third to the sixth.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::run::{Args as RunArgs, serve as serve_file};
use super::{CliError, LogFormat};

/// Start three small servers and the proxy in front of them, and tell what to try.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the proxy listens.
    #[arg(long, env = "SLUICE_DEMO_PORT", value_name = "PORT", default_value = "9000")]
    port: u16,
    /// Where the first of the three servers listens; the others have the next two ports.
    #[arg(long, env = "SLUICE_DEMO_SERVERS", value_name = "PORT", default_value = "9101",
        value_parser = clap::value_parser!(u16).range(1..=65533))]
    servers: u16,
    /// Where /livez, /readyz, /metrics and /config are.
    #[arg(long, env = "SLUICE_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
}

const EXAMPLE: &str = include_str!("../../manifests/examples/file/demo.yaml");
const NAMES: [&str; 3] = ["users-1", "users-2", "moody"];
/// The ports that stand in the example.
const WRITTEN: u16 = 9101;
/// What the proxy listens on if the example names no listener.
const USUAL: u16 = 9000;
/// How slow the third server is.
const SLOW: Duration = Duration::from_millis(100);

/// Runs the command until it is told to end.
///
/// # Errors
/// If a port is taken.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    super::start_logging(LogFormat::Text, "error");
    let file = write_example(args)?;
    start_servers(args.servers)?;
    // Whoever reads only the beginning of it (`| head`) wants the demo all the same.
    let _ = std::io::stdout().write_all(what_to_try(&file, args).as_bytes());
    serve_file(RunArgs {
        zone: String::new(),
        config: Some(file),
        admin: args.admin,
        workers: None,
        drain: Duration::ZERO,
        drain_deadline: Duration::from_secs(5),
        class: "sluice".into(),
        serve_unclassed: None,
        service: None,
        state_dir: None,
        watch_namespace: Vec::new(),
        log_format: LogFormat::Text,
    })
}

fn write_example(args: &Args) -> std::io::Result<PathBuf> {
    let mut text = EXAMPLE.to_owned();
    for (at, _) in (0..).zip(NAMES) {
        text = text.replace(&format!("localhost:{}", WRITTEN + at), &format!("localhost:{}", args.servers + at));
    }
    if args.port != USUAL {
        text.push_str(&format!("\nlisteners: [{{name: demo, port: {}}}]\n", args.port));
    }
    // What the demo tells is enough to read.
    text.push_str("\nobservability: {accessLog: {format: none}}\n");
    let folder = std::env::temp_dir().join(format!("sluice-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("sluice.yaml");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// On a thread of their own, as servers elsewhere would be.
fn start_servers(first: u16) -> Result<(), CliError> {
    let mut sockets = Vec::new();
    for (port, name) in (first..).zip(NAMES) {
        let socket = std::net::TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
            CliError::Usage(format!("the demo needs port {port} on 127.0.0.1 ({error}); see --servers"))
        })?;
        socket.set_nonblocking(true)?;
        sockets.push((name, socket));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-servers".into()).spawn(move || {
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for (name, socket) in sockets {
                tasks.spawn(serve(Server { name, asked: AtomicU32::new(0) }, socket));
            }
            while tasks.join_next().await.is_some() {}
        });
    })?;
    Ok(())
}

/// One of the three.
#[derive(Debug)]
struct Server {
    name: &'static str,
    /// Requests to `/moody` so far.
    asked: AtomicU32,
}

async fn serve(server: Server, socket: std::net::TcpListener) {
    let Ok(socket) = TcpListener::from_std(socket) else { return };
    let server = Arc::new(server);
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = socket.accept().await {
        let server = Arc::clone(&server);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(&request).await) }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

impl Server {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut status = StatusCode::OK;
        if request.uri().path() == "/moody" {
            tokio::time::sleep(SLOW).await;
            let turn = self.asked.fetch_add(1, Ordering::Relaxed) % 20;
            if (2..6).contains(&turn) {
                status = StatusCode::INTERNAL_SERVER_ERROR;
            }
        }
        let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let text = format!("{} answers {} {} (request {id})\n", self.name, request.method(), request.uri());
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

fn what_to_try(file: &Path, args: &Args) -> String {
    let servers = (args.servers..).zip(NAMES).map(|(port, name)| format!("{name} (:{port})")).collect::<Vec<_>>();
    format!(
        "Sluice listens on port {port}, in front of {servers}.
It serves {file}

Try, in another terminal:

1  Splitting: six of eight by users-1, two by users-2.
   curl 'http://localhost:{port}/canary?n=[1-8]'

2  Header routing: moody answers, with a header that the rule adds. Without X-Version it is 404 no_route.
   curl -i -H 'X-Version: v2' http://localhost:{port}/api/orders

3  A limit for each client: three times 200, then 429 with Retry-After. Ten seconds later one more passes.
   curl -i 'http://localhost:{port}/limited?n=[1-4]'

4  A circuit breaker: 200 200 500 500 500 500 and then 503, as the server is left alone. Once more after three
   seconds: 200 each time, the breaker has closed.
   curl -s -o /dev/null -w '%{{http_code}} ' 'http://localhost:{port}/moody?n=[1-12]'

5  A redirect: 302 to /api/users/7.
   curl -i http://localhost:{port}/old/users/7

6  A reload without a lost request: half and half from now on (see line 1), two seconds at most after the edit.
   sed -i 's/weight: 3/weight: 1/' {file}

And: curl http://{admin}/metrics    what was counted;  sluice explain http://localhost:{port}/api/orders --config {file}
Ctrl-C ends it.
",
        port = args.port,
        admin = args.admin,
        servers = servers.join(", "),
        file = file.display(),
    )
}
