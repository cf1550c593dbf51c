//! Chains as a table, and against a walk over a list.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::config::Cidr;

fn trust(ranges: &[&str]) -> Trust {
    let trust = ranges.iter().map(|text| Cidr::parse(text).expect(text)).collect();
    Trust::new(&ClientAddress { trust, ..ClientAddress::default() })
}

fn identify(trust: &Trust, peer: &str, lines: &[&str]) -> (String, String) {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append("x-forwarded-for", HeaderValue::from_str(line).expect("a value"));
    }
    let found = trust.identify(peer.parse().expect("an address"), &headers);
    assert_eq!(found.is_peer(), found.via.is_empty());
    (found.client.to_string(), found.forwarded_for())
}

#[test]
fn h079_only_what_trusted_peers_wrote_is_believed() {
    let ten = trust(&["10.0.0.0/8", "2001:db8::/32"]);
    let many = format!("9.9.9.9{}", ", 10.0.0.3".repeat(100));
    let bound = format!("10.0.0.3{}", ", 10.0.0.3".repeat(63));
    for (peer, lines, client, sent_on) in [
        // Nobody trusted spoke.
        ("203.0.113.9", &["1.1.1.1"][..], "203.0.113.9", "203.0.113.9"),
        ("203.0.113.9", &[], "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", &[], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", &[""], "10.0.0.1", "10.0.0.1"),
        // One proxy, two, and what the client made up before them.
        ("10.0.0.1", &["203.0.113.9"], "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9, 10.0.0.5"], "203.0.113.9", "203.0.113.9, 10.0.0.5, 10.0.0.1"),
        ("10.0.0.1", &["8.8.8.8, 203.0.113.9,10.0.0.5"], "203.0.113.9", "203.0.113.9, 10.0.0.5, 10.0.0.1"),
        ("10.0.0.1", &["10.0.0.9, 203.0.113.9"], "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        // Lines are joined in their order.
        ("10.0.0.1", &["8.8.8.8", "203.0.113.9", "10.0.0.5"], "203.0.113.9", "203.0.113.9, 10.0.0.5, 10.0.0.1"),
        // All trusted: the leftmost.
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3", "10.0.0.3, 10.0.0.2, 10.0.0.1"),
        // What is no address ends the walk.
        ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2", "10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["for=203.0.113.9"], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", &["1.2.3, 10.0.0.2"], "10.0.0.2", "10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9:99999"], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", &["[203.0.113.9]"], "10.0.0.1", "10.0.0.1"),
        // Ports, brackets, empty entries, both spellings of IPv4.
        ("10.0.0.1", &["203.0.113.9:4711 , ,"], "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        ("10.0.0.1", &["[2001:db9::1]:4711"], "2001:db9::1", "2001:db9::1, 10.0.0.1"),
        ("10.0.0.1", &["[2001:db9::1]"], "2001:db9::1", "2001:db9::1, 10.0.0.1"),
        ("10.0.0.1", &["2001:db9::1, 2001:db8::5"], "2001:db9::1", "2001:db9::1, 2001:db8::5, 10.0.0.1"),
        ("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9", "203.0.113.9, 10.0.0.1"),
    ] {
        assert_eq!(identify(&ten, peer, lines), (client.to_owned(), sent_on.to_owned()), "{peer} {lines:?}");
    }
    let (client, sent_on) = identify(&ten, "10.0.0.1", &[&many]);
    assert_eq!((client.as_str(), sent_on.matches(", ").count()), ("10.0.0.3", 64), "a bound on what is looked at");
    assert_eq!(identify(&ten, "10.0.0.1", &[&bound]).1.matches(", ").count(), 64);
}

#[test]
fn the_header_is_the_one_that_is_configured() {
    let described = |header: &str| ClientAddress {
        trust: vec![Cidr::parse("10.0.0.0/8").expect("a range")],
        header: header.to_owned(),
    };
    let mut headers = HeaderMap::new();
    headers.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
    headers.append("cf-connecting-ip", HeaderValue::from_static("203.0.113.9"));
    let peer = "10.0.0.1".parse().expect("an address");
    let client = |header| Trust::new(&described(header)).identify(peer, &headers).client.to_string();
    assert_eq!(client("cf-connecting-ip"), "203.0.113.9");
    assert_eq!(client("x-forwarded-for"), "1.1.1.1");
    assert_eq!(client("no header"), "10.0.0.1");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_client_is_the_first_stranger_from_the_right(
        // 10.x are trusted; 0 stands for what is no address.
        hops in proptest::collection::vec(prop_oneof![3 => Just(10_u8), 1 => Just(20_u8), 1 => Just(0_u8)], 0..12),
        breaks in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let text = |(index, hop): (usize, &u8)| if *hop == 0 { "?".to_owned() } else { format!("{hop}.0.0.{index}") };
        let entries: Vec<String> = hops.iter().enumerate().map(text).collect();
        let mut lines: Vec<String> = vec![String::new()];
        for (entry, is_break) in entries.iter().zip(&breaks) {
            let line = lines.last_mut().expect("one");
            line.push_str(if line.is_empty() { "" } else { "," });
            line.push_str(entry);
            if *is_break {
                lines.push(String::new());
            }
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (client, sent_on) = identify(&trust(&["10.0.0.0/8"]), "10.9.9.9", &lines);

        let mut wanted = vec!["10.9.9.9".to_owned()];
        for entry in entries.iter().rev() {
            if entry == "?" || !wanted[0].starts_with("10.") {
                break;
            }
            wanted.insert(0, entry.clone());
        }
        prop_assert_eq!(&client, &wanted[0]);
        prop_assert_eq!(sent_on, wanted.join(", "));
    }

    #[test]
    fn any_header_is_survived(lines in proptest::collection::vec(proptest::collection::vec(0x20_u8..0x7f, 0..40), 0..4)) {
        let mut headers = HeaderMap::new();
        for line in &lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).expect("a value"));
        }
        let found = trust(&["0.0.0.0/0", "::/0"]).identify("10.0.0.1".parse().expect("an address"), &headers);
        prop_assert!(found.forwarded_for().ends_with("10.0.0.1"));
    }
}
