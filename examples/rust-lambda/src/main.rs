//! Says hello as an AWS Lambda function does: the handler gets an API Gateway event and returns a response.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(answer)).await
}

async fn answer(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let name = event.payload["queryStringParameters"]["name"].as_str().unwrap_or("world");
    if name.trim().is_empty() {
        return Err("the name is empty".into());
    }
    Ok(json!({
        "statusCode": 200,
        "headers": { "content-type": "text/plain; charset=utf-8" },
        "body": format!("Hello from Lambda, {name}!\n"),
    }))
}
