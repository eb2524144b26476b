//! What host and pico exchange for an invocation of the contract `RuntimeApi` (AWS Lambda's Runtime API).
//!
//! The request is the HTTP/1.1 response with which pico answers `GET .../invocation/next`: head, then event. It
//! names the invocation in [`REQUEST_ID`] and has a `Content-Length`. The answer is a line that says what it is, then
//! the body that the program has posted:
//!
//! ```text
//! response                    a result
//! stream CONTENT-TYPE         a result in streaming mode
//! error TYPE                  an error; the body is its document, or empty
//! broken TYPE                 a stream that ended in an error; the body is its document in base64, or empty
//! ```

/// Path before every path of the API.
pub const VERSION_PATH: &str = "/2018-06-01/";
/// The port pico answers on, at 127.0.0.1.
pub const PORT: u16 = 9001;
/// Header field that names the invocation.
pub const REQUEST_ID: &str = "Lambda-Runtime-Aws-Request-Id";
/// Content type of a stream that begins with status, header fields and cookies as JSON.
pub const HTTP_INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
/// What is between that beginning and the body of the stream.
pub const PRELUDE_END: [u8; 8] = [0; 8];

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A result.
    Response,
    /// A result in streaming mode; the detail is its content type.
    Stream,
    /// An error; the detail is its type.
    Error,
    /// A stream that ended in an error; the detail is its type.
    Broken,
}

impl Kind {
    /// The word at the beginning of the line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Stream => "stream",
            Self::Error => "error",
            Self::Broken => "broken",
        }
    }

    fn of_word(word: &[u8]) -> Option<Self> {
        let kinds = [Self::Response, Self::Stream, Self::Error, Self::Broken];
        kinds.into_iter().find(|kind| kind.word().as_bytes() == word)
    }
}

/// An answer, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What it is.
    pub kind: Kind,
    /// Content type or type of error; may be empty.
    pub detail: &'a [u8],
    /// What was posted.
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Takes an answer apart; nothing if it is none.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let (line, body) = (&bytes[..end], &bytes[end + 1..]);
        let space = line.iter().position(|&byte| byte == b' ');
        let (word, detail) = space.map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
        Some(Self { kind: Kind::of_word(word)?, detail, body })
    }
}
