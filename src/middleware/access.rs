//! Who may ask at all: `security.allow` and `security.deny`, by the client's address.
//!
//! `deny` counts first: whoever is in both is refused, so that one bad address can be taken out of a large range. No
//! `allow` is everybody; an empty one is nobody, which is what is left when a list was made empty on purpose.

use std::net::IpAddr;

use super::address_set::AddressSet;
use crate::config::traffic::Security;

/// Who may ask, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    allow: Option<AddressSet>,
    deny: AddressSet,
}

impl Access {
    /// From what is configured.
    pub fn new(security: &Security) -> Self {
        Self { allow: security.allow.as_deref().map(AddressSet::new), deny: AddressSet::new(&security.deny) }
    }

    /// Whether this client may ask.
    pub fn is_allowed(&self, client: IpAddr) -> bool {
        !self.deny.contains(client) && self.allow.as_ref().is_none_or(|allow| allow.contains(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cidr;

    fn ranges(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| Cidr::parse(text).expect(text)).collect()
    }

    #[test]
    fn deny_wins_and_an_empty_allow_is_nobody() {
        for (allow, deny, client, is_allowed) in [
            (None, &[][..], "203.0.113.9", true),
            (Some(&[][..]), &[], "203.0.113.9", false),
            (Some(&["10.0.0.0/8"]), &[], "10.1.2.3", true),
            (Some(&["10.0.0.0/8"]), &[], "11.1.2.3", false),
            (Some(&["10.0.0.0/8"]), &[], "::1", false),
            (Some(&["10.0.0.0/8"]), &["10.1.0.0/16"], "10.1.2.3", false),
            (Some(&["10.0.0.0/8"]), &["10.1.0.0/16"], "10.2.2.3", true),
            (None, &["10.1.0.0/16", "2001:db8::/32"], "2001:db8:1::1", false),
            (None, &["10.1.0.0/16"], "::ffff:10.1.0.1", false),
            (None, &["10.1.0.0/16"], "10.2.0.1", true),
        ] {
            let security = Security { allow: allow.map(ranges), deny: ranges(deny) };
            let access = Access::new(&security);
            assert_eq!(access.is_allowed(client.parse().expect("an address")), is_allowed, "{security:?} {client}");
        }
        assert_eq!(Access::new(&Security::default()), Access::default());
    }
}
