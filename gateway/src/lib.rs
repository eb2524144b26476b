//! The gateway: the HTTP edge. Routes, admission, the control API, errors to HTTP. It knows no KVM type.
#![forbid(unsafe_code)]

pub mod api;
