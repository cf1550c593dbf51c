//! Names of things that outlive one description: what a rule, an upstream, an endpoint *is*, whatever
//! its settings are today.
//!
//! Living state (connections, counters, cursors) is found by these identities across changes, so none
//! of them may contain a tunable or a position in a list: an edited weight must not forget what was
//! learnt. The forms are those of the configuration reference, section "Identity".

use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name as made by `describe` or by translation; every text is a valid identity.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as text, as it stands in logs and messages.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text_id! {
    /// `file/<route>/<rule>` or `namespace/object/<route>/<rule>`; an unnamed part is its hosts (with the listeners,
    /// if any are named) and its match (with the priority, if there is one) in canonical form.
    RuleId
}

text_id! {
    /// A Service: `namespace/service:port`; the file: the name given; an object: `namespace/object/name`;
    /// the URLs of a rule: the rule's identity.
    UpstreamId
}

text_id! {
    /// One server inside its upstream: `address:port`, and the pod's uid where there is one, so that a
    /// new pod on an old address is somebody else.
    EndpointId
}

text_id! {
    /// A limit: where it is written and its name, `policies/public-api/per-client`. Written once, counted once.
    LimiterId
}
