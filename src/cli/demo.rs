//! `sluice demo`: see it work, with nothing to prepare.
//!
//! Three small servers inside this process, the example file in front of them, and lines to paste. The file is
//! written to a folder for temporary files, so that it can be edited while it is served.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use http::{HeaderValue, Request, Response, header};
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
    /// Where /livez, /readyz, /metrics and /config are.
    #[arg(long, env = "SLUICE_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
}

const EXAMPLE: &str = include_str!("../../manifests/examples/file/demo.yaml");
const SERVERS: [(&str, u16); 3] = [("users-1", 9101), ("users-2", 9102), ("orders-v2", 9103)];

/// Runs the command until it is told to end.
///
/// # Errors
/// If a port is taken.
pub fn run(args: &Args) -> Result<ExitCode, CliError> {
    super::start_logging(LogFormat::Text, "warn");
    let file = write_example()?;
    start_servers()?;
    println!("{}", what_to_try(&file, args.admin));
    serve_file(RunArgs {
        config: Some(file),
        admin: args.admin,
        workers: None,
        drain: std::time::Duration::ZERO,
        drain_deadline: std::time::Duration::from_secs(5),
        class: "sluice".into(),
        serve_unclassed: None,
        watch_namespace: Vec::new(),
        log_format: LogFormat::Text,
    })
}

fn write_example() -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("sluice-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("sluice.yaml");
    std::fs::write(&file, EXAMPLE)?;
    Ok(file)
}

/// On a thread of their own, as servers elsewhere would be.
fn start_servers() -> Result<(), CliError> {
    let mut sockets = Vec::new();
    for (name, port) in SERVERS {
        let socket = std::net::TcpListener::bind(("127.0.0.1", port))
            .map_err(|error| CliError::Usage(format!("the demo needs port {port} on 127.0.0.1: {error}")))?;
        socket.set_nonblocking(true)?;
        sockets.push((name, socket));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-servers".into()).spawn(move || {
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for (name, socket) in sockets {
                tasks.spawn(serve(name, socket));
            }
            while tasks.join_next().await.is_some() {}
        });
    })?;
    Ok(())
}

async fn serve(name: &'static str, socket: std::net::TcpListener) {
    let Ok(socket) = TcpListener::from_std(socket) else { return };
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = socket.accept().await {
        let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(name, &request)) });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

fn answer(name: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let text = format!("{name} answers {} {} (request {id})\n", request.method(), request.uri());
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn what_to_try(file: &std::path::Path, admin: SocketAddr) -> String {
    format!(
        "Sluice listens on port 9000, in front of {servers}.
It serves {file}; edit it, and within two seconds the new one is live.

Try, in another terminal:

  curl http://localhost:9000/api/users                         users-1 and users-2 in turn
  curl http://localhost:9000/api/orders                        404 no_route: the rule wants a header
  curl -H 'X-Version: v2' http://localhost:9000/api/orders     orders-v2
  curl http://localhost:9000/canary                            3 of 4 by users-1, 1 of 4 by orders-v2
  curl -i -X DELETE http://localhost:9000/api/users            404 no_route: only GET and HEAD
  curl http://{admin}/metrics                      what was counted

  sluice explain http://localhost:9000/api/orders --config {file}

Ctrl-C ends it.
",
        servers = SERVERS.map(|(name, port)| format!("{name} (:{port})")).join(", "),
        file = file.display(),
    )
}
