//! One file per command.

pub(crate) mod bench;
pub(crate) mod deploy;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod images;
pub(crate) mod invoke;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod ps;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod up;
pub(crate) mod version;

use crate::args::{Global, Output};
use crate::client::Client;
use crate::failure::Failure;

/// What a client command works with.
pub(crate) struct Context {
    /// The platform.
    pub(crate) client: Client,
    /// How to print data.
    pub(crate) output: Output,
}

impl Context {
    /// From the global options.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        Ok(Self { client: Client::new(&global.url)?, output: global.output })
    }
}
