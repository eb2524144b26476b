//! How to reach an S3-compatible object store: endpoint, bucket, credentials, patience.

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use std::fmt;
use std::time::Duration;

/// The region of servers that have none.
const REGION_DEFAULT: &str = "us-east-1";
/// Most times a request is made again.
const RETRIES_MAX: usize = 4;

/// Where snapshots lie in an object store.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// Address of the server, such as `https://s3.example.org:9000`; AWS's own for the region if absent.
    pub endpoint: Option<String>,
    /// The bucket; it must exist.
    pub bucket: String,
    /// What all names in the bucket begin with; may be empty.
    pub prefix: String,
    /// The region requests are signed for.
    pub region: String,
    /// Who asks.
    pub credentials: Credentials,
    /// How long to wait.
    pub timing: Timing,
}

/// Keys for the object store. Never shown.
#[derive(Clone)]
pub struct Credentials {
    /// The public half.
    pub key_id: String,
    /// The secret half.
    pub secret: String,
    /// Token of temporary credentials.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// How long to wait for the object store.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For a connection.
    pub connect: Duration,
    /// For one try of one request.
    pub request: Duration,
    /// For one call, all tries included.
    pub total: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        let [connect, request, total] = [2, 10, 20].map(Duration::from_secs);
        Timing { connect, request, total }
    }
}

/// The object store cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum S3ConfigError {
    /// A credential is not set.
    #[error("the object store needs credentials: set {variable} in the environment of the worker")]
    Credentials {
        /// The variable that is missing.
        variable: &'static str,
    },
    /// A setting is wrong.
    #[error("the object store cannot be used as configured; check endpoint, bucket and prefix")]
    Settings(#[source] object_store::Error),
    /// The client cannot be started.
    #[error("the client of the object store cannot be started")]
    Client(#[source] std::io::Error),
}

impl S3Config {
    /// Takes all but bucket and prefix from the environment, by the names AWS's tools use.
    pub fn from_env(bucket: &str, prefix: &str) -> Result<S3Config, S3ConfigError> {
        S3Config::from_variables(bucket, prefix, &|name| std::env::var(name).ok())
    }

    /// As [`S3Config::from_env`], with variables that `get` knows.
    pub fn from_variables(
        bucket: &str,
        prefix: &str,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> Result<S3Config, S3ConfigError> {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let needed = |variable| set(variable).ok_or(S3ConfigError::Credentials { variable });
        let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
        Ok(S3Config {
            endpoint: set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL")),
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            region: region.unwrap_or_else(|| REGION_DEFAULT.to_owned()),
            credentials: Credentials {
                key_id: needed("AWS_ACCESS_KEY_ID")?,
                secret: needed("AWS_SECRET_ACCESS_KEY")?,
                session_token: set("AWS_SESSION_TOKEN"),
            },
            timing: Timing::default(),
        })
    }

    /// The address for messages.
    pub(super) fn place(&self) -> String {
        let endpoint = self.endpoint.as_deref().unwrap_or("s3:/");
        format!("{}/{}", endpoint.trim_end_matches('/'), self.bucket)
    }

    pub(super) fn client(&self) -> Result<AmazonS3, S3ConfigError> {
        // TLS takes its cryptography from the process; whoever set it first has chosen the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Timing { connect, request, total } = self.timing;
        let plain = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = ClientOptions::new()
            .with_connect_timeout(connect)
            .with_timeout(request)
            .with_read_timeout(request)
            .with_allow_http(plain);
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(&self.credentials.key_id)
            .with_secret_access_key(&self.credentials.secret)
            .with_client_options(options)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: total });
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(token) = &self.credentials.session_token {
            builder = builder.with_token(token);
        }
        builder.build().map_err(S3ConfigError::Settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: [(&str, &str); 3] = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWS_ENDPOINT_URL", "http://h:1/"),
    ];

    fn with(without: &str) -> Result<S3Config, S3ConfigError> {
        let get = |name: &str| {
            SET.iter().find(|(set, _)| *set == name && name != without).map(|(_, value)| (*value).to_owned())
        };
        S3Config::from_variables("bucket", "/a/b/", &get)
    }

    #[test]
    fn the_environment_is_read_by_the_names_of_aws() {
        let config = with("").unwrap();
        assert_eq!((config.place().as_str(), config.prefix.as_str()), ("http://h:1/bucket", "a/b"));
        assert_eq!(config.region, REGION_DEFAULT);
        assert!(!format!("{config:?}").contains("hidden"));
    }

    #[test]
    fn missing_credentials_are_named() {
        for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert!(with(variable).unwrap_err().to_string().contains(variable));
        }
    }
}
