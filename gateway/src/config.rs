//! What a gateway is started with, and why it may not start.

use crate::store::StoreError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Most bytes of the body of a request that is given to its function as a whole, as an event (6 MiB, as AWS Lambda has it).
pub const BODY_MAX_BYTES: u64 = 6_291_456;
/// Most bytes of the body of a request to a server that are taken in before it runs: longer ones are streamed.
pub const STREAM_ABOVE_BYTES: u64 = 256 << 10;
/// Most bytes of a body that is streamed, when nothing is said.
pub const STREAM_MAX_BYTES: u64 = 1 << 30;
/// Most bytes of a package that is uploaded.
pub const PACKAGE_MAX_BYTES: u64 = 256 << 20;
/// Most bytes of a request's head.
pub const HEAD_MAX_BYTES: usize = 64 << 10;
/// Most header fields of a request.
pub const FIELDS_MAX: usize = 100;

/// What a gateway is started with. [`GatewayConfig::new`] gives the usual limits.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Directory for functions and packages; made if it is missing.
    pub data: PathBuf,
    /// Most open connections; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Most requests to functions at once; more are refused.
    pub in_flight_max: usize,
    /// Longest wait for the head of a request, also on an idle connection.
    pub head_timeout: Duration,
    /// Longest pause while a body arrives, and longest time in which a client takes nothing of what is sent to it.
    pub body_timeout: Duration,
    /// How long a client that has ended its direction in the middle of a request may wait for the answer.
    pub leave_grace: Duration,
    /// Longest time in which a client takes a response, after the function's time is over or, if it is whole, from its head on.
    pub response_grace: Duration,
    /// Bytes a second a client takes of a whole response at least: a long one has that much more time.
    pub response_rate: u64,
    /// Longest time for the whole body of a request to a function, if it is not streamed.
    pub body_deadline: Duration,
    /// Most bytes of a body that is streamed into a function.
    pub stream_max_bytes: u64,
    /// Most connections of a function that are upgraded at once.
    pub upgrades_max: usize,
    /// How long nothing may go over an upgraded connection.
    pub upgrade_idle: Duration,
    /// Longest wait of a request for a function that is being built.
    pub build_patience: Duration,
    /// Longest wait for running requests when stopping.
    pub drain_timeout: Duration,
    /// Most functions that are rebuilt at once after a start.
    pub rebuilds_max: usize,
    /// Most deploys that are built at once; more wait.
    pub deploys_max: usize,
}

impl GatewayConfig {
    /// The usual limits.
    pub fn new(listen: SocketAddr, data: PathBuf) -> Self {
        Self {
            listen,
            data,
            connections_max: 10_000,
            in_flight_max: 5_000,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            leave_grace: Duration::from_secs(5),
            response_grace: Duration::from_secs(120),
            response_rate: 64 << 10,
            body_deadline: Duration::from_secs(120),
            stream_max_bytes: STREAM_MAX_BYTES,
            upgrades_max: 100,
            upgrade_idle: Duration::from_secs(60),
            build_patience: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(10),
            rebuilds_max: 2,
            deploys_max: 4,
        }
    }

    /// Longest time in which a client takes a whole response of so many bytes.
    pub(crate) fn time_to_take(&self, bytes: u64) -> Duration {
        self.response_grace + Duration::from_secs(bytes / self.response_rate.max(1))
    }
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}: {source}; choose another with --data", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another platform runs on the data directory.
    #[error("the data directory {} is in use by another platform{}; stop that one or choose another with --data",
        path.display(), holder.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, if known.
        holder: Option<u32>,
    },
    /// The function store cannot be used.
    #[error("{source}; move {} away to start with an empty one", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_response_has_more_time() {
        let mut config = GatewayConfig::new(([127, 0, 0, 1], 0).into(), PathBuf::new());
        assert_eq!(config.time_to_take(0), Duration::from_secs(120));
        assert_eq!(config.time_to_take(16 << 20), Duration::from_secs(120 + 256));
        config.response_rate = 0;
        assert_eq!(config.time_to_take(7), Duration::from_secs(127));
    }
}
