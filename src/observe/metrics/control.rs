//! What is measured of the controller. Names and meanings stand in the table of `observe/metrics`.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Seconds from a change's arrival to being in effect: from a tenth of what is promised to clearly broken.
const SERVING_BUCKETS: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// The controller's metrics. Clones count into the same.
#[derive(Clone, Debug)]
pub struct ControlMetrics {
    /// `sluice_watch_errors_total`
    pub watch_errors: IntCounterVec,
    /// `sluice_watch_failing`
    pub watches_failing: IntGaugeVec,
    /// `sluice_watch_undecodable`
    pub objects_undecodable: IntGaugeVec,
    /// `sluice_status_writes_total`
    pub status_writes: IntCounterVec,
    /// `sluice_status_pending`
    pub statuses_pending: IntGauge,
    /// `sluice_events_total`
    pub events: IntCounterVec,
    /// `sluice_lease_held`
    pub lease_held: IntGauge,
    /// `sluice_serving_seconds`
    pub serving_seconds: Histogram,
    /// `sluice_snapshot_stale`
    pub snapshot_stale: IntGauge,
    /// `sluice_snapshot_stale_seconds`
    pub snapshot_stale_seconds: IntGauge,
    /// `sluice_state_files_total`
    pub state_files: IntCounterVec,
}

impl ControlMetrics {
    /// Registered with all others.
    ///
    /// # Errors
    /// If two metrics have one name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauges = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["kind"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let seconds = HistogramOpts::new("sluice_serving_seconds", "From a change's arrival to its being in effect.")
            .buckets(SERVING_BUCKETS.to_vec());
        let serving_seconds = Histogram::with_opts(seconds)?;
        registry.register(Box::new(serving_seconds.clone()))?;
        Ok(Self {
            watch_errors: counters("sluice_watch_errors_total", "Lists and watches that failed.", &["kind", "reason"])?,
            watches_failing: gauges("sluice_watch_failing", "Watches that do not work now.")?,
            objects_undecodable: gauges("sluice_watch_undecodable", "Objects that cannot be read.")?,
            status_writes: counters("sluice_status_writes_total", "Statuses written, or not.", &["result"])?,
            statuses_pending: gauge("sluice_status_pending", "Statuses that wait to be written by this replica.")?,
            events: counters("sluice_events_total", "Events sent, or not.", &["result"])?,
            lease_held: gauge("sluice_lease_held", "1 on the replica that writes statuses.")?,
            serving_seconds,
            snapshot_stale: gauge("sluice_snapshot_stale", "1 while what is served was read from disk.")?,
            snapshot_stale_seconds: gauge("sluice_snapshot_stale_seconds", "Age of what was read from disk.")?,
            state_files: counters(
                "sluice_state_files_total",
                "State on disk: files written, restored, refused.",
                &["result"],
            )?,
        })
    }
}
