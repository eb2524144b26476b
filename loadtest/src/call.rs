//! What is sent: calls, and mixes of them.

use crate::expect::Expect;
use crate::target::Target;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// One kind of request, and what its answer must be.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name in reports.
    pub name: String,
    /// Method.
    pub method: Method,
    /// Path and query, `/` at the beginning.
    pub path: String,
    /// Headers beside `Host` and `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body; its length is sent if it is not empty or the method usually has one.
    pub body: Bytes,
    /// What the answer must be.
    pub expect: Expect,
}

/// A call or a mix that cannot be sent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallError {
    /// Not a path.
    #[error("`{0}` is not a path: it must begin with / and hold no spaces or control characters")]
    Path(String),
    /// No calls, or more than can be told apart.
    #[error("a mix has 1 to {max} calls, not {count}", max = CALLS_MAX)]
    Count {
        /// Calls given.
        count: usize,
    },
    /// No calls for given arrivals, or more than are kept in memory.
    #[error("given arrivals choose among 1 to {max} calls, not {count}", max = LISTED_MAX)]
    Listed {
        /// Calls given.
        count: usize,
    },
    /// Weights that select nothing.
    #[error("weights must be positive, and at most 2^32 together")]
    Weights,
}

/// Calls that one mix can have.
pub const CALLS_MAX: usize = 10_000;
/// Calls that given arrivals can choose among.
pub const LISTED_MAX: usize = 1_000_000;

impl Call {
    /// A `GET` of `path` that wants a status of 2xx.
    pub fn get(path: &str) -> Call {
        Call {
            name: path.to_owned(),
            method: Method::GET,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            expect: Expect::default(),
        }
    }

    /// The request as HTTP/1.1 (RFC 9112) writes it.
    pub(crate) fn encode(&self, target: &Target) -> Result<Bytes, CallError> {
        let valid = self.path.starts_with('/') && self.path.parse::<Uri>().is_ok();
        if !valid {
            return Err(CallError::Path(self.path.clone()));
        }
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        if !self.headers.iter().any(|(name, _)| name == http::header::HOST) {
            bytes.extend_from_slice(format!("host: {}\r\n", target.authority).as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        if !self.body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        Ok(bytes.into())
    }
}

/// Calls with weights: how often each is made, in proportion.
#[derive(Clone, Debug)]
pub struct Mix {
    calls: Vec<Call>,
    /// Sums of the weights up to and with each call.
    sums: Vec<u64>,
}

impl Mix {
    /// One call alone.
    pub fn of(call: Call) -> Mix {
        Mix { calls: vec![call], sums: vec![1] }
    }

    /// Calls with their weights.
    pub fn weighted(parts: Vec<(u32, Call)>) -> Result<Mix, CallError> {
        if !(1..=CALLS_MAX).contains(&parts.len()) {
            return Err(CallError::Count { count: parts.len() });
        }
        let mut sum = 0_u64;
        let mut mix = Mix { calls: Vec::new(), sums: Vec::new() };
        for (weight, call) in parts {
            sum += u64::from(weight);
            if weight == 0 || sum > 1 << 32 {
                return Err(CallError::Weights);
            }
            mix.calls.push(call);
            mix.sums.push(sum);
        }
        Ok(mix)
    }

    /// Calls for arrivals that are given: which one is sent when is said there, so it can be many.
    pub fn listed(calls: Vec<Call>) -> Result<Mix, CallError> {
        if !(1..=LISTED_MAX).contains(&calls.len()) {
            return Err(CallError::Listed { count: calls.len() });
        }
        Ok(Mix { calls, sums: Vec::new() })
    }

    /// The calls, in the order given.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Index of a call, chosen by weight.
    pub(crate) fn choose(&self, rng: &mut ChaCha8Rng) -> usize {
        if self.sums.len() < 2 { 0 } else { self.pick(rng.next_u64()) }
    }

    /// Index of the call that the high half of a random number stands for.
    pub(crate) fn pick(&self, random: u64) -> usize {
        let [.., total] = self.sums[..] else { return 0 };
        // The high half of 32 random bits times the total: uniform up to 2^-32 of it.
        let pick = ((random >> 32) * total) >> 32;
        self.sums.partition_point(|&sum| sum <= pick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn a_call_is_written_with_its_host_and_its_length() {
        let target = Target::parse("http://127.0.0.1:81").unwrap();
        assert_eq!(
            Call::get("/a?b").encode(&target).unwrap(),
            "GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:81\r\n\r\n"
        );
        let post = Call {
            method: Method::POST,
            headers: vec![(http::header::HOST, HeaderValue::from_static("f.example"))],
            body: "xyz".into(),
            ..Call::get("/")
        };
        let wanted = "POST / HTTP/1.1\r\nhost: f.example\r\ncontent-length: 3\r\n\r\nxyz";
        assert_eq!(post.encode(&target).unwrap(), wanted);
        for path in ["a", "/a b", "/a\r\nx: y", ""] {
            assert_eq!(Call::get(path).encode(&target), Err(CallError::Path(path.into())));
        }
    }

    #[test]
    fn a_mix_chooses_by_weight() {
        let call = |name: &str| Call::get(&format!("/{name}"));
        let mix = Mix::weighted(vec![(1, call("a")), (6, call("b")), (3, call("c"))]).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0; 3];
        for _ in 0..100_000 {
            counts[mix.choose(&mut rng)] += 1;
        }
        for (count, share) in counts.into_iter().zip([10_000, 60_000, 30_000_i32]) {
            assert!((share - count).abs() < 1000, "{counts:?}");
        }
        assert_eq!(Mix::weighted(vec![]).unwrap_err(), CallError::Count { count: 0 });
        assert_eq!(Mix::weighted(vec![(0, call("a"))]).unwrap_err(), CallError::Weights);
        let most = vec![(u32::MAX, call("a")), (2, call("b"))];
        assert_eq!(Mix::weighted(most).unwrap_err(), CallError::Weights);
    }
}
