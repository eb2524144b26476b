//! What programs of tokio do, on four threads: timers, blocking work, channels, connections, processes, signals, files.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Barrier, Mutex, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

const CLIENTS: usize = 64;

#[tokio::main(worker_threads = 4)]
async fn main() -> io::Result<()> {
    timers().await;
    blocking().await;
    channels().await;
    tasks().await;
    tcp().await?;
    unix_and_udp().await?;
    processes().await?;
    signals().await?;
    files().await
}

async fn timers() {
    let begun = Instant::now();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut sleepers = JoinSet::new();
    for ms in [300_u64, 100, 200] {
        let order = Arc::clone(&order);
        sleepers.spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            order.lock().await.push(ms);
        });
    }
    sleepers.join_all().await;
    let mut ticks = interval(Duration::from_millis(1));
    for _ in 0..50 {
        ticks.tick().await;
    }
    let late = timeout(Duration::from_millis(5), std::future::pending::<()>()).await.is_err();
    println!("timers {:?} {} {late}", order.lock().await, begun.elapsed() >= Duration::from_millis(349));
}

/// More blocking calls than there are workers, all at the same time.
async fn blocking() {
    let barrier = Arc::new(std::sync::Barrier::new(16));
    let mut calls = JoinSet::new();
    for n in 0..16_u64 {
        let barrier = Arc::clone(&barrier);
        calls.spawn_blocking(move || {
            barrier.wait();
            std::thread::sleep(Duration::from_millis(1));
            n * n
        });
    }
    let here = tokio::task::block_in_place(|| (0..1000_u64).sum::<u64>());
    println!("blocking {} {here}", calls.join_all().await.into_iter().sum::<u64>());
}

async fn channels() {
    let (sender, mut receiver) = mpsc::channel(4);
    for n in 0..10_u64 {
        let sender = sender.clone();
        tokio::spawn(async move {
            for i in 0..100 {
                sender.send(n * i).await.expect("somebody receives");
            }
        });
    }
    drop(sender);
    let mut sum = 0;
    while let Some(n) = receiver.recv().await {
        sum += n;
    }
    let (all, _) = broadcast::channel(16);
    let listeners: Vec<_> = (0..8).map(|_| all.subscribe()).collect();
    all.send("news").expect("somebody listens");
    let mut heard = 0;
    for mut listener in listeners {
        heard += usize::from(listener.recv().await == Ok("news"));
    }
    let (set, mut get) = watch::channel(0);
    let (done, waits) = oneshot::channel();
    tokio::spawn(async move { done.send(*get.wait_for(|&n| n >= 3).await.expect("it is set")) });
    for n in 1..=3 {
        set.send_replace(n);
        tokio::task::yield_now().await;
    }
    println!("channels {sum} {heard} {:?}", waits.await);
}

async fn tasks() {
    let (places, most, now) =
        (Arc::new(Semaphore::new(5)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let barrier = Arc::new(Barrier::new(100));
    let mut set = JoinSet::new();
    for _ in 0..100 {
        let (places, most, now, barrier) =
            (Arc::clone(&places), Arc::clone(&most), Arc::clone(&now), Arc::clone(&barrier));
        set.spawn(async move {
            barrier.wait().await;
            let _place = places.acquire().await.expect("it stays open");
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
        });
    }
    set.join_all().await;
    let endless = tokio::spawn(std::future::pending::<()>());
    endless.abort();
    let aborted = endless.await.is_err_and(|error| error.is_cancelled());
    std::panic::set_hook(Box::new(|_| println!("a task panics")));
    let panicked = tokio::spawn(async { panic!("as asked") }).await.is_err_and(|error| error.is_panic());
    let first = tokio::select! {
        () = sleep(Duration::from_secs(60)) => "slow",
        () = sleep(Duration::from_millis(1)) => "fast",
    };
    println!("tasks {} {aborted} {panicked} {first}", most.load(Ordering::SeqCst) <= 5);
}

async fn echo(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await
        });
    }
}

/// 64 clients at once, each with questions of growing length.
async fn tcp() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(echo(listener));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut total = 0;
            for n in 0..20 {
                let question = vec![u8::try_from(client).expect("few"); 1 + n * 331];
                stream.write_all(&question).await?;
                let mut answer = vec![0; question.len()];
                stream.read_exact(&mut answer).await?;
                total += usize::from(answer == question);
            }
            stream.shutdown().await?;
            Ok::<_, io::Error>(total + stream.read(&mut [0]).await?)
        });
    }
    let answered = clients.join_all().await.into_iter().sum::<io::Result<usize>>()?;
    server.abort();
    let ended = server.await.is_err();
    let refused = TcpStream::connect(address).await.expect_err("nobody listens").kind();
    println!("tcp {answered} {ended} {refused:?}");
    Ok(())
}

async fn unix_and_udp() -> io::Result<()> {
    let path = Path::new("/tmp/tokio-socket");
    let listener = UnixListener::bind(path)?;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut lines = BufReader::new(stream).lines();
        let mut count = 0;
        while lines.next_line().await?.is_some() {
            count += 1;
        }
        Ok::<_, io::Error>(count)
    });
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all("line\n".repeat(50_000).as_bytes()).await?;
    drop(stream);
    let lines = server.await.expect("it does not panic")?;
    std::fs::remove_file(path)?;
    let (one, other) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    let mut buffer = [0; 64];
    let mut bytes = 0;
    for n in 0..100 {
        one.send_to(format!("datagram {n}").as_bytes(), other.local_addr()?).await?;
        let (length, from) = other.recv_from(&mut buffer).await?;
        bytes += other.send_to(&buffer[..length], from).await?;
        one.recv(&mut buffer).await?;
    }
    println!("sockets {lines} {bytes}");
    Ok(())
}

async fn processes() -> io::Result<()> {
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut input, mut output) = (cat.stdin.take().expect("piped"), cat.stdout.take().expect("piped"));
    let writer = tokio::spawn(async move { input.write_all(&vec![b'c'; 1_000_000]).await });
    let mut text = Vec::new();
    output.read_to_end(&mut text).await?;
    writer.await.expect("it does not panic")?;
    let ended = cat.wait().await?;
    let mut set = JoinSet::new();
    for n in 0..8 {
        set.spawn(async move { Command::new("sh").args(["-c", &format!("exit {n}")]).status().await });
    }
    let mut codes: Vec<_> = set.join_all().await.into_iter().map(|status| status.ok()?.code()).collect();
    codes.sort_unstable();
    let mut sleeper = Command::new("sleep").arg("100").spawn()?;
    sleeper.kill().await?;
    let missing = Command::new("/no/such/program").spawn().err().map(|error| error.kind());
    println!("processes {} {ended} {codes:?} {} {missing:?}", text.len(), sleeper.wait().await?);
    Ok(())
}

async fn signals() -> io::Result<()> {
    let (mut first, mut second) = (signal(SignalKind::user_defined1())?, signal(SignalKind::hangup())?);
    let own = std::process::id();
    for name in ["USR1", "HUP"] {
        Command::new("sh").args(["-c", &format!("kill -{name} {own}")]).status().await?;
    }
    println!("signals {:?} {:?}", first.recv().await, second.recv().await);
    Ok(())
}

async fn files() -> io::Result<()> {
    let directory = Path::new("/tmp/tokio-files");
    tokio::fs::create_dir_all(directory.join("deep")).await?;
    let mut writers = JoinSet::new();
    for n in 0..40_usize {
        writers.spawn(tokio::fs::write(directory.join(format!("file{n}")), vec![b'f'; n * 100]));
    }
    writers.join_all().await.into_iter().collect::<io::Result<()>>()?;
    let mut entries = tokio::fs::read_dir(directory).await?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(entry) = entries.next_entry().await? {
        if entry.file_type().await?.is_file() {
            count += 1;
            bytes += tokio::fs::read(entry.path()).await?.len();
        }
    }
    tokio::fs::remove_dir_all(directory).await?;
    println!("files {count} {bytes} {}", tokio::fs::try_exists(directory).await?);
    Ok(())
}
