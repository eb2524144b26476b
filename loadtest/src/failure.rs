//! Why a request has no answer.

use crate::expect::Mismatch;
use serde::{Deserialize, Serialize};

/// Why a request has no answer, or not the one expected.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// connect(2) failed.
    #[error("the connection was refused or could not be made")]
    Connect,
    /// This machine has no descriptor, port or memory left for a connection: not the target's doing.
    #[error("the load generator had no descriptor, port or memory left")]
    Exhausted,
    /// The connection was reset, or a system call on it failed.
    #[error("the connection broke")]
    Broken,
    /// The connection ended before the answer did.
    #[error("the answer was cut short")]
    Truncated,
    /// What came is not HTTP, or contradicts itself.
    #[error("the answer is not valid HTTP")]
    Protocol,
    /// More came than the answer's length, or than is kept to be compared.
    #[error("there was more than the answer, or more than can be kept to be compared")]
    Excess,
    /// No complete answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The answer is not the one expected.
    #[error("{0}")]
    #[serde(untagged)]
    Unexpected(Mismatch),
}
