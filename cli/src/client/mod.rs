//! The HTTP client of the control API and of the functions. Plain HTTP/1.1 with keep-alive.

mod lines;
pub(crate) mod multipart;

pub(crate) use lines::Lines;

use crate::failure::{Exit, Failure};
use crate::print;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as HyperClient};
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::time::Duration;

/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer of the control API that is read, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// Talks to one platform.
pub(crate) struct Client {
    http: HyperClient<HttpConnector, Full<Bytes>>,
    authority: Authority,
    /// Path in front of every path; empty or `/prefix`.
    prefix: String,
}

impl Client {
    /// A client for a base URL such as `http://127.0.0.1:8080`. Does not connect yet.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let (authority, prefix) = parse_base(url)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = HyperClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, authority, prefix })
    }

    /// The URL of a path of this platform.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.authority, self.prefix)
    }

    /// Sends one request and returns whatever the platform answers. A platform ends connections that were idle for a while; a
    /// request that meets that end is sent once more, if its method is idempotent (RFC 9110, 9.2.2 and RFC 9112, 9.3.1).
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let uri: Uri = self
            .url(path)
            .parse()
            .map_err(|e| Failure::new(format!("`{path}` is not a valid URL path: {e}")).exit(Exit::Usage))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let again = request.method().is_idempotent().then(|| request.clone());
        match (self.http.request(request).await, again) {
            (Err(error), Some(again)) if ended_unanswered(&error) => self.http.request(again).await,
            (answered, _) => answered,
        }
        .map_err(|error| self.unreachable(&error))
    }

    /// `GET` of a JSON document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self.call_for_body(Method::GET, path, HeaderMap::new(), Bytes::new()).await?;
        decode(&body)
    }

    /// A call whose answer has nothing to say.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Result<(), Failure> {
        self.call_for_body(method, path, HeaderMap::new(), Bytes::new()).await.map(drop)
    }

    /// A call with a body and a JSON answer.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<T, Failure> {
        decode(&self.call_for_body(Method::PUT, path, headers, body).await?)
    }

    /// `GET` of a body that is read piece by piece.
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming, Failure> {
        let response = self.send(Method::GET, path, HeaderMap::new(), Bytes::new()).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        Err(Failure::from_response(status, &self.collect(response.into_body()).await?))
    }

    /// Reads a body to its end, up to a limit.
    pub(crate) async fn collect(&self, body: Incoming) -> Result<Bytes, Failure> {
        let collected = Limited::new(body, ANSWER_MAX).collect().await;
        collected.map(|c| c.to_bytes()).map_err(|e| {
            Failure::new(format!("the answer of {} broke off: {}", self.authority, print::chain(e.as_ref())))
        })
    }

    async fn call_for_body(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        let response = self.send(method, path, headers, body).await?;
        let status = response.status();
        let body = self.collect(response.into_body()).await?;
        if status.is_success() { Ok(body) } else { Err(Failure::from_response(status, &body)) }
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> Failure {
        Failure::new(format!(
            "cannot reach the platform at http://{}: {}",
            self.authority,
            print::chain(error)
        ))
        .hint("start it with `spore up`, or say where it is with --url or SPORE_URL")
    }
}

/// Path of a function in the control API.
pub(crate) fn function_path(name: &str) -> String {
    format!("/v1/functions/{}", encode(name))
}

/// Path of a call of a function; `path` begins below the function.
pub(crate) fn invocation_path(name: &str, path: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("/function/{}{slash}{path}", encode(name))
}

/// True if the connection ended before anything of an answer came.
fn ended_unanswered(error: &legacy::Error) -> bool {
    let mut causes = successors(error.source(), |&cause| cause.source());
    causes.any(|cause| {
        let http = cause.downcast_ref::<hyper::Error>();
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        http.is_some_and(hyper::Error::is_incomplete_message)
            || matches!(io, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
    })
}

/// A name as one segment of a URL path.
fn encode(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => text.push(char::from(byte)),
            b'.' if segment.bytes().any(|b| b != b'.') => text.push('.'),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|e| {
        Failure::new(format!("the platform's answer is not what this version of spore expects: {e}"))
            .hint("check that --url names a Spore platform of the same version (`spore version`)")
    })
}

fn parse_base(url: &str) -> Result<(Authority, String), Failure> {
    let bad = |why: &str| {
        Failure::new(format!("`{url}` cannot be used as the platform's URL: {why}"))
            .hint("it looks like http://127.0.0.1:8080 (option --url, variable SPORE_URL)")
            .exit(Exit::Usage)
    };
    let uri: Uri = url.parse().map_err(|e: http::uri::InvalidUri| bad(&e.to_string()))?;
    match uri.scheme() {
        Some(s) if *s == Scheme::HTTP => {}
        Some(s) if *s == Scheme::HTTPS => {
            return Err(bad("https is not supported; put a TLS proxy in front and use its http side"));
        }
        Some(s) => return Err(bad(&format!("the scheme {s} is not http"))),
        None => return Err(bad("it does not begin with http://")),
    }
    if uri.query().is_some() {
        return Err(bad("it has a query"));
    }
    let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("user names and passwords are not supported"));
    }
    Ok((authority.clone(), uri.path().trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn base_urls() {
        let client = Client::new("http://localhost:9/spore/").expect("valid");
        assert_eq!(client.url("/v1/vms"), "http://localhost:9/spore/v1/vms");
        for bad in
            ["https://localhost", "localhost:8080", "ftp://x", "http://", "http://a@b/", "http://x/?q", ""]
        {
            let failure = Client::new(bad).err().expect(bad);
            assert_eq!(failure.exit, Exit::Usage, "{bad}");
            assert!(!failure.hint.is_empty());
        }
    }

    /// Answers the request of one connection; the connection, still open, and the request's first line.
    fn answer_one(listener: &TcpListener) -> (TcpStream, String) {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut head = stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        let first = head.next().unwrap();
        assert_ne!(head.count(), 0);
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull").unwrap();
        (stream.into_inner(), first)
    }

    #[test]
    fn a_connection_that_ended_while_idle_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (method, path) in [(Method::GET, "/first"), (Method::DELETE, "/second")] {
            let server = listener.try_clone().unwrap();
            let server = std::thread::spawn(move || answer_one(&server));
            runtime.block_on(client.call(method.clone(), path)).unwrap();
            let (connection, request) = server.join().unwrap();
            assert_eq!(request, format!("{method} {path} HTTP/1.1"));
            // Nobody runs the runtime now, so nobody sees the end of the connection.
            drop(connection);
        }
        drop(listener);
        let refused = runtime.block_on(client.call(Method::GET, "/third")).unwrap_err();
        assert!(refused.message.contains("cannot reach the platform"), "{}", refused.message);
    }

    #[test]
    fn calls_lie_below_the_function() {
        assert_eq!(invocation_path("f", "/"), "/function/f/");
        assert_eq!(invocation_path("f", "a?b=c"), "/function/f/a?b=c");
    }

    #[test]
    fn names_stay_one_path_segment() {
        assert_eq!(function_path("hello-1"), "/v1/functions/hello-1");
        assert_eq!(function_path("../v1/vms?x"), "/v1/functions/..%2Fv1%2Fvms%3Fx");
        assert_eq!(function_path(".."), "/v1/functions/%2E%2E");
        assert_eq!(function_path("a.b"), "/v1/functions/a.b");
        assert_eq!(function_path("é"), "/v1/functions/%C3%A9");
    }
}
