//! Look-ups on threads, asked for by several runtimes at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

fn on_a_runtime<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run)
}

#[test]
fn workers_with_runtimes_of_their_own_wait_for_one_look_up() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let counted = Arc::clone(&asked);
    let resolver = Resolver::new(Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = gate.lock().expect("not poisoned").recv();
        Ok(vec![IpAddr::from([10, 0, 0, 1])])
    }));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let resolver = resolver.clone();
            std::thread::spawn(move || {
                on_a_runtime(async move {
                    let both = tokio::join!(resolver.addresses("a"), resolver.addresses("a"));
                    (both.0.expect("found").len(), both.1.expect("found").len())
                })
            })
        })
        .collect();
    let_go.send(()).expect("it waits");
    for worker in workers {
        assert_eq!(worker.join().expect("no panic"), (1, 1));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn who_gives_up_leaves_the_look_up_to_the_others() {
    let (let_go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let resolver = Resolver::new(Box::new(move |_| {
        let _ = gate.lock().expect("not poisoned").recv();
        Ok(vec![IpAddr::from([10, 0, 0, 1])])
    }));
    on_a_runtime(async {
        let impatient = timeout(Duration::from_millis(1), resolver.addresses("a")).await;
        assert!(impatient.is_err());
        let_go.send(()).expect("it waits");
        assert_eq!(resolver.addresses("a").await.expect("found").len(), 1);
    });
}

#[test]
fn the_system_knows_localhost_and_an_error_is_told() {
    on_a_runtime(async {
        let found = Resolver::of_system().addresses("localhost").await.expect("found");
        assert!(found.iter().all(IpAddr::is_loopback));
        let failing = Resolver::new(Box::new(|_| Err(io::Error::other("no such name"))));
        assert_eq!(failing.addresses("a").await.expect_err("failed").to_string(), "no such name");
    });
}

#[test]
fn more_names_than_threads_are_all_looked_up() {
    let resolver = Resolver::new(Box::new(|_| Ok(vec![IpAddr::from([10, 0, 0, 1])])));
    on_a_runtime(async {
        let all = (0..300).map(|number| {
            let resolver = resolver.clone();
            async move { resolver.addresses(&number.to_string()).await.is_ok() }
        });
        assert!(futures_util::future::join_all(all).await.iter().all(|is_found| *is_found));
    });
}
