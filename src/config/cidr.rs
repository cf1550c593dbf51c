//! A range of addresses, `10.0.0.0/8`: whom to trust, allow, deny, exempt.
//!
//! An address alone is a range of one. Bits beyond the prefix are refused with the range that was probably meant,
//! since half of the tools ignore them and the other half match nothing. IPv4 addresses that came in by an IPv6
//! socket (`::ffff:10.0.0.1`) are IPv4 addresses here, on both sides of the comparison.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not an address, or not with that prefix.
    #[error("must be a range of addresses such as 10.0.0.0/8, or one address")]
    Form,
    /// `10.0.0.1/8`
    #[error("{written} has bits beyond its prefix: did you mean {meant}?")]
    HostBits {
        /// As written.
        written: String,
        /// Without those bits.
        meant: Cidr,
    },
}

impl Cidr {
    /// The range of one address.
    pub fn single(address: IpAddr) -> Self {
        let network = address.to_canonical();
        Self { network, prefix: if network.is_ipv4() { 32 } else { 128 } }
    }

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or an address alone.
    ///
    /// # Errors
    /// [`CidrError`]
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Form)?;
        let most: u8 = if address.is_ipv4() { 32 } else { 128 };
        let is_plain =
            |digits: &str| digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
        let prefix = match prefix {
            Some(digits) if is_plain(digits) => digits.parse().map_err(|_| CidrError::Form)?,
            Some(_) => return Err(CidrError::Form),
            None => most,
        };
        if prefix > most {
            return Err(CidrError::Form);
        }
        let meant = Self { network: cut(address, prefix), prefix };
        if meant.network != address {
            return Err(CidrError::HostBits { written: text.to_owned(), meant });
        }
        Ok(meant)
    }

    /// Its first and its last address, of one family.
    pub fn bounds(&self) -> (IpAddr, IpAddr) {
        let last = match self.network {
            IpAddr::V4(v4) => {
                let rest = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() | rest).into()
            }
            IpAddr::V6(v6) => {
                let rest = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() | rest).into()
            }
        };
        (self.network, last)
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && cut(address, self.prefix) == self.network
    }
}

/// An address with all bits beyond the prefix cleared.
pub fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl serde::Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> Cidr {
        Cidr::parse(text).expect("a range")
    }

    #[test]
    fn addresses_are_in_their_range_only() {
        let ten = range("10.0.0.0/8");
        for (address, is_in) in [("10.1.2.3", true), ("11.0.0.0", false), ("::ffff:10.0.0.1", true), ("::1", false)] {
            assert_eq!(ten.contains(address.parse().expect("an address")), is_in, "{address}");
        }
        assert!(range("0.0.0.0/0").contains(Ipv4Addr::LOCALHOST.into()));
        assert!(!range("0.0.0.0/0").contains(Ipv6Addr::LOCALHOST.into()));
        assert!(range("::/0").contains(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(range("192.168.1.7").to_string(), "192.168.1.7/32");
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_was_meant() {
        let message = |text: &str| Cidr::parse(text).expect_err(text).to_string();
        assert_eq!(message("10.0.0.1/8"), "10.0.0.1/8 has bits beyond its prefix: did you mean 10.0.0.0/8?");
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/08", "10/8", "::/129", "a", "10.0.0.0/8 "]
        {
            assert_eq!(Cidr::parse(text), Err(CidrError::Form), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_range_holds_what_shares_its_first_bits(network: u32, other: u32, prefix in 0_u8..=32) {
            let range = Cidr { network: cut(Ipv4Addr::from_bits(network).into(), prefix), prefix };
            let shares = (0..prefix).all(|bit| (network ^ other) & (1 << (31 - bit)) == 0);
            prop_assert_eq!(range.contains(Ipv4Addr::from_bits(other).into()), shares);
            prop_assert_eq!(Cidr::parse(&range.to_string()), Ok(range));
        }
    }
}
