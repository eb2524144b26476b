//! Where load goes: an HTTP server at a TCP address or a Unix socket.

use http::Uri;
use serde::Serialize;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// How long an address of a name is tried.
const TRY: Duration = Duration::from_millis(500);

/// A server. Parsed from `http://HOST[:PORT]` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// As it was written.
    pub url: String,
    /// What is put into `Host`.
    pub authority: String,
    /// Where it is.
    pub address: Address,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    /// TCP. The first address of the name where somebody listens.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A target that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not a URL of a kind that is known.
    #[error("`{url}` is not a target: {why}; write http://HOST:PORT or unix:PATH")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The name has no address.
    #[error("`{host}` has no address")]
    Name {
        /// The name, with port.
        host: String,
        /// What the resolver says.
        source: std::io::Error,
    },
}

impl Target {
    /// Parses a URL and looks its host up, once. If it has several addresses, connects to see which is served.
    pub fn parse(url: &str) -> Result<Target, TargetError> {
        if let Some(path) = url.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            if !path.is_absolute() {
                return Err(wrong(url, "the path of a Unix socket must be absolute"));
            }
            return Ok(Target {
                url: url.to_owned(),
                authority: "localhost".into(),
                address: Address::Unix(path),
            });
        }
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| wrong(url, &error.to_string()))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong(url, "only http is spoken"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong(url, "the path belongs to the call, not to the target"));
        }
        let authority = uri.authority().ok_or_else(|| wrong(url, "it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong(url, "user names are not sent"));
        }
        let host = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        let found =
            host.to_socket_addrs().map_err(|source| TargetError::Name { host: host.clone(), source })?;
        let none = || TargetError::Name { host: host.clone(), source: std::io::ErrorKind::NotFound.into() };
        let address = served(&found.collect::<Vec<_>>()).ok_or_else(none)?;
        Ok(Target { url: url.to_owned(), authority: authority.to_string(), address: Address::Tcp(address) })
    }
}

/// The first address where somebody listens; without any, the first.
fn served(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let listens = |address: &&SocketAddr| TcpStream::connect_timeout(address, TRY).is_ok();
    match addresses {
        [] | [_] => addresses.first().copied(),
        several => several.iter().find(listens).or_else(|| several.first()).copied(),
    }
}

fn wrong(url: &str, why: &str) -> TargetError {
    TargetError::Url { url: url.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_an_address() {
        let target = Target::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!(target.address, Address::Tcp("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(target.authority, "127.0.0.1:8080");
        assert_eq!(
            Target::parse("http://[::1]/").unwrap().address,
            Address::Tcp("[::1]:80".parse().unwrap())
        );
        for url in ["unix:/run/x.sock", "unix:///run/x.sock"] {
            assert_eq!(Target::parse(url).unwrap().address, Address::Unix("/run/x.sock".into()));
        }
    }

    #[test]
    fn of_several_addresses_the_one_that_is_served_is_used() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let [one, other] = ["127.0.0.1:1", "127.0.0.1:2"].map(|address| address.parse().unwrap());
        assert_eq!(served(&[one, there, other]), Some(there));
        assert_eq!((served(&[one, other]), served(&[other]), served(&[])), (Some(one), Some(other), None));
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_reason() {
        for (url, why) in [
            ("127.0.0.1:80", "only http"),
            ("https://a", "only http"),
            ("http://a/b", "path belongs"),
            ("http://a/?b", "path belongs"),
            ("http://me@a", "user names"),
            ("unix:here", "absolute"),
            ("http://", "is not a target"),
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
