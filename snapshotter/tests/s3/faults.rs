//! Servers that are slow, hang up, lie, or are not there: an error in bounded time, never a wrong byte, never a hang.

use crate::fixture::{PAGE_BYTES, config, host, impatient, page, store_with, wanted};
use snapshotter::source::{ObjectTier, PageSource, S3Config, SourceError, TierError};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes of the object every server here has.
const OBJECT_PAGES: u64 = 40;

/// A server of one object. `answer` gets the number of the request, the connection, the object and the wanted range.
fn serve(
    object: Vec<u8>,
    answer: impl Fn(usize, &mut TcpStream, &[u8], Range<usize>) + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (requests, answer, object) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer), Arc::new(object));
    let counter = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, object, counter) = (Arc::clone(&answer), Arc::clone(&object), Arc::clone(&counter));
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let mut range = 0..object.len();
                for line in lines.by_ref().take_while(|line| !line.is_empty()) {
                    if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                        let (first, last) = bytes.split_once('-').unwrap();
                        range = first.parse().unwrap()..last.parse::<usize>().unwrap() + 1;
                    }
                }
                answer(counter.fetch_add(1, Ordering::SeqCst), &mut stream, &object, range);
            });
        }
    });
    (address, requests)
}

fn head(stream: &mut TcpStream, object: &[u8], range: &Range<usize>, length: usize) {
    let (first, last, all) = (range.start, range.end - 1, object.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: bytes {first}-{last}/{all}\r\n\
         ETag: \"x\"\r\nLast-Modified: Sat, 21 Nov 2026 00:00:00 GMT\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
}

/// What reading a chunk from a server that answers gives, and how many requests it took.
fn read_from(
    answer: impl Fn(usize, &mut TcpStream, &[u8], Range<usize>) + Send + Sync + 'static,
) -> (Result<(), SourceError>, usize) {
    read_with(config, answer)
}

/// The same with this patience.
fn read_with(
    config: fn(SocketAddr) -> S3Config,
    answer: impl Fn(usize, &mut TcpStream, &[u8], Range<usize>) + Send + Sync + 'static,
) -> (Result<(), SourceError>, usize) {
    let (_dir, store, snapshot) = store_with(0..OBJECT_PAGES);
    let object = std::fs::read(store.pack_path(snapshot.manifest.pack)).unwrap();
    let (address, requests) = serve(object, answer);
    let tier = ObjectTier::new(&config(address)).unwrap();
    let source = tier.source(&snapshot);
    let index = snapshot.manifest.chunk_table().unwrap().lookup(20).unwrap();
    let mut bytes = vec![0; snapshot.manifest.chunks[index].bytes()];
    let started = Instant::now();
    let result = source.read_chunk(index, &mut bytes);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    if result.is_ok() {
        assert_eq!(bytes[..PAGE_BYTES], page(snapshot.manifest.chunks[index].first_page));
    }
    let batch = source.read_chunks(&[index], &mut |_, bytes| {
        assert_eq!(bytes[..PAGE_BYTES], page(snapshot.manifest.chunks[index].first_page));
    });
    assert!(batch.is_err() == result.is_err() || requests.load(Ordering::SeqCst) > 2, "{batch:?}");
    (result, requests.load(Ordering::SeqCst))
}

#[test]
fn an_honest_server_is_believed() {
    let (result, _) = read_from(|_, stream, object, range| {
        head(stream, object, &range, range.len());
        stream.write_all(&object[range]).unwrap();
    });
    result.unwrap();
}

#[test]
fn flipped_bits_are_found() {
    let (result, _) = read_from(|_, stream, object, range| {
        head(stream, object, &range, range.len());
        let mut bytes = object[range].to_vec();
        bytes[100] ^= 4;
        stream.write_all(&bytes).unwrap();
    });
    assert!(matches!(result, Err(SourceError::Damaged { .. })), "{result:?}");
}

#[test]
fn what_was_damaged_on_the_way_is_fetched_again() {
    let (result, requests) = read_from(|number, stream, object, range| {
        head(stream, object, &range, range.len());
        let mut bytes = object[range].to_vec();
        bytes[100] ^= u8::from(number == 0);
        stream.write_all(&bytes).unwrap();
    });
    result.unwrap();
    assert!(requests >= 2);
}

#[test]
fn the_bytes_of_another_place_are_found() {
    let (result, _) = read_from(|_, stream, object, range| {
        head(stream, object, &range, range.len());
        stream.write_all(&object[..range.len()]).unwrap();
    });
    assert!(result.is_err());
}

#[test]
fn a_short_body_is_an_error() {
    for honest_length in [true, false] {
        let (result, _) = read_from(move |_, stream, object, range| {
            let half = range.len() / 2;
            head(stream, object, &range, if honest_length { half } else { range.len() });
            stream.write_all(&object[range.start..range.start + half]).unwrap();
        });
        assert!(result.is_err());
    }
}

#[test]
fn a_connection_that_breaks_once_is_made_again() {
    let (result, requests) = read_from(|number, stream, object, range| {
        if number > 0 {
            head(stream, object, &range, range.len());
            stream.write_all(&object[range]).unwrap();
        }
    });
    result.unwrap();
    assert!(requests >= 2);
}

#[test]
fn a_server_that_always_hangs_up_is_given_up() {
    let (result, requests) = read_from(|_, _, _, _| {});
    assert!(matches!(result, Err(SourceError::Remote { .. } | SourceError::Timeout { .. })), "{result:?}");
    assert!((2..20).contains(&requests), "{requests}");
}

#[test]
fn a_body_that_stops_in_the_middle_times_out() {
    let (result, _) = read_with(impatient, |_, stream, object, range| {
        head(stream, object, &range, range.len());
        stream.write_all(&object[range.start..range.start + 10]).unwrap();
        // Held open until the client is gone.
        let _ = std::io::copy(stream, &mut std::io::sink());
    });
    assert!(matches!(result, Err(SourceError::Timeout { .. })), "{result:?}");
}

#[test]
fn a_server_that_says_nothing_times_out() {
    let (result, _) = read_with(impatient, |_, stream, _, _| {
        let _ = std::io::copy(stream, &mut std::io::sink());
    });
    assert!(matches!(result, Err(SourceError::Timeout { .. })), "{result:?}");
    assert!(result.unwrap_err().to_string().contains("1.500 s"));
}

#[test]
fn an_error_of_the_server_is_passed_on() {
    let (result, requests) = read_from(|_, stream, _, _| {
        let body = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(body.as_bytes()).unwrap();
    });
    assert!(matches!(result, Err(SourceError::Remote { .. } | SourceError::Timeout { .. })), "{result:?}");
    assert!(requests > 1);
}

#[test]
fn a_missing_bucket_is_named() {
    let (result, _) = read_from(|_, stream, _, _| {
        let body = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code></Error>";
        let length = body.len();
        let answer =
            format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    assert!(matches!(result, Err(SourceError::NoBucket { .. })), "{result:?}");
}

#[test]
fn nobody_there_is_an_error() {
    // Bound, so that nobody else gets it, and not listening.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let tier = ObjectTier::new(&impatient(address)).unwrap();
    let error = tier.load(&host(), &wanted()).unwrap_err();
    assert!(
        matches!(error, TierError::Source(SourceError::Remote { .. } | SourceError::Timeout { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// TLS is built in: the client greets a server that does not know TLS, and says that this failed.
#[test]
fn an_address_with_tls_is_spoken_to_with_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let greeting = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0; 3];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        first
    });
    let endpoint = Some(format!("https://{address}"));
    let tier = ObjectTier::new(&S3Config { endpoint, ..config(address) }).unwrap();
    assert!(tier.load(&host(), &wanted()).is_err());
    // A handshake record of TLS 1.
    assert_eq!(greeting.join().unwrap()[..2], [0x16, 3]);
}

#[test]
fn a_manifest_without_end_is_not_read_to_its_end() {
    let (address, _) = serve(vec![0], |_, stream, _, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\nETag: \"x\"\r\n\
                    Last-Modified: Sat, 21 Nov 2026 00:00:00 GMT\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        while stream.write_all(&[0; 65536]).is_ok() {}
    });
    let tier = ObjectTier::new(&config(address)).unwrap();
    let error = tier.load(&host(), &wanted()).unwrap_err();
    assert!(format!("{error:?}").contains("BodyTooLarge"), "{error:?}");
}
