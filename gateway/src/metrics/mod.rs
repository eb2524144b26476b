//! What the gateway counts, and `/metrics`. Labels hold names of deployed functions only, so their number is
//! bounded by what operators deploy, not by what clients ask for.

mod process;
mod scrape;

pub(crate) use scrape::scrape;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};
use std::time::Duration;
use worker::api::Timing;

/// 50 us to 900 s: the shortest fork and the longest timeout.
const BUCKETS_SECONDS: [f64; 20] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 15.0, 60.0, 300.0, 900.0,
];

/// All metrics the gateway itself keeps.
pub(crate) struct Metrics {
    registry: Registry,
    invocations: IntCounterVec,
    durations: HistogramVec,
    queue: HistogramVec,
    fork: HistogramVec,
    run: HistogramVec,
    /// Requests to functions that never reached one, by error code.
    pub rejected: IntCounterVec,
    /// Invocations whose client went away.
    pub disconnects: IntCounter,
    /// Requests being answered now.
    pub in_flight: IntGauge,
    /// Connections that are open now.
    pub connections: IntGauge,
    /// Bytes of bodies that were streamed into functions.
    pub body_bytes: IntCounter,
    /// Connections that are upgraded now.
    pub upgraded: IntGauge,
    /// Bytes that went over upgraded connections, by direction.
    pub upgraded_bytes: IntCounterVec,
    /// Connections that waited because the limit was reached.
    pub connections_delayed: IntCounter,
}

/// The histograms of one function, looked up once.
#[derive(Clone)]
pub(crate) struct FunctionMetrics {
    durations: prometheus::Histogram,
    queue: prometheus::Histogram,
    fork: prometheus::Histogram,
    run: prometheus::Histogram,
}

impl FunctionMetrics {
    /// Counts one request that reached the function.
    pub(crate) fn observe(&self, total: Duration, timing: Option<&Timing>) {
        self.durations.observe(total.as_secs_f64());
        if let Some(timing) = timing {
            self.queue.observe(timing.queue.as_secs_f64());
            self.fork.observe(timing.fork.as_secs_f64());
            self.run.observe(timing.run.as_secs_f64());
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        Self {
            invocations: counters(
                &registry,
                "spore_invocations_total",
                "Requests to deployed functions, by HTTP status of the answer.",
                &["function", "status"],
            ),
            durations: histograms(
                &registry,
                "spore_invocation_duration_seconds",
                "From the request's head to the response, whole requests.",
            ),
            queue: histograms(
                &registry,
                "spore_queue_duration_seconds",
                "Waiting for a shell or for the parent.",
            ),
            fork: histograms(
                &registry,
                "spore_fork_duration_seconds",
                "From having a shell to entering the VM.",
            ),
            run: histograms(&registry, "spore_run_duration_seconds", "In the VM."),
            rejected: counters(
                &registry,
                "spore_requests_rejected_total",
                "Requests to functions that never reached one, by error code.",
                &["code"],
            ),
            disconnects: register(
                &registry,
                IntCounter::new("spore_client_disconnects_total", "Invocations whose client went away."),
            ),
            in_flight: register(
                &registry,
                IntGauge::new("spore_requests_in_flight", "Requests to functions being answered now."),
            ),
            connections: register(&registry, IntGauge::new("spore_connections", "Open client connections.")),
            body_bytes: register(
                &registry,
                IntCounter::new(
                    "spore_streamed_body_bytes_total",
                    "Bytes of request bodies that were streamed into functions.",
                ),
            ),
            upgraded: register(
                &registry,
                IntGauge::new(
                    "spore_upgraded_connections",
                    "Connections that are upgraded now (WebSocket and the like).",
                ),
            ),
            upgraded_bytes: counters(
                &registry,
                "spore_upgraded_bytes_total",
                "Bytes that went over upgraded connections, by direction as the function sees it.",
                &["direction"],
            ),
            connections_delayed: register(
                &registry,
                IntCounter::new(
                    "spore_connections_delayed_total",
                    "Times that accepting waited because the connection limit was reached.",
                ),
            ),
            registry,
        }
    }

    /// The histograms of `function`.
    pub(crate) fn function(&self, function: &str) -> FunctionMetrics {
        let labels = &[function];
        FunctionMetrics {
            durations: self.durations.with_label_values(labels),
            queue: self.queue.with_label_values(labels),
            fork: self.fork.with_label_values(labels),
            run: self.run.with_label_values(labels),
        }
    }

    /// Counts one answer of a deployed function.
    pub(crate) fn answered(&self, function: &str, status: http::StatusCode) {
        self.invocations.with_label_values(&[function, status.as_str()]).inc();
    }

    /// Drops everything that is labelled with a removed function.
    pub(crate) fn forget(&self, function: &str) {
        for histogram in [&self.durations, &self.queue, &self.fork, &self.run] {
            // The only error is that there was nothing to drop.
            let _absent = histogram.remove_label_values(&[function]);
        }
        let statuses = (100..600u16).filter_map(|status| http::StatusCode::from_u16(status).ok());
        for status in statuses {
            let _absent = self.invocations.remove_label_values(&[function, status.as_str()]);
        }
    }
}

/// One more of something for as long as this lives.
pub(crate) struct Counted<'a>(&'a IntGauge);

impl<'a> Counted<'a> {
    pub(crate) fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn histograms(registry: &Registry, name: &str, help: &str) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(BUCKETS_SECONDS.to_vec());
    register(registry, HistogramVec::new(options, &["function"]))
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("names and labels are constants that follow the rules");
    registry.register(Box::new(collector.clone())).expect("every metric is registered once");
    collector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_function_leaves_no_labels() {
        let metrics = Metrics::new();
        metrics.function("a").observe(Duration::from_millis(1), Some(&Timing::default()));
        metrics.answered("a", http::StatusCode::OK);
        metrics.answered("b", http::StatusCode::BAD_GATEWAY);
        let text = |metrics: &Metrics| {
            prometheus::TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap()
        };
        assert!(text(&metrics).contains("spore_invocations_total{function=\"a\",status=\"200\"} 1"));
        metrics.forget("a");
        assert!(!text(&metrics).contains("function=\"a\""));
        assert!(text(&metrics).contains("spore_invocations_total{function=\"b\",status=\"502\"} 1"));
    }
}
