//! One object of a list or a watch, which may be one that cannot be read.
//!
//! A typed list fails as a whole when one of its objects does not fit, and a typed watch ends. Here each object
//! is taken as text first and decoded alone, so that one which does not fit costs itself only; of it the name is
//! kept, as far as it has one. The text is not copied: decoding costs one more scan for its end, nothing else.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::controller::object::ObjectName;

/// An object, or what is known of one that does not fit.
#[derive(Clone, Debug)]
pub enum Entry<K> {
    /// As it should be.
    Good(Box<K>),
    /// Not of the form that its kind has.
    Broken(Box<Broken>),
}

/// What is known of an object that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// Name, namespace and version, as far as it has them.
    pub metadata: ObjectMeta,
    /// What does not fit.
    pub why: String,
}

impl Broken {
    fn of(text: &str, error: &serde_json::Error) -> Self {
        let whole: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| {
            let value = whole.get("metadata").and_then(|metadata| metadata.get(name));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let metadata = ObjectMeta {
            name: field("name"),
            namespace: field("namespace"),
            resource_version: field("resourceVersion"),
            ..ObjectMeta::default()
        };
        Self { metadata, why: error.to_string() }
    }

    /// As far as it has one.
    pub fn name(&self) -> ObjectName {
        ObjectName::of(&self.metadata)
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Entry<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Ok(match serde_json::from_str(text.get()) {
            Ok(object) => Self::Good(Box::new(object)),
            Err(error) => Self::Broken(Box::new(Broken::of(text.get(), &error))),
        })
    }
}

/// Listed and watched as its kind is. Without a namespace the whole cluster is asked, whatever the kind's scope.
impl<K: Resource<DynamicType = ()>> Resource for Entry<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Good(object) => object.meta(),
            Self::Broken(broken) => &broken.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Good(object) => object.meta_mut(),
            Self::Broken(broken) => &mut broken.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;

    const BROKEN: &str =
        r#"{"metadata":{"name":"b","namespace":"shop","resourceVersion":"7"},"spec":{"ports":"none"}}"#;

    #[test]
    fn one_object_that_cannot_be_read_costs_itself_only() {
        let text = format!(
            r#"{{"kind":"ServiceList","metadata":{{"resourceVersion":"9"}},"items":[{{"metadata":{{"name":"a"}}}},{BROKEN}]}}"#
        );
        let list: ObjectList<Entry<Service>> = serde_json::from_str(&text).unwrap();
        let items = list.items;
        assert!(matches!(&items[0], Entry::Good(service) if service.metadata.name.as_deref() == Some("a")));
        let Entry::Broken(broken) = &items[1] else { panic!("it fits") };
        assert_eq!(
            (broken.name().to_string().as_str(), items[1].meta().resource_version.as_deref()),
            ("shop/b", Some("7"))
        );
        assert!(broken.why.contains("invalid type"), "{}", broken.why);
    }

    #[test]
    fn a_watch_goes_on_after_an_object_that_cannot_be_read() {
        let text = format!(r#"{{"type":"MODIFIED","object":{BROKEN}}}"#);
        let event: WatchEvent<Entry<Service>> = serde_json::from_str(&text).unwrap();
        assert!(matches!(event, WatchEvent::Modified(Entry::Broken(_))));
        let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
        let event: WatchEvent<Entry<Service>> = serde_json::from_str(gone).unwrap();
        assert!(matches!(event, WatchEvent::Error(status) if status.code == 410));
    }

    #[test]
    fn nameless_nonsense_is_no_reason_to_stop() {
        for text in ["7", "null", r#"{"metadata":{"name":4}}"#, r#"{"metadata":[]}"#] {
            let entry: Entry<Service> = serde_json::from_str(text).unwrap();
            assert!(matches!(entry, Entry::Broken(_)), "{text}");
        }
    }
}
