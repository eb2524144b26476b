//! `spore up`: the platform on this machine.

use super::images;
use crate::args::DEFAULT_LISTEN;
use crate::demo;
use crate::failure::{Exit, Failure};
use crate::print;
use clap::Args;
use gateway::backend::WorkerBackend;
use gateway::{Gateway, GatewayConfig};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;
use worker::doctor::{self, Status};
use worker::{Worker, WorkerConfig};

/// Options of `spore up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = DEFAULT_LISTEN, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where functions are kept [default: $XDG_DATA_HOME/spore or ~/.local/share/spore]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Deploy the examples and call each once
    #[arg(long)]
    demo: bool,
    /// The KVM device
    #[arg(long, hide = true, default_value = "/dev/kvm", value_name = "PATH")]
    kvm: PathBuf,
    /// How long a function is idle before it leaves memory, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    evict_after: u64,
    /// Longest start of a function, in seconds
    #[arg(long, hide = true, default_value_t = 30, value_name = "SECONDS")]
    boot_timeout: u64,
    /// Longest wait of a request for a function that is being built, in seconds
    #[arg(long, hide = true, default_value_t = 20, value_name = "SECONDS")]
    build_patience: u64,
    /// Longest wait for the head of a request, also on an idle connection, in seconds
    #[arg(long, hide = true, default_value_t = 30, value_name = "SECONDS")]
    head_timeout: u64,
    /// Keep idle VMs when the machine is short of memory
    #[arg(long, hide = true, env = "SPORE_IGNORE_MEMORY_PRESSURE")]
    ignore_memory_pressure: bool,
    /// Most VMs at once; derived from the limit of open files and the memory if not given
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_vms: Option<usize>,
    /// Most bytes of a request body that is streamed into a server
    #[arg(long, default_value_t = gateway::STREAM_MAX_BYTES, value_name = "BYTES")]
    max_body: u64,
    /// Longest pause of a request body, and longest time in which a client takes nothing of a response, in seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    body_pause: u64,
    /// Most upgraded connections (WebSocket and the like) of each function
    #[arg(long, default_value_t = 100, value_name = "N")]
    max_upgrades: usize,
    /// How long nothing may go over an upgraded connection, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    upgrade_idle: u64,
    /// End with the process that started this one
    #[arg(long, hide = true)]
    with_parent: bool,
}

impl UpArgs {
    fn gateway(&self, data: PathBuf) -> GatewayConfig {
        GatewayConfig {
            stream_max_bytes: self.max_body,
            head_timeout: Duration::from_secs(self.head_timeout),
            body_timeout: Duration::from_secs(self.body_pause),
            upgrades_max: self.max_upgrades,
            upgrade_idle: Duration::from_secs(self.upgrade_idle),
            build_patience: Duration::from_secs(self.build_patience),
            ..GatewayConfig::new(self.listen, data)
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|error| format!("{error}"))?;
    if number > 0 { Ok(number) } else { Err("at least one is needed".to_owned()) }
}

/// Runs the platform until Ctrl-C or SIGTERM.
pub(crate) async fn run(args: UpArgs) -> Result<(), Failure> {
    if args.with_parent {
        end_with_parent()?;
    }
    check_kvm(&args.kvm)?;
    check_address(args.listen)?;
    let data = args.data.clone().map_or_else(default_data, Ok)?;
    let mut stop = Stop::new()?;
    start_log();
    raise_file_limit();
    tokio::select! {
        prepared = tokio::task::spawn_blocking(images::prepare_common) => match prepared {
            Ok(Ok(_)) => {}
            // Functions of the other runtimes still work, and a later deploy tries again.
            Ok(Err(failure)) => failure.report(),
            Err(error) => return Err(Failure::new(format!("preparing the runtimes failed: {error}"))),
        },
        () = stop.wait() => force(Exit::Interrupted),
    }
    let worker = start_worker(&args, &data).await?;
    let config = args.gateway(data);
    let gateway = Gateway::bind(config, Arc::new(WorkerBackend::new(worker))).await;
    let gateway = gateway.map_err(|error| Failure::new(error.to_string()))?;
    let url = gateway.handle().url();
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn(gateway.run(async {
        // It also ends when this function does, which drops the sender.
        let _ = ended.await;
    }));
    print::line(&format!("listening on {url}"))?;
    tokio::select! {
        () = accompany(args.demo, &url) => {}
        () = stop.wait() => {}
    }
    print::note("stopping; interrupt again to stop at once");
    drop(end);
    tokio::select! {
        result = serving => result.map_err(|error| Failure::new(format!("the gateway failed: {error}"))),
        () = stop.wait() => force(Exit::Interrupted),
    }
}

/// What happens beside serving: the demo if wanted, then nothing, for ever.
async fn accompany(demo: bool, url: &str) {
    if demo && let Err(failure) = demo::run(url).await {
        failure.report();
    }
    std::future::pending().await
}

/// Whoever started it may be killed, and leave nobody to stop it.
fn end_with_parent() -> Result<(), Failure> {
    let parent = rustix::process::getppid();
    let set = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    set.map_err(|error| Failure::new(format!("cannot end with the parent process: {error}")))?;
    // It may have ended before.
    if rustix::process::getppid() == parent { Ok(()) } else { Err(Failure::silent(Exit::Interrupted)) }
}

/// Nothing runs without KVM: better to say so before anything else is done.
pub(crate) fn check_kvm(device: &Path) -> Result<(), Failure> {
    let check = doctor::kvm(device);
    if check.status == Status::Fail {
        return Err(Failure::new(format!("the platform cannot run here: {}", check.found)).hint(check.remedy));
    }
    Ok(())
}

/// A taken address is better known before the runtimes are prepared.
fn check_address(address: SocketAddr) -> Result<(), Failure> {
    std::net::TcpListener::bind(address).map(drop).map_err(|error| {
        Failure::new(format!("cannot listen on {address}: {error}"))
            .hint("choose another address with --listen")
    })
}

/// Every connection and every VM takes descriptors; the usual soft limit of 1024 is for programs that use select(2).
/// Cells inherit the limit.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Without it the platform still works, with fewer connections and VMs at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

async fn start_worker(args: &UpArgs, data: &Path) -> Result<Worker, Failure> {
    let config = WorkerConfig {
        // The program that runs now, even if its file is replaced meanwhile.
        cell_command: vec!["/proc/self/exe".into(), "cell".into()],
        kvm: args.kvm.clone(),
        cache: runtimes::cache_dir(),
        snapshots: data.join("snapshots"),
        boot_timeout: Duration::from_secs(args.boot_timeout),
        evict_after: Duration::from_secs(args.evict_after),
        max_vms: args.max_vms,
        ignore_memory_pressure: args.ignore_memory_pressure,
    };
    Worker::start(config).await.map_err(|error| Failure::new(print::chain(&error)))
}

fn default_data() -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    variable("XDG_DATA_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("spore"))
        .ok_or_else(|| {
            Failure::new("there is no place for functions: neither XDG_DATA_HOME nor HOME is set")
                .hint("say one with --data DIR")
        })
}

/// The platform's log on stderr, as much as `SPORE_LOG` says; JSON if `SPORE_LOG_FORMAT=json`.
fn start_log() {
    let filter = EnvFilter::try_from_env("SPORE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process keeps the first one's log.
    let _ = if std::env::var_os("SPORE_LOG_FORMAT").is_some_and(|format| format == "json") {
        log.json().try_init()
    } else {
        log.compact().with_ansi(false).try_init()
    };
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let handle = |kind| signal(kind).map_err(|e| Failure::new(format!("cannot handle signals: {e}")));
        Ok(Self { interrupt: handle(SignalKind::interrupt())?, terminate: handle(SignalKind::terminate())? })
    }

    /// Returns at the next of them.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ends the process at once, whatever its threads do. Cells end with it: their control sockets close.
fn force(exit: Exit) -> ! {
    std::process::exit(i32::from(exit as u8))
}
