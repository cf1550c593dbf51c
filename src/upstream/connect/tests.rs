//! Connections by address and by name.

use tokio::net::TcpListener;

use super::*;

const WITHIN: Duration = Duration::from_secs(5);

fn resolver(addresses: &'static [[u8; 4]]) -> Resolver {
    Resolver::new(Box::new(move |_| Ok(addresses.iter().map(|octets| IpAddr::from(*octets)).collect())))
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

#[tokio::test]
async fn a_connection_counts_until_it_is_closed() {
    let (_listener, port) = listener().await;
    let counted = Arc::new(());
    let address = Address::Socket(SocketAddr::from(([127, 0, 0, 1], port)));
    let held = Box::new(Arc::clone(&counted));
    let connection = connect(&resolver(&[]), &address, &[], WITHIN, Some(held)).await.expect("connected");
    assert_eq!(Arc::strong_count(&counted), 2);
    drop(connection);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[tokio::test]
async fn what_was_held_for_a_connection_that_failed_is_given_back() {
    let (listener, port) = listener().await;
    drop(listener);
    let counted = Arc::new(());
    let held = Box::new(Arc::clone(&counted));
    let address = Address::Socket(SocketAddr::from(([127, 0, 0, 1], port)));
    let result = connect(&resolver(&[]), &address, &[], WITHIN, Some(held)).await;
    assert!(matches!(result, Err(ConnectError::Connect(_))));
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[tokio::test]
async fn addresses_that_are_denied_are_not_connected_to_whatever_a_name_resolves_to() {
    let (listener, port) = listener().await;
    let loopback = [Cidr::parse("127.0.0.0/8").expect("a range"), Cidr::parse("::1").expect("a range")];
    let by_name = Address::Name("a".to_owned(), port);
    let by_address = Address::Socket(SocketAddr::from(([127, 0, 0, 1], port)));
    for address in [&by_name, &by_address] {
        let result = connect(&resolver(&[[127, 0, 0, 1]]), address, &loopback, WITHIN, None).await;
        assert!(matches!(result, Err(ConnectError::Denied(denied)) if denied.is_loopback()), "{result:?}");
    }
    let mapped = Address::Socket(SocketAddr::new("::ffff:127.0.0.1".parse().expect("an address"), port));
    assert!(matches!(connect(&resolver(&[]), &mapped, &loopback, WITHIN, None).await, Err(ConnectError::Denied(_))));
    let one = [Cidr::parse("127.0.0.2").expect("a range")];
    connect(&resolver(&[[127, 0, 0, 2], [127, 0, 0, 1]]), &by_name, &one, WITHIN, None).await.expect("the other");
    drop(listener);
}

#[tokio::test]
async fn h109_a_socket_notices_that_its_server_vanished() {
    let (_listener, port) = listener().await;
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    prepare(&stream).expect("prepared");
    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().expect("known") && socket.keepalive().expect("known"));
    assert_eq!(socket.tcp_keepalive_time().expect("known"), PROBE_AFTER);
    assert_eq!(socket.tcp_user_timeout().expect("known"), Some(UNACKNOWLEDGED));
}

#[tokio::test]
async fn h096_addresses_that_refuse_are_passed_at_once_and_the_one_that_worked_comes_first() {
    let (_listener, port) = listener().await;
    let resolver = resolver(&[[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 1]]);
    let address = Address::Name("a".to_owned(), port);
    let began = Instant::now();
    connect(&resolver, &address, &[], WITHIN, None).await.expect("connected");
    assert!(began.elapsed() < HEAD_START, "nobody waited for a head start");
    let first = resolver.addresses("a").await.expect("known").first().copied();
    assert_eq!(first, Some(IpAddr::from([127, 0, 0, 1])));
}

#[tokio::test]
async fn h096_an_address_that_says_nothing_gets_a_head_start_and_no_more() {
    let addresses = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
    let began = Instant::now();
    let (used, ()) = first_to_answer(&addresses, |ip| async move {
        if ip == addresses[2] { Ok(()) } else { std::future::pending().await }
    })
    .await
    .expect("the third answers");
    assert_eq!(used, addresses[2]);
    assert!(began.elapsed() >= 2 * HEAD_START && began.elapsed() < 6 * HEAD_START, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_address_wins_if_those_beside_it_fail() {
    let addresses = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
    let (used, ()) = first_to_answer(&addresses, |ip| async move {
        if ip == addresses[1] {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        sleep(2 * HEAD_START).await;
        Ok(())
    })
    .await
    .expect("the first answers late");
    assert_eq!(used, addresses[0]);
}

#[tokio::test]
async fn h107_a_name_without_addresses_and_one_that_takes_too_long() {
    let address = Address::Name("a".to_owned(), 80);
    assert!(matches!(connect(&resolver(&[]), &address, &[], WITHIN, None).await, Err(ConnectError::Lookup(_))));
    let (_never, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let stuck = Resolver::new(Box::new(move |_| {
        let _ = gate.lock().expect("not poisoned").recv();
        Ok(Vec::new())
    }));
    let result = connect(&stuck, &address, &[], Duration::from_millis(20), None).await;
    assert!(matches!(result, Err(ConnectError::Timeout)));
}

#[test]
fn h111_what_is_lacking_here_is_not_the_endpoints_fault() {
    for number in [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        assert!(ConnectError::of(io::Error::from_raw_os_error(number)).is_exhausted(), "{number}");
    }
    for number in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ETIMEDOUT] {
        assert!(!ConnectError::of(io::Error::from_raw_os_error(number)).is_exhausted(), "{number}");
    }
}

#[tokio::test]
async fn h111_an_endpoint_is_blamed_if_one_of_its_addresses_is_to_blame() {
    let addresses = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
    let number = |ip| if ip == addresses[0] { libc::ECONNREFUSED } else { libc::EADDRNOTAVAIL };
    let fail = |ip| async move { Err::<(), _>(io::Error::from_raw_os_error(number(ip))) };
    assert!(matches!(first_to_answer(&addresses, fail).await, Err(ConnectError::Connect(_))));
    assert!(matches!(first_to_answer(&addresses[1..], fail).await, Err(ConnectError::Exhausted(_))));
}
