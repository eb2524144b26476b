//! Receiving a deploy: the multipart fields `config` and `package`.

use super::form::{Form, malformed};
use crate::api::DeployConfig;
use crate::app::App;
use crate::config::PACKAGE_MAX_BYTES;
use crate::error::Failure;
use axum::extract::multipart::Field;
use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

/// Most bytes of the configuration.
const CONFIG_MAX_BYTES: u64 = 256 << 10;
/// Most bytes that are taken in of a package that is too large, so that the client gets to read why.
const DRAIN_MAX_BYTES: u64 = 4 * PACKAGE_MAX_BYTES;

/// What a client sent to deploy.
pub(crate) struct Upload {
    pub config: DeployConfig,
    /// A tar, not looked at yet.
    pub package: NamedTempFile,
}

pub(super) async fn receive(app: &App, mut form: Form) -> Result<Upload, Failure> {
    let (mut config, mut package) = (None, None);
    while let Some(field) = form.next_field().await? {
        match field.name() {
            Some("config") if config.is_none() => config = Some(read_config(app, field).await?),
            Some("package") if package.is_none() => package = Some(read_package(app, field).await?),
            name => {
                let name: String = name.unwrap_or_default().chars().take(64).collect();
                let message = format!("the form field `{}` is unknown or there twice", name.escape_debug());
                return Err(Failure::parameter(
                    message,
                    "Send the fields `config` (JSON) and `package` (tar) once.",
                ));
            }
        }
    }
    let missing = |field| Failure::parameter(format!("the form field `{field}` is missing"), "");
    Ok(Upload { config: config.unwrap_or_default(), package: package.ok_or_else(|| missing("package"))? })
}

async fn read_config(app: &App, mut field: Field<'_>) -> Result<DeployConfig, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next(app, &mut field).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > CONFIG_MAX_BYTES {
            return Err(Failure::RequestTooLarge {
                what: "the configuration",
                limit_bytes: CONFIG_MAX_BYTES,
            });
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let hint = "It is a JSON object; /openapi.json describes it as DeployConfig.";
        Failure::parameter(format!("the configuration cannot be read: {error}"), hint)
    })
}

async fn read_package(app: &App, mut field: Field<'_>) -> Result<NamedTempFile, Failure> {
    let failed = |error: std::io::Error| Failure::Platform(format!("cannot store the package: {error}"));
    let package = app.packages.upload().map_err(failed)?;
    let mut file = tokio::fs::File::from_std(package.reopen().map_err(failed)?);
    let mut received = 0;
    while let Some(chunk) = next(app, &mut field).await? {
        received += chunk.len() as u64;
        if received <= PACKAGE_MAX_BYTES {
            file.write_all(&chunk).await.map_err(failed)?;
        } else if received > DRAIN_MAX_BYTES {
            break;
        }
    }
    if received > PACKAGE_MAX_BYTES {
        return Err(Failure::RequestTooLarge { what: "the package", limit_bytes: PACKAGE_MAX_BYTES });
    }
    file.flush().await.map_err(failed)?;
    Ok(package)
}

async fn next(app: &App, field: &mut Field<'_>) -> Result<Option<Bytes>, Failure> {
    let pause = app.config.body_timeout;
    let chunk = tokio::time::timeout(pause, field.chunk()).await;
    chunk.map_err(|_| Failure::RequestTimeout(pause))?.map_err(malformed)
}
