//! What a command ends with when it does not succeed.

use gateway::api::{ErrorBody, ErrorDetail};
use http::StatusCode;
use std::io::Write;

/// Exit codes, part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All went well.
    Success = 0,
    /// Anything without a code of its own.
    Failure = 1,
    /// The command line is wrong (also clap's own code).
    Usage = 2,
    /// The function, or the file to deploy, does not exist.
    NotFound = 3,
    /// The platform refuses this client.
    Auth = 4,
    /// The function failed, not the platform.
    Function = 5,
    /// The function did not answer in time; the program ran too long.
    Timeout = 124,
    /// `spore run` itself failed, or the VM did.
    Run = 125,
    /// The program of `spore run` cannot be started.
    NotExecutable = 126,
    /// The program of `spore run` is not there.
    NoProgram = 127,
    /// Ctrl-C.
    Interrupted = 130,
}

/// A failed command: what to print on stderr, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What failed and why; nothing is printed when it is empty.
    pub(crate) message: String,
    /// What to do; may be empty.
    pub(crate) hint: String,
    /// Output of the user's program; may be empty.
    pub(crate) output: String,
}

impl Failure {
    /// A general failure.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, message: message.into(), hint: String::new(), output: String::new() }
    }

    /// Ends the command without a word.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self { exit, ..Self::new("") }
    }

    /// The same with another exit code.
    pub(crate) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The same with a hint.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The platform's answer to a failed call.
    pub(crate) fn from_response(status: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(ErrorBody { error }) => Self::from_detail(status, error),
            Err(_) => {
                let text = String::from_utf8_lossy(&body[..body.len().min(1024)]);
                Self::new(format!("the platform answered {status}: {}", text.trim()))
                    .exit(exit_of(status, ""))
            }
        }
    }

    fn from_detail(status: StatusCode, error: ErrorDetail) -> Self {
        let ErrorDetail { code, message, hint, error_type, output, request_id } = error;
        let kind = if error_type.is_empty() { code.clone() } else { format!("{code}: {error_type}") };
        let request = if request_id.is_empty() { String::new() } else { format!(" [request {request_id}]") };
        Self { exit: exit_of(status, &code), message: format!("{message} ({kind}){request}"), hint, output }
    }

    /// What a command with several results ends with: the first failure; the others are told at once. A reader that went
    /// away is none.
    pub(crate) fn first_of<const N: usize>(results: [Result<(), Self>; N]) -> Result<(), Self> {
        let mut failures = results.into_iter().filter_map(Result::err).filter(|of| of.exit != Exit::Success);
        let first = failures.next();
        failures.for_each(|other| other.report());
        first.map_or(Ok(()), Err)
    }

    /// Prints message, hint and output on stderr.
    pub(crate) fn report(&self) {
        if self.message.is_empty() {
            return;
        }
        let mut text = format!("error: {}\n", self.message);
        if !self.hint.is_empty() {
            text.push_str(&format!("hint: {}\n", self.hint));
        }
        if !self.output.trim().is_empty() {
            text.push_str("output of the program:\n");
            for line in self.output.trim_end().lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        // Nobody is left to tell when stderr is gone.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// The exit code for an error answer of the platform.
fn exit_of(status: StatusCode, code: &str) -> Exit {
    match status.as_u16() {
        401 | 403 => Exit::Auth,
        404 => Exit::NotFound,
        502 => Exit::Function,
        504 => Exit::Timeout,
        _ if code.starts_with("Function") => Exit::Function,
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_counts_and_a_reader_that_went_away_does_not() {
        let silent = |exit| Err(Failure::silent(exit));
        let exit = |results| Failure::first_of(results).map_err(|failure| failure.exit);
        assert_eq!(exit([Ok(()), Ok(())]), Ok(()));
        assert_eq!(exit([silent(Exit::Interrupted), silent(Exit::Failure)]), Err(Exit::Interrupted));
        assert_eq!(exit([Ok(()), silent(Exit::Failure)]), Err(Exit::Failure));
        assert_eq!(exit([silent(Exit::Success), silent(Exit::Failure)]), Err(Exit::Failure));
        assert_eq!(exit([silent(Exit::Success), Ok(())]), Ok(()));
    }

    #[test]
    fn an_error_document_gives_message_hint_and_exit_code() {
        let body = br#"{"error":{"code":"FunctionNotFound","message":"no function `x`","hint":"deploy it"}}"#;
        let failure = Failure::from_response(StatusCode::NOT_FOUND, body);
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(failure.message, "no function `x` (FunctionNotFound)");
        assert_eq!(failure.hint, "deploy it");
    }

    #[test]
    fn a_body_that_is_no_error_document_is_quoted() {
        let failure = Failure::from_response(StatusCode::BAD_GATEWAY, b"<html>proxy</html>\n");
        assert_eq!(failure.exit, Exit::Function);
        assert_eq!(failure.message, "the platform answered 502 Bad Gateway: <html>proxy</html>");
    }

    #[test]
    fn statuses_map_to_exit_codes() {
        for (status, exit) in [
            (StatusCode::UNAUTHORIZED, Exit::Auth),
            (StatusCode::FORBIDDEN, Exit::Auth),
            (StatusCode::GATEWAY_TIMEOUT, Exit::Timeout),
            (StatusCode::TOO_MANY_REQUESTS, Exit::Failure),
            (StatusCode::INTERNAL_SERVER_ERROR, Exit::Failure),
        ] {
            assert_eq!(Failure::from_response(status, b"").exit, exit, "{status}");
        }
    }
}
