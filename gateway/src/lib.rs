//! The gateway: the HTTP edge. Routes, admission, the control API, errors to HTTP. It knows no KVM type.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | sockets, connections, what every response has |
//! | `edge` | a body for the errors hyper answers by itself |
//! | `turn`, `presence` | what a client owes while it is answered, and the end of connections to those who do not do it |
//! | `data` | the data path: `/function/NAME` |
//! | `event` | HTTP request -> what a function is given (pure) |
//! | `reply` | what a function gave -> HTTP response (pure) |
//! | `stream` | a response that goes on: its body as it comes |
//! | `intake`, `inflow` | a request that goes on: its body as the function wants it |
//! | `upgrade` | connections that become something else |
//! | `control` | the control API and the operational endpoints |
//! | `deploy` | deploys and removals, all or nothing |
//! | `routes` | the routing table |
//! | `store` | records and packages on disk |
//! | `error` | every failure and its HTTP response |
//! | `metrics` | counters and `/metrics` |
//! | [`backend`] | what runs functions |
#![forbid(unsafe_code)]

pub mod api;
mod app;
pub mod backend;
mod body;
mod config;
mod control;
mod data;
mod deploy;
mod edge;
mod error;
mod event;
mod headers;
mod inflow;
mod intake;
mod metrics;
mod names;
mod presence;
mod reply;
mod routes;
mod server;
pub mod settings;
mod store;
mod stream;
mod turn;
mod upgrade;

pub use config::{
    BODY_MAX_BYTES, FIELDS_MAX, GatewayConfig, HEAD_MAX_BYTES, PACKAGE_MAX_BYTES, STREAM_ABOVE_BYTES,
    STREAM_MAX_BYTES, ServeError,
};
pub use names::is_function_name;
pub use server::{Gateway, Handle, serve};
pub use store::StoreError;
