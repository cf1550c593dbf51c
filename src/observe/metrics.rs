//! All metrics stand in the one table below; nothing else names one.
//!
//! | name | type | labels | meaning |
//! |---|---|---|---|
//! | `gateway_requests_total` | counter | service, status, method | answered requests |
//! | `gateway_request_duration_seconds` | histogram | service | head read to last byte out |
//! | `gateway_backend_healthy` | gauge | backend | 1 healthy or unknown, 0 unhealthy |
//! | `gateway_active_connections` | gauge | backend | exchanges running there |
//! | `gateway_circuit_state` | gauge | backend | its breaker: 0 closed, 1 half-open, 2 open |
//! | `gateway_rate_limited_total` | counter | client | requests over a rate limit: the busiest addresses, and `other` |
//! | `sluice_refusals_total` | counter | reason | answers of our own |
//! | `sluice_retries_total` | counter | | tries after the first |
//! | `sluice_client_connections` | gauge | | open client connections |
//! | `sluice_config_error` | gauge | | 1 while the newest configuration is not in effect as it is wrong |
//! | `sluice_snapshot_number` | gauge | | grows with each change that is in effect |
//! | `sluice_access_log_dropped_total` | counter | | lines lost since the sink was too slow |
//! | `sluice_watch_errors_total` | counter | kind, reason | lists and watches that failed, empty lists doubted, objects that could not be read |
//! | `sluice_watch_failing` | gauge | kind | watches that do not work now: the last known state is served |
//! | `sluice_watch_undecodable` | gauge | kind | objects that cannot be read and count as absent |
//! | `sluice_status_writes_total` | counter | result | statuses: written, gone, invalid, forbidden, failed |
//! | `sluice_status_pending` | gauge | | statuses that wait to be written, on the holder of the Lease |
//! | `sluice_events_total` | counter | result | Events: sent, dropped, failed |
//! | `sluice_lease_held` | gauge | | 1 on the replica that writes statuses |
//! | `sluice_serving_seconds` | histogram | | arrival of a change of an object to its being in effect here |
//! | `sluice_snapshot_stale` | gauge | | 1 while what is served was read from disk, as the API server has not answered yet |
//! | `sluice_snapshot_stale_seconds` | gauge | | how old that is; 0 while it is fresh |
//! | `sluice_state_files_total` | counter | result | the state on disk: written, failed to be, restored, refused |
//!
//! The first six keep the names and labels of the gateway that Sluice descends from. Label values come from
//! closed sets: services and backends from the configuration, methods from a list, never a path or a client.
//!
//! Requests are counted in cells that belong to one worker and one service ([`ServiceMetrics`]), so that
//! counting touches no memory another worker writes; a scrape sums them. A cell dies with the last upstream
//! that counts into it, and its series with it.

mod control;
mod service;

use prometheus::core::{Collector, Desc};
use prometheus::proto;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::limited::Limited;
pub use control::ControlMetrics;
use service::BUCKETS;
pub use service::ServiceMetrics;

/// The `service` label of requests that reached no upstream.
pub const NO_SERVICE: &str = "none";

/// Everything that is measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    services: Arc<Services>,
    backends: Backends,
    /// `gateway_rate_limited_total`
    pub limited: Limited,
    /// `sluice_refusals_total`
    pub refusals: IntCounterVec,
    /// `sluice_retries_total`
    pub retries: IntCounter,
    /// `sluice_client_connections`
    pub client_connections: IntGauge,
    /// `sluice_config_error`
    pub config_error: IntGauge,
    /// `sluice_snapshot_number`
    pub snapshot_number: IntGauge,
    /// `sluice_access_log_dropped_total`
    pub access_log_dropped: IntCounter,
    /// What the control plane counts.
    pub control: ControlMetrics,
}

impl Metrics {
    /// With cells for this many workers.
    ///
    /// # Errors
    /// If two metrics of the table have one name.
    pub fn new(workers: usize) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let services = Arc::new(Services::new(workers)?);
        let backends = Backends::new()?;
        registry.register(Box::new(ServicesCollector(Arc::clone(&services))))?;
        registry.register(Box::new(backends.clone()))?;
        let limited = Limited::default();
        registry.register(Box::new(LimitedCollector::new(limited.clone())?))?;
        let metrics = Self {
            services,
            backends,
            limited: limited.clone(),
            refusals: IntCounterVec::new(Opts::new("sluice_refusals_total", "Answers of our own."), &["reason"])?,
            retries: IntCounter::new("sluice_retries_total", "Tries after the first.")?,
            client_connections: IntGauge::new("sluice_client_connections", "Open client connections.")?,
            config_error: IntGauge::new(
                "sluice_config_error",
                "1 while the newest configuration is not in effect because it is wrong.",
            )?,
            snapshot_number: IntGauge::new("sluice_snapshot_number", "Grows with each change that is in effect.")?,
            access_log_dropped: IntCounter::new(
                "sluice_access_log_dropped_total",
                "Access log lines lost because the sink was too slow.",
            )?,
            control: ControlMetrics::new(&registry)?,
            registry: registry.clone(),
        };
        registry.register(Box::new(metrics.refusals.clone()))?;
        registry.register(Box::new(metrics.retries.clone()))?;
        registry.register(Box::new(metrics.client_connections.clone()))?;
        registry.register(Box::new(metrics.config_error.clone()))?;
        registry.register(Box::new(metrics.snapshot_number.clone()))?;
        registry.register(Box::new(metrics.access_log_dropped.clone()))?;
        Ok(metrics)
    }

    /// The cells of a service; the same for the same label while somebody holds them.
    pub fn service(&self, label: &str) -> Arc<ServiceMetrics> {
        self.services.get(label)
    }

    /// Names who knows the backends; asked at each scrape.
    pub fn watch_backends(&self, source: Box<dyn Fn() -> Vec<Backend> + Send + Sync>) {
        *self.backends.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// All series, in Prometheus' text format.
    ///
    /// # Errors
    /// If a collected family is inconsistent.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// What a scrape tells of a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// `upstream/address:port`, or `host:port` for URLs.
    pub label: String,
    /// Exchanges running there.
    pub in_flight: usize,
    /// Healthy or unknown.
    pub is_healthy: bool,
    /// Of its breaker: 0 closed, 1 half-open, 2 open.
    pub circuit: u8,
}

/// The services that somebody counts into.
#[derive(Debug)]
struct Services {
    workers: usize,
    known: Mutex<BTreeMap<String, Weak<ServiceMetrics>>>,
    requests: Desc,
    duration: Desc,
}

impl Services {
    fn new(workers: usize) -> Result<Self, prometheus::Error> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Ok(Self {
            workers,
            known: Mutex::default(),
            requests: Desc::new(
                "gateway_requests_total".into(),
                "Answered requests.".into(),
                names(&["service", "status", "method"]),
                Default::default(),
            )?,
            duration: Desc::new(
                "gateway_request_duration_seconds".into(),
                "From the head of the request to the last byte of the answer.".into(),
                names(&["service"]),
                Default::default(),
            )?,
        })
    }

    fn get(&self, label: &str) -> Arc<ServiceMetrics> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = known.get(label).and_then(Weak::upgrade) {
            return service;
        }
        let service = ServiceMetrics::new(label, self.workers);
        known.insert(label.to_owned(), Arc::downgrade(&service));
        service
    }

    fn alive(&self) -> Vec<Arc<ServiceMetrics>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, service| service.strong_count() > 0);
        known.values().filter_map(Weak::upgrade).collect()
    }
}

/// The registry's handle on the services.
struct ServicesCollector(Arc<Services>);

impl Collector for ServicesCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.requests, &self.0.duration]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let (mut counters, mut histograms) = (Vec::new(), Vec::new());
        for service in self.0.alive() {
            let (requests, buckets, seconds) = service.sum();
            if requests.is_empty() {
                continue;
            }
            for ((status, method), count) in &requests {
                let mut counter = proto::Counter::default();
                counter.set_value(*count as f64);
                let status = status.to_string();
                let labels = [("method", method.as_str()), ("service", service.label()), ("status", &status)];
                let mut metric = labelled(&labels);
                metric.set_counter(counter);
                counters.push(metric);
            }
            let mut metric = labelled(&[("service", service.label())]);
            metric.set_histogram(histogram(&buckets, requests.values().sum(), seconds));
            histograms.push(metric);
        }
        vec![
            family(&self.0.requests, proto::MetricType::COUNTER, counters),
            family(&self.0.duration, proto::MetricType::HISTOGRAM, histograms),
        ]
    }
}

type BackendSource = Box<dyn Fn() -> Vec<Backend> + Send + Sync>;

/// The backends that are described now.
#[derive(Clone)]
struct Backends {
    source: Arc<Mutex<Option<BackendSource>>>,
    healthy: Desc,
    active: Desc,
    circuit: Desc,
}

impl std::fmt::Debug for Backends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backends").finish_non_exhaustive()
    }
}

impl Backends {
    fn new() -> Result<Self, prometheus::Error> {
        let backend = vec!["backend".to_owned()];
        Ok(Self {
            source: Arc::default(),
            healthy: Desc::new(
                "gateway_backend_healthy".into(),
                "1 healthy or unknown, 0 unhealthy.".into(),
                backend.clone(),
                Default::default(),
            )?,
            active: Desc::new(
                "gateway_active_connections".into(),
                "Exchanges running at the backend.".into(),
                backend.clone(),
                Default::default(),
            )?,
            circuit: Desc::new(
                "gateway_circuit_state".into(),
                "Breaker of the backend: 0 closed, 1 half-open, 2 open.".into(),
                backend,
                Default::default(),
            )?,
        })
    }
}

impl Collector for Backends {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.healthy, &self.active, &self.circuit]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut backends = match &*self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(source) => source(),
            None => Vec::new(),
        };
        // Two upstreams may name one server by URL: one series, the exchanges of both.
        backends.sort();
        let mut by_label: BTreeMap<String, (usize, bool, u8)> = BTreeMap::new();
        for backend in backends {
            let entry = by_label.entry(backend.label).or_insert((0, true, 0));
            entry.0 += backend.in_flight;
            entry.1 &= backend.is_healthy;
            entry.2 = entry.2.max(backend.circuit);
        }
        let gauge = |label: &str, value: f64| {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            let mut metric = labelled(&[("backend", label)]);
            metric.set_gauge(gauge);
            metric
        };
        let healthy = by_label.iter().map(|(label, (_, healthy, _))| gauge(label, f64::from(u8::from(*healthy))));
        let active = by_label.iter().map(|(label, (in_flight, ..))| gauge(label, *in_flight as f64));
        let circuit = by_label.iter().map(|(label, (.., circuit))| gauge(label, f64::from(*circuit)));
        vec![
            family(&self.healthy, proto::MetricType::GAUGE, healthy.collect()),
            family(&self.active, proto::MetricType::GAUGE, active.collect()),
            family(&self.circuit, proto::MetricType::GAUGE, circuit.collect()),
        ]
    }
}

/// The registry's handle on who met limits.
struct LimitedCollector {
    limited: Limited,
    desc: Desc,
}

impl LimitedCollector {
    fn new(limited: Limited) -> Result<Self, prometheus::Error> {
        let (name, help) = ("gateway_rate_limited_total", "Requests over a rate limit.");
        let desc = Desc::new(name.into(), help.into(), vec!["client".to_owned()], Default::default())?;
        Ok(Self { limited, desc })
    }
}

impl Collector for LimitedCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let counter = |(label, count): (String, u64)| {
            let mut counter = proto::Counter::default();
            counter.set_value(count as f64);
            let mut metric = labelled(&[("client", &label)]);
            metric.set_counter(counter);
            metric
        };
        let counters = self.limited.counts().into_iter().map(counter).collect();
        vec![family(&self.desc, proto::MetricType::COUNTER, counters)]
    }
}

fn family(desc: &Desc, kind: proto::MetricType, metrics: Vec<proto::Metric>) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// `labels` in the order of their names.
fn labelled(labels: &[(&str, &str)]) -> proto::Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    proto::Metric::from_label(labels.iter().map(pair).collect())
}

fn histogram(buckets: &[u64; BUCKETS.len()], count: u64, seconds: f64) -> proto::Histogram {
    let mut cumulative = 0;
    let counted = BUCKETS.iter().zip(buckets).map(|(bound, count)| {
        cumulative += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(counted.collect());
    histogram.set_sample_count(count);
    histogram.set_sample_sum(seconds);
    histogram
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;

    #[test]
    fn the_original_metrics_keep_names_and_labels() {
        let metrics = Metrics::new(2).expect("names are unique");
        let service = metrics.service("/api/users");
        service.record(0, &Method::GET, 200, Duration::from_millis(3));
        service.record(1, &Method::GET, 200, Duration::from_millis(700));
        service.record(1, &Method::from_bytes(b"BREW").expect("a token"), 418, Duration::ZERO);
        metrics.watch_backends(Box::new(|| {
            vec![Backend { label: "localhost:8081".into(), in_flight: 2, is_healthy: true, circuit: 1 }]
        }));
        let text = metrics.encode().expect("families are consistent");
        for line in [
            r#"gateway_requests_total{method="GET",service="/api/users",status="200"} 2"#,
            r#"gateway_requests_total{method="other",service="/api/users",status="418"} 1"#,
            r#"gateway_request_duration_seconds_bucket{service="/api/users",le="0.005"} 2"#,
            r#"gateway_request_duration_seconds_bucket{service="/api/users",le="+Inf"} 3"#,
            r#"gateway_request_duration_seconds_count{service="/api/users"} 3"#,
            r#"gateway_backend_healthy{backend="localhost:8081"} 1"#,
            r#"gateway_active_connections{backend="localhost:8081"} 2"#,
            r#"gateway_circuit_state{backend="localhost:8081"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nnot in\n{text}");
        }
    }

    #[test]
    fn who_met_limits_is_told() {
        let metrics = Metrics::new(1).expect("names are unique");
        metrics.limited.count(std::net::Ipv4Addr::LOCALHOST.into(), None);
        let text = metrics.encode().expect("families are consistent");
        assert!(text.contains(r#"gateway_rate_limited_total{client="127.0.0.1"} 1"#), "{text}");
    }

    #[test]
    fn series_of_a_service_nobody_holds_are_gone() {
        let metrics = Metrics::new(1).expect("names are unique");
        let service = metrics.service("old");
        service.record(0, &Method::GET, 200, Duration::ZERO);
        assert!(metrics.encode().is_ok_and(|text| text.contains("\"old\"")));
        drop(service);
        assert!(metrics.encode().is_ok_and(|text| !text.contains("\"old\"")));
    }
}
