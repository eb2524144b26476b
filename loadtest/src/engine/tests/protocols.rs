//! Both protocols over both kinds of sockets, and very many requests at a time.

use super::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::net::{TcpListener as AsyncListener, UnixListener};
use tokio::sync::Barrier;

/// A server of HTTP/2 that answers a request when `together` of them are there; at a port and at a socket. It reads what it
/// is sent: a server that answers before it has the body resets the stream, and h2 ends a connection with many such resets.
fn serve_http2(together: usize, socket: &std::path::Path) -> [Target; 2] {
    let (listener, unix) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), std::os::unix::net::UnixListener::bind(socket));
    let unix = unix.unwrap();
    let urls = [format!("http://{}", listener.local_addr().unwrap()), format!("unix:{}", socket.display())];
    listener.set_nonblocking(true).unwrap();
    unix.set_nonblocking(true).unwrap();
    let barrier = Arc::new(Barrier::new(together));
    let answer = move |request: Request<Incoming>| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            let text = format!("{} {}", request.method(), request.uri().path());
            // A body that is cut short shows in the client.
            let _ = request.into_body().collect().await;
            let response =
                Response::builder().header("x-spore-start", "spare").body(Full::new(Bytes::from(text)));
            Ok::<_, Infallible>(response.unwrap())
        }
    };
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (tcp, unix) =
                (AsyncListener::from_std(listener).unwrap(), UnixListener::from_std(unix).unwrap());
            loop {
                let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                server.max_concurrent_streams(100_000).max_pending_accept_reset_streams(100_000);
                tokio::select! {
                    accepted = tcp.accept() => {
                        let io = TokioIo::new(accepted.unwrap().0);
                        tokio::spawn(server.serve_connection(io, service_fn(answer.clone())));
                    }
                    accepted = unix.accept() => {
                        let io = TokioIo::new(accepted.unwrap().0);
                        tokio::spawn(server.serve_connection(io, service_fn(answer.clone())));
                    }
                }
            }
        });
    });
    urls.map(|url| Target::parse(&url).unwrap())
}

#[test]
fn http2_sends_what_is_due_on_few_connections() {
    let directory = tempfile::tempdir().unwrap();
    let protocol = Protocol::Http2 { streams: 4 };
    let expect = Expect { body: Some("POST /a".into()), ..Expect::default() };
    let call = Call { method: http::Method::POST, body: "xyz".into(), expect, ..Call::get("/a") };
    for target in serve_http2(1, &directory.path().join("s")) {
        let load = Load::Open(Arrivals::Constant { rate: 200.0 });
        let mix = Mix::of(call.clone());
        let sum = total(Plan { mix, protocol, ..plan(target.clone(), load) });
        assert_eq!((sum.answers(), sum.failures(), sum.body_bytes), (200, 0, 1400));
        assert_eq!(sum.answered.keys().collect::<Vec<_>>(), [&(0, Start::Spare)]);
        let mix = Mix::of(call.clone());
        let sum = total(Plan { mix, protocol, ..plan(target, Load::Closed) });
        assert!(sum.answers() > 8 && sum.failures() == 0, "{:?}", sum.failed);
    }
}

#[test]
fn http1_speaks_through_unix_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() && stream.write_all(HELLO).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let target = Target::parse(&format!("unix:{}", path.display())).unwrap();
    let load = Load::Open(Arrivals::Constant { rate: 200.0 });
    let sum = total(plan(target.clone(), load));
    assert_eq!((sum.answers(), sum.failures()), (200, 0));
    let sum = total(plan(target, Load::Closed));
    assert!(sum.answers() > 8 && sum.failures() == 0, "{:?}", sum.failed);
}

/// `count` requests at once on one connection in `streams`; none is answered before all are there.
fn all_at_once(count: usize, streams: usize) -> Tally {
    let directory = tempfile::tempdir().unwrap();
    let [target, _] = serve_http2(count, &directory.path().join("s"));
    let size = u32::try_from(count).unwrap();
    let load = Load::Open(Arrivals::Burst { size, every_s: 1000.0 });
    let timeout = Duration::from_secs(300);
    let protocol = Protocol::Http2 { streams };
    total(Plan { connections: count, protocol, timeout, threads: 1, ..plan(target, load) })
}

#[test]
fn a_thousand_requests_of_http2_are_under_way_at_once() {
    let sum = all_at_once(1000, 100);
    assert_eq!((sum.answers(), sum.failures(), sum.dropped), (1000, 0, 0));
}

#[test]
#[ignore = "heavy: 100,000 requests under way, about a GiB of memory"]
fn a_hundred_thousand_requests_are_under_way_at_once() {
    let sum = all_at_once(100_000, 1000);
    assert_eq!((sum.answers(), sum.failures(), sum.dropped), (100_000, 0, 0));
}

#[test]
fn a_thousand_connections_are_under_way_at_once() {
    let (listener, held) = (TcpListener::bind("127.0.0.1:0").unwrap(), 1000);
    // The server's ends are descriptors of this process, too.
    limits::allow_descriptors(2 * 1000).unwrap();
    rustix::net::listen(&listener, 4096).unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    thread::spawn(move || {
        // All connect before the first is answered.
        let streams: Vec<TcpStream> = (0..held).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams.iter() {
            stream.write_all(HELLO).unwrap();
        }
        thread::park();
    });
    let load = Load::Open(Arrivals::Burst { size: held, every_s: 1000.0 });
    let sum = total(Plan { connections: 1000, timeout: Duration::from_secs(60), ..plan(target, load) });
    assert_eq!((sum.answers(), sum.failures(), sum.dropped), (1000, 0, 0));
}

#[test]
fn connections_that_the_machine_cannot_have_are_refused_with_advice() {
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    // Where anything is allowed there is nothing to refuse.
    let Some(hard) = hard.filter(|&hard| hard < 1_000_000) else { return };
    let wanted = Plan { connections: 1_000_000, ..plan(target, Load::Closed) };
    // It is over before it begins: a million sockets are not what this is about.
    let stop = Stop::default();
    stop.stop();
    match wanted.start(&stop) {
        Err(error) => assert!(error.to_string().contains("ulimit -Hn"), "{error}"),
        // A privileged process raised its limit.
        Ok(run) => {
            let now = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
            assert!(now.is_none_or(|now| now > hard));
            run.watch(|_, _| {}).unwrap();
        }
    }
}
