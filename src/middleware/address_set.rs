//! A set of addresses, made of ranges, that is asked for each request.
//!
//! The ranges of each family are sorted and joined where they touch, so the question is one binary search: eight
//! comparisons for 256 ranges, where a list would be gone through. Used for whom to trust, allow, deny, exempt; says
//! what [`Cidr::contains`] says of each range.

use std::net::IpAddr;

use crate::config::Cidr;

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl AddressSet {
    /// All addresses of these ranges.
    pub fn new(ranges: &[Cidr]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match range.bounds() {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.to_bits(), last.to_bits())),
                _ => debug_assert!(false, "both ends of a range are of one family"),
            }
        }
        Self { v4: joined(v4, |last| last.checked_add(1)), v6: joined(v6, |last| last.checked_add(1)) }
    }

    /// Whether no address is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether an address is in it. IPv4 written as IPv6 (`::ffff:10.0.0.1`) is IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.is_empty() {
            return false;
        }
        match address.to_canonical() {
            IpAddr::V4(v4) => is_in(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => is_in(&self.v6, v6.to_bits()),
        }
    }
}

/// Sorted, and those that overlap or touch as one.
fn joined<N: Copy + Ord>(mut ranges: Vec<(N, N)>, after: impl Fn(N) -> Option<N>) -> Box<[(N, N)]> {
    ranges.sort_unstable();
    let mut out: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some((_, end)) if after(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => out.push((first, last)),
        }
    }
    out.into_boxed_slice()
}

fn is_in<N: Copy + Ord>(ranges: &[(N, N)], address: N) -> bool {
    let begun = ranges.partition_point(|(first, _)| *first <= address);
    begun.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::config::cidr::cut;

    fn set(ranges: &[&str]) -> AddressSet {
        let ranges: Vec<Cidr> = ranges.iter().map(|text| Cidr::parse(text).expect(text)).collect();
        AddressSet::new(&ranges)
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let all = set(&["0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "::/1", "8000::/1"]);
        assert_eq!((all.v4.len(), all.v6.len()), (1, 1));
        assert!(all.contains(Ipv4Addr::BROADCAST.into()) && all.contains(Ipv6Addr::LOCALHOST.into()));
        assert!(!set(&[]).contains(Ipv4Addr::LOCALHOST.into()));
        assert!(set(&["10.0.0.0/8"]).contains("::ffff:10.1.2.3".parse().expect("an address")));
    }

    /// Ranges and addresses that share their first bits often.
    fn address() -> impl Strategy<Value = IpAddr> {
        let v4 = prop_oneof![any::<u32>(), 0_u32..64, (0_u32..64).prop_map(|rest| u32::MAX - rest)];
        let v6 = prop_oneof![any::<u128>(), 0_u128..64, (0_u128..64).prop_map(|rest| u128::MAX - rest)];
        prop_oneof![
            v4.prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
            v6.prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        ]
    }

    fn range() -> impl Strategy<Value = Cidr> {
        (address(), 0_u8..=128).prop_map(|(address, prefix)| {
            let prefix = if address.is_ipv4() { prefix.min(32) } else { prefix };
            Cidr::parse(&format!("{}/{prefix}", cut(address, prefix))).expect("a range")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_says_what_the_list_of_ranges_says(
            ranges in proptest::collection::vec(range(), 0..20),
            addresses in proptest::collection::vec(address(), 1..20),
        ) {
            let set = AddressSet::new(&ranges);
            let ends = ranges.iter().flat_map(|range| [range.bounds().0, range.bounds().1]);
            for address in addresses.into_iter().chain(ends) {
                let wanted = ranges.iter().any(|range| range.contains(address));
                prop_assert_eq!(set.contains(address), wanted, "{}", address);
            }
        }
    }
}
