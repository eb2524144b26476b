//! HTTP request -> what a function is given. Pure: no clock, no I/O.
//!
//! [`lambda`] makes the invocation document of the handler contract, [`wire`] the HTTP/1.1 request of the
//! HTTP contract, [`runtime_api`] the answer to `next` of the Runtime API.

pub(crate) mod lambda;
mod query;
pub(crate) mod runtime_api;
pub(crate) mod wire;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version};
use std::net::IpAddr;
use std::time::Duration;

/// What follows a request that is not complete ([`wire`] only).
#[derive(Clone, Debug, Default)]
pub(crate) enum Rest {
    /// Nothing.
    #[default]
    Nothing,
    /// A body of this many bytes.
    Length(u64),
    /// A body in chunks.
    Chunked,
    /// This protocol, if the function agrees.
    Upgrade(HeaderValue),
}

/// One request, as all contracts need it.
pub(crate) struct Incoming<'a> {
    /// Method.
    pub method: &'a Method,
    /// HTTP version.
    pub version: Version,
    /// Path below `/function/NAME`, still encoded; begins with `/`.
    pub path: &'a str,
    /// Query without `?`, still encoded.
    pub query: &'a str,
    /// Header fields.
    pub headers: &'a HeaderMap,
    /// Address of the client.
    pub source: IpAddr,
    /// The whole body, or nothing of it.
    pub body: &'a Bytes,
    /// What follows the request.
    pub rest: Rest,
    /// Id of the request.
    pub request_id: &'a str,
    /// Wall clock: time since 1970-01-01T00:00:00Z.
    pub now: Duration,
}

/// What the context of an invocation says about the function.
pub(crate) struct About<'a> {
    /// Name.
    pub name: &'a str,
    /// Memory of the program in bytes.
    pub memory_bytes: u64,
    /// Longest run.
    pub timeout: Duration,
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use http::HeaderName;
    use std::net::Ipv4Addr;

    /// Owned parts of a request, for tests.
    pub(crate) struct Parts {
        pub method: Method,
        pub path: &'static str,
        pub query: &'static str,
        pub headers: HeaderMap,
        pub body: Bytes,
        pub rest: Rest,
    }

    impl Parts {
        pub(crate) fn new(method: Method, path: &'static str, query: &'static str) -> Self {
            Self { method, path, query, headers: HeaderMap::new(), body: Bytes::new(), rest: Rest::Nothing }
        }

        pub(crate) fn header(mut self, name: &'static str, value: &[u8]) -> Self {
            self.headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
            self
        }

        pub(crate) fn body(mut self, body: &[u8]) -> Self {
            self.body = Bytes::copy_from_slice(body);
            self
        }

        pub(crate) fn incoming(&self) -> Incoming<'_> {
            Incoming {
                method: &self.method,
                version: Version::HTTP_11,
                path: self.path,
                query: self.query,
                headers: &self.headers,
                source: Ipv4Addr::new(192, 0, 2, 7).into(),
                body: &self.body,
                rest: self.rest.clone(),
                request_id: "req-1",
                now: Duration::from_millis(1_583_348_638_390),
            }
        }
    }
}
