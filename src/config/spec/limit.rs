//! Limits on requests as written: so many in a time, so many at once.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema;

/// At most so many requests in a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.burst) && has(self.algorithm) && self.algorithm == 'slidingWindow')")
        .message("burst belongs to tokenBucket; slidingWindow has none"),
)]
pub struct RateLimitSpec {
    /// Unique in its list; part of the limit's identity.
    #[schemars(schema_with = "schema::limit_name")]
    pub name: String,
    /// 100/s, 600/m, 50/10s, 10000/d
    #[schemars(schema_with = "schema::rate")]
    pub rate: String,
    /// How many may come at once. Default: one second of the rate, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub burst: Option<i32>,
    /// tokenBucket or slidingWindow. Default tokenBucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<RateAlgorithmSpec>,
    /// What is counted apart; []: one count for all. Default clientAddress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::attributes")]
    pub key: Option<Vec<String>>,
    /// What a request without the key is counted as: clientAddress, skip or reject. Default clientAddress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_key: Option<MissingKeySpec>,
    /// shared by all replicas, or each replica by itself. Default shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<RateScopeSpec>,
    /// Of the refusal. Default 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<i32>,
    /// What clients are told: standard, legacy or none. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<RateHeadersSpec>,
    /// Clients that are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::ranges")]
    pub exempt: Option<Vec<String>>,
    /// enforce, or report to only count. Default enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<RateModeSpec>,
}

/// How a rate is reckoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RateAlgorithmSpec {
    /// Fills steadily up to burst.
    TokenBucket,
    /// At most the rate in any window of its length.
    SlidingWindow,
}

/// What a request without the key is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MissingKeySpec {
    /// By the client's address.
    ClientAddress,
    /// Not at all.
    Skip,
    /// It is refused.
    Reject,
}

/// Whether replicas count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RateScopeSpec {
    /// Together.
    Shared,
    /// Each by itself.
    Replica,
}

/// What clients are told about a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RateHeadersSpec {
    /// RateLimit and RateLimit-Policy.
    Standard,
    /// X-RateLimit-Limit, -Remaining, -Reset.
    Legacy,
    /// Nothing but Retry-After.
    None,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RateModeSpec {
    /// It refuses.
    Enforce,
    /// It only counts.
    Report,
}

/// At most so many requests at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.max) || (has(self.disabled) && self.disabled)")
        .message("max is required, unless disabled is true"),
)]
pub struct ConcurrencySpec {
    /// No limit, although one is inherited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Requests at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: Option<i32>,
    /// What is counted apart. Default: all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::attributes")]
    pub per: Option<Vec<String>>,
    /// How many may wait. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub queue: Option<i32>,
    /// How long. Default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub queue_timeout: Option<String>,
    /// Of the refusal. Default 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<i32>,
}
