//! A real S3 server (`s3s` over a directory) on loopback.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The public half of the only credentials the server knows.
pub(crate) const KEY_ID: &str = "spore-test";
/// The secret half.
pub(crate) const SECRET: &str = "spore-test-secret";
/// The only bucket.
pub(crate) const BUCKET: &str = "snapshots";

/// The server; it ends with this.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) files: tempfile::TempDir,
    _runtime: Runtime,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start() -> Server {
        let files = tempfile::tempdir().unwrap();
        std::fs::create_dir(files.path().join(BUCKET)).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, files.path().to_owned()));
        Server { address, files, _runtime: runtime }
    }

    /// Where the server keeps an object.
    pub(crate) fn path_of(&self, name: impl AsRef<Path>) -> std::path::PathBuf {
        self.files.path().join(BUCKET).join(name)
    }
}

async fn serve(listener: TcpListener, files: std::path::PathBuf) {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(files).unwrap());
    builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
    let service = builder.build();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let service = service.clone();
        tokio::spawn(async move {
            // A client that goes away in the middle is no concern of the server.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
