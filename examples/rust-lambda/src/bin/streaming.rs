//! Counts aloud: a streamed response. The client is sent each line when it is written.

use lambda_runtime::streaming::{Body, Response, channel};
use lambda_runtime::{Error, LambdaEvent, MetadataPrelude, service_fn};
use serde_json::Value;
use std::time::Duration;

/// Time between two lines.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(count)).await
}

async fn count(event: LambdaEvent<Value>) -> Result<Response<Body>, Error> {
    let to = event.payload["queryStringParameters"]["to"].as_str().unwrap_or("3").parse::<u64>()?;
    let (mut lines, stream) = channel();
    tokio::spawn(async move {
        for number in 1..=to {
            tokio::time::sleep(PAUSE).await;
            if lines.send_data(format!("{number}\n").into()).await.is_err() {
                return;
            }
        }
    });
    let mut metadata_prelude = MetadataPrelude::default();
    metadata_prelude.headers.insert("content-type", "text/plain".parse()?);
    metadata_prelude.cookies.push(format!("to={to}"));
    Ok(Response { metadata_prelude, stream })
}
