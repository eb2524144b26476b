//! `spore rm`.

use super::Context;
use crate::failure::Failure;
use crate::{client, print};
use clap::Args;
use http::Method;

/// Options of `spore rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Functions to remove
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Removes functions; goes on after a failure and ends with the first one.
pub(crate) async fn run(args: &RmArgs, context: &Context) -> Result<(), Failure> {
    let mut first = None;
    for name in &args.names {
        match context.client.call(Method::DELETE, &client::function_path(name)).await {
            Ok(()) => print::note(&format!("removed {name}")),
            Err(failure) if first.is_none() => first = Some(failure),
            Err(failure) => failure.report(),
        }
    }
    first.map_or(Ok(()), Err)
}
