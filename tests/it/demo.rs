//! `sluice demo` shows what it promises.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::lang::client::{Answer, exchange};
use crate::lang::gateway::binary;
use crate::lang::{eventually, free_port};

struct Demo {
    child: Child,
    port: u16,
    file: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three ports in a row that nobody has now.
fn free_ports() -> u16 {
    eventually("three free ports", || {
        let first = free_port();
        let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        (first < 65000 && is_free(first + 1) && is_free(first + 2)).then_some(first)
    })
}

fn demo() -> Demo {
    let (port, servers, admin) = (free_port(), free_ports(), free_port());
    let mut child = Command::new(binary())
        .args(["demo", "--port", &port.to_string(), "--servers", &servers.to_string()])
        .args(["--admin", &format!("127.0.0.1:{admin}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let told = BufReader::new(child.stdout.take().expect("piped"));
    let file = told.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("It serves ").map(str::to_owned));
    let demo = Demo { child, port, file: file.expect("it tells its file") };
    let ready = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    eventually("ready", || crate::lang::client::try_exchange(admin, ready).ok().filter(|answer| answer.status == 200));
    demo
}

impl Demo {
    fn get(&self, target: &str, header: &str) -> Answer {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n");
        exchange(self.port, request.as_bytes())
    }

    /// How many of so many answers each server gave.
    fn split(&self, count: usize) -> (usize, usize) {
        let answers: Vec<String> = (0..count).map(|n| self.get(&format!("/canary?n={n}"), "").text()).collect();
        let of = |name: &str| answers.iter().filter(|text| text.starts_with(name)).count();
        (of("users-1 "), of("users-2 "))
    }
}

#[test]
fn the_six_lines_of_the_demo_show_what_they_promise() {
    let demo = demo();
    assert_eq!(demo.split(8), (6, 2));
    let orders = demo.get("/api/orders", "X-Version: v2\r\n");
    assert_eq!((orders.status, orders.header("x-served-by")), (200, Some("orders v2")));
    assert_eq!(demo.get("/api/orders", "").reason(), "no_route");

    let limited: Vec<Answer> = (0..4).map(|_| demo.get("/limited", "")).collect();
    assert_eq!(limited.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200, 429]);
    let seconds: u64 = limited[3].header("retry-after").and_then(|after| after.parse().ok()).expect("seconds");
    assert!((1..=10).contains(&seconds), "{seconds}");

    let moods = |count: usize| (0..count).map(|_| demo.get("/moody", "").status).collect::<Vec<_>>();
    assert_eq!(moods(12), [200, 200, 500, 500, 500, 500, 503, 503, 503, 503, 503, 503]);
    eventually("the breaker closes", || (moods(1) == [200]).then_some(()));
    assert_eq!(moods(6), [200; 6]);

    let moved = demo.get("/old/users/7", "");
    assert_eq!(moved.status, 302);
    let location = format!("http://localhost:{}/api/users/7", demo.port);
    let without_port = "http://localhost/api/users/7".to_owned();
    let found = moved.header("location").expect("a place").to_owned();
    assert!(found == location || found == without_port, "{found}");

    let text = std::fs::read_to_string(&demo.file).expect("it is there");
    std::fs::write(&demo.file, text.replace("weight: 3", "weight: 1")).expect("it can be edited");
    eventually("half and half", || (demo.split(8) == (4, 4)).then_some(()));
}
