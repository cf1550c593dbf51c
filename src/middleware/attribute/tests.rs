//! Values as tables; the bytes fed to hashes as a property: they can be read back.

use http::Request;
use http::request::Parts;
use proptest::prelude::*;

use super::*;
use crate::config::RuleId;

fn parts(headers: &[(&str, &[u8])]) -> Parts {
    let mut request = Request::post("/a?x=1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn value(attribute: &str, parts: &Parts, query: Option<&str>, client: &str) -> Option<String> {
    let route = RuleId::new("file/shop/cart");
    let client = client.parse().expect("an address");
    let asked = Asked { parts, client, host: "a.example", path: "/a", query, route: &route, listener: "http-80" };
    let attribute = Attribute::parse(attribute).expect("an attribute");
    value_of(&attribute, &asked).map(|value| match value {
        Value::Address(address) => address.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    })
}

#[test]
fn what_every_request_has() {
    let parts = parts(&[]);
    for (attribute, wanted) in [
        ("host", "a.example"),
        ("method", "POST"),
        ("path", "/a"),
        ("route", "file/shop/cart"),
        ("listener", "http-80"),
    ] {
        assert_eq!(value(attribute, &parts, None, "::1").as_deref(), Some(wanted), "{attribute}");
    }
    for (client, wanted) in [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
    ] {
        assert_eq!(value("clientAddress", &parts, None, client).as_deref(), Some(wanted), "{client}");
    }
}

#[test]
fn headers_give_their_first_value() {
    let parts = parts(&[("x-api-key", b"one"), ("x-api-key", b"two"), ("x-empty", b""), ("x-bytes", b"\xff")]);
    for (attribute, wanted) in [
        ("header:X-Api-Key", Some("one")),
        ("header:x-empty", Some("")),
        ("header:x-bytes", Some("\u{fffd}")),
        ("header:x-none", None),
    ] {
        assert_eq!(value(attribute, &parts, None, "::1").as_deref(), wanted, "{attribute}");
    }
}

#[test]
fn h068_cookies_are_looked_for_in_all_lines() {
    let lines: &[(&str, &[u8])] =
        &[("cookie", b" a=1;b=2 ;  c = 3; sid=x=y"), ("cookie", b"b=other; late=\"q\"; flag; =nameless; e=")];
    let parts = parts(lines);
    for (name, wanted) in [
        ("a", Some("1")),
        ("b", Some("2")),
        ("c", Some("3")),
        ("sid", Some("x=y")),
        ("late", Some("\"q\"")),
        ("e", Some("")),
        ("flag", None),
        ("A", None),
        ("si", None),
    ] {
        assert_eq!(value(&format!("cookie:{name}"), &parts, None, "::1").as_deref(), wanted, "{name}");
    }
}

#[test]
fn query_parameters_are_decoded_as_forms_are() {
    let query = Some("a=1&a=2&b&c=&d+e=f+g%20h&%69=%zz%4&u=%C3%A9&=x&k=v=w");
    let parts = parts(&[]);
    for (name, wanted) in [
        ("a", Some("1")),
        ("b", Some("")),
        ("c", Some("")),
        ("d e", Some("f g h")),
        ("i", Some("%zz%4")),
        ("u", Some("\u{e9}")),
        ("k", Some("v=w")),
        ("z", None),
    ] {
        assert_eq!(value(&format!("query:{name}"), &parts, query, "::1").as_deref(), wanted, "{name}");
    }
    assert_eq!(value("query:a", &parts, None, "::1"), None);
}

#[test]
fn how_many_attributes_were_found_is_told() {
    let parts = parts(&[("x-a", b"1")]);
    let route = RuleId::new("r");
    let client = "10.0.0.1".parse().expect("an address");
    let asked = Asked { parts: &parts, client, host: "h", path: "/", query: None, route: &route, listener: "l" };
    for (attributes, wanted) in [
        (&[][..], Found::All),
        (&["header:x-a", "host"], Found::All),
        (&["header:x-a", "header:x-b"], Found::Some),
        (&["header:x-b", "cookie:c"], Found::None),
    ] {
        let attributes: Vec<_> = attributes.iter().map(|text| Attribute::parse(text).expect(text)).collect();
        assert_eq!(feed(&attributes, &asked, &mut |_| ()), wanted, "{attributes:?}");
    }
}

/// Reads back what was fed: the values in order, absent ones as none.
fn read_back(mut bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut values = Vec::new();
    while let [kind, rest @ ..] = bytes {
        let (len, rest) = rest.split_at(8);
        let (value, rest) = rest.split_at(u64::from_le_bytes(len.try_into().expect("eight")) as usize);
        values.push((*kind == GIVEN).then(|| value.to_vec()));
        bytes = rest;
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_fed_can_be_read_in_one_way_only(
        values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(0x21_u8..0x7f, 0..6)), 0..5),
    ) {
        let names: Vec<String> = (0..values.len()).map(|index| format!("x-{index}")).collect();
        let given = names.iter().zip(&values).filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        let parts = parts(&given.collect::<Vec<_>>());
        let route = RuleId::new("r");
        let client = "10.0.0.1".parse().expect("an address");
        let asked = Asked { parts: &parts, client, host: "h", path: "/", query: None, route: &route, listener: "l" };
        let attributes: Vec<_> = names.iter().map(|name| Attribute::parse(&format!("header:{name}")).expect("one")).collect();
        let mut bytes = Vec::new();
        feed(&attributes, &asked, &mut |piece| bytes.extend_from_slice(piece));
        prop_assert_eq!(read_back(&bytes), values);
        let mut instead = Vec::new();
        feed_client(&asked, &mut |piece| instead.extend_from_slice(piece));
        prop_assert_ne!(bytes, instead);
    }

    #[test]
    fn decoding_undoes_any_escaping(
        name in proptest::collection::vec(any::<u8>(), 1..8), value in proptest::collection::vec(any::<u8>(), 0..12),
        is_escaped in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let mut turns = is_escaped.iter().cycle();
        let mut written = |bytes: &[u8]| -> String {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() && !*turns.next().expect("endless");
            let mut plain = plain;
            bytes.iter().map(|&byte| match byte {
                b' ' => "+".to_owned(),
                _ if plain(byte) => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            }).collect()
        };
        let query = format!("x=1&{}={}&y=2", written(&name), written(&value));
        prop_assume!(name != b"x");
        let found = query_parameter(&query, &name).map(Cow::into_owned);
        prop_assert_eq!(found, Some(value));
    }
}
