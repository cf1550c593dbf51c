//! Something wrong in a description: where it is, what it does to serving, what to write instead.
//!
//! The same problems are shown for the file (all at once, with line and column) and for an object
//! (in its status). Messages are for the person who wrote the line: they name what is wrong and the
//! nearest right thing.

use std::fmt;

use serde::Serialize;

/// One thing wrong, at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What it does to serving; first, so that problems sort worst first.
    pub effect: Effect,
    /// Place in JavaScript notation: `routes[0].rules[2].path`, in objects below `spec.`.
    pub path: String,
    /// From a closed list.
    pub slug: Slug,
    /// Lower case, no full stop.
    pub message: String,
}

impl Problem {
    /// A problem with the effect that its kind has by nature.
    pub fn new(path: impl Into<String>, slug: Slug, message: impl Into<String>) -> Self {
        Self { effect: slug.effect(), path: path.into(), slug, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// What a problem does to what is served, worst first. In the file every error rejects the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// The whole object, or the whole file, is not used.
    Rejected,
    /// The rule answers 500.
    RuleOff,
    /// The rule lost against another, or may not answer here.
    NotServed,
    /// That backend's share of requests gets 500.
    Answers500,
    /// The setting does not count.
    Ignored,
    /// Nothing changes; somebody should look.
    Warning,
}

macro_rules! slugs {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $effect:ident;)*) => {
        /// The kinds of problems, a closed list: the name in the reference, and the effect each has by nature.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Slug { $($(#[$doc])* $variant),* }

        impl Slug {
            /// The name in the reference and in machine-readable output.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// What a problem of this kind does in an object.
            pub fn effect(self) -> Effect {
                match self { $(Self::$variant => Effect::$effect),* }
            }
        }
    };
}

slugs! {
    /// Not YAML, or not a mapping.
    Syntax = "syntax", Rejected;
    /// A name the schema does not know.
    UnknownField = "unknown-field", Warning;
    /// A field of the reference that a later version builds.
    NotSupported = "not-supported", RuleOff;
    /// A number where text belongs, and the like.
    WrongType = "wrong-type", Rejected;
    /// A value beginning with `*` and no quotes.
    YamlStar = "yaml-star", Rejected;
    /// The same key twice in one mapping.
    YamlDuplicate = "yaml-duplicate", Rejected;
    /// More entries than the schema allows.
    TooMany = "too-many", Rejected;
    /// A thing of the other skin: Services in a file, files in an object.
    NotHere = "not-here", RuleOff;
    /// Not exactly one action.
    OneAction = "one-action", RuleOff;
    /// Conditions beside `rules`.
    RulesMatch = "rules-match", RuleOff;
    /// More than one path field.
    OnePath = "one-path", RuleOff;
    /// A path not written the way it is matched.
    PathForm = "path-form", RuleOff;
    /// Not a host name in lower case.
    HostForm = "host-form", RuleOff;
    /// An object's route without hosts.
    HostRequired = "host-required", NotServed;
    /// Not a method, header name or header value.
    HttpForm = "http-form", RuleOff;
    /// Not a duration.
    DurationForm = "duration-form", RuleOff;
    /// Every weight is 0.
    WeightsZero = "weights-zero", RuleOff;
    /// Not exactly one of url, service, upstream.
    BackendOne = "backend-one", RuleOff;
    /// Not a URL that a backend can have.
    UrlForm = "url-form", RuleOff;
    /// A backend URL with a path.
    UrlPath = "url-path", RuleOff;
    /// A URL in an object whose host the operator did not list.
    UrlNotAllowed = "url-not-allowed", Answers500;
    /// An upstream that nobody described.
    UpstreamMissing = "upstream-missing", RuleOff;
    /// Both or neither of service and endpoints.
    UpstreamSource = "upstream-source", RuleOff;
    /// Settings for a Service of another namespace.
    SettingsForeign = "settings-foreign", Ignored;
    /// Settings for a Service port that an older entry has.
    SettingsConflict = "settings-conflict", Ignored;
    /// The name is taken.
    DuplicateName = "duplicate-name", RuleOff;
    /// Two listeners on one port.
    PortTaken = "port-taken", Rejected;
    /// A port outside 1 to 65535.
    PortForm = "port-form", RuleOff;
    /// The same host and match twice.
    DuplicateMatch = "duplicate-match", NotServed;
    /// The host belongs to another namespace.
    HostOwned = "host-owned", NotServed;
    /// The operator gives the host to others.
    HostNotGranted = "host-not-granted", NotServed;
    /// Outside what the owner of the host grants.
    PathNotGranted = "path-not-granted", NotServed;
    /// A priority on somebody else's host.
    PriorityOwner = "priority-owner", Ignored;
    /// A listener for other namespaces.
    ListenerNamespace = "listener-namespace", NotServed;
    /// No such Service.
    ServiceMissing = "service-missing", Answers500;
    /// The Service has no such port.
    PortMissing = "port-missing", Answers500;
    /// The Service says that something is spoken there which we do not speak.
    AppProtocol = "app-protocol", Answers500;
    /// The Service asks for affinity, which is a rule's.
    SessionAffinity = "session-affinity", Warning;
    /// A headless Service has no address of its own.
    HeadlessClusterIp = "headless-clusterip", Answers500;
    /// Something of another namespace, without a grant.
    RefNotPermitted = "ref-not-permitted", Answers500;
    /// Not a size.
    SizeForm = "size-form", RuleOff;
    /// Not a status, a class or a range of statuses.
    StatusForm = "status-form", RuleOff;
    /// Not a range of addresses.
    Cidr = "cidr", RuleOff;
    /// A value that has the right form and is too small or too large, alone or beside another.
    OutOfBounds = "out-of-bounds", RuleOff;
    /// A probe that cannot be made as written.
    ProbeForm = "probe-form", RuleOff;
    /// A rule's bound above that of a listener.
    AboveListener = "above-listener", Warning;
    /// An object that says nothing.
    EmptyObject = "empty-object", Rejected;
    /// Not a pattern.
    Regex = "regex", RuleOff;
    /// A group that the pattern does not have.
    Capture = "capture", RuleOff;
    /// Not a thing of a request.
    AttributeForm = "attribute-form", RuleOff;
    /// Not exactly one thing for a condition to look at.
    ConditionSubject = "condition-subject", RuleOff;
    /// Not exactly one thing that a condition asks.
    ConditionOperator = "condition-operator", RuleOff;
    /// A variable that nobody knows.
    Variable = "variable", RuleOff;
    /// Not a header value.
    HeaderValue = "header-value", RuleOff;
    /// A header that is written by the proxy itself.
    ProtectedHeader = "protected-header", RuleOff;
    /// A prefix is replaced where there is none.
    PrefixPath = "prefix-path", RuleOff;
    /// A redirect to where the client is.
    RedirectEmpty = "redirect-empty", RuleOff;
    /// Several paths for one redirect.
    RedirectOne = "redirect-one", RuleOff;
    /// Several paths for one rewrite, or half a pattern.
    RewriteOne = "rewrite-one", RuleOff;
    /// Several hosts for one rewrite.
    HostOne = "host-one", RuleOff;
    /// One try may take longer than all of them.
    PerTry = "per-try", RuleOff;
    /// A hash without something to look at, or the other way round.
    HashOn = "hash-on", RuleOff;
    /// A bound that not all endpoints together can keep.
    BoundedLoad = "bounded-load", RuleOff;
    /// Not a rate.
    RateForm = "rate-form", RuleOff;
    /// A burst where there is none.
    BurstWindow = "burst-window", RuleOff;
    /// Not a name of a limit.
    NameForm = "name-form", RuleOff;
    /// A limit without its number.
    MaxMissing = "max-missing", RuleOff;
    /// Not a media type, or a body that is too long.
    RespondForm = "respond-form", RuleOff;
    /// h2c as an upgrade.
    UpgradeH2c = "upgrade-h2c", RuleOff;
    /// A policy that nobody described.
    PolicyMissing = "policy-missing", RuleOff;
    /// A listener that nobody described.
    ListenerMissing = "listener-missing", NotServed;
}

impl Serialize for Slug {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
