//! Whose objects are ours: by their class, or, for those without one, by what settings or the cluster say.
//!
//! The IngressClass is asked only where no setting decides: see [`World::is_default_class`].

use std::sync::Arc;

use k8s_openapi::api::networking::v1::IngressClass;

use super::{Matter, ObjectName, World};

/// The annotation of the IngressClass that is meant where an object names none.
pub const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
/// What an IngressClass of ours names as its controller.
pub const CONTROLLER: &str = "gateway.sluice.dev/controller";

impl World {
    /// Whether the cluster says that our class is meant where an object names none. Only known, and only asked, where
    /// no setting decides.
    pub fn is_default_class(&self) -> bool {
        let Some(class) = &self.own_class else { return false };
        let is_ours = class.spec.as_ref().is_some_and(|spec| spec.controller.as_deref() == Some(CONTROLLER));
        let annotations = class.metadata.annotations.as_ref();
        is_ours && annotations.and_then(|all| all.get(DEFAULT_CLASS)).is_some_and(|value| value == "true")
    }

    /// Whether an object of this class, or of none, is for this instance.
    pub fn serves_class(&self, class: Option<&str>) -> bool {
        match class {
            Some(wanted) => wanted == self.class.class,
            None => self.class.serve_unclassed || self.is_default_class(),
        }
    }

    /// Only our own, and only what it means for us.
    pub(super) fn put_class(&mut self, name: &ObjectName, new: Arc<IngressClass>) -> Matter {
        if name.name != self.class.class {
            return Matter::Nothing;
        }
        let was_default = self.is_default_class();
        self.own_class = Some(new);
        if self.is_default_class() == was_default { Matter::Nothing } else { Matter::Translation }
    }
}
