//! What host and pico exchange for an invocation of the contract `RuntimeApi` (AWS Lambda's Runtime API), and for streamed
//! answers of the contract `Handler`.
//!
//! The request is the HTTP/1.1 response with which pico answers `GET .../invocation/next`: head, then event. It
//! names the invocation in [`REQUEST_ID`] and has a `Content-Length`. The answer is a line that says what it is, then
//! the body that the program has posted:
//!
//! ```text
//! response                    a result
//! stream CONTENT-TYPE         a result in streaming mode whose length was known
//! chunks CONTENT-TYPE         a result in streaming mode as it comes: the body is in HTTP's chunked coding
//! error TYPE                  an error; the body is its document, or empty
//! broken TYPE                 a result with trailers that tell of an error; the body is its document in base64, or empty
//! ```
//!
//! Only `chunks` may go out in parts ([`crate::mailbox::Doorbell::Part`]); the first has the whole line. The trailers
//! [`ERROR_TYPE`] and [`ERROR_BODY`] say that it ended in an error. A coding that is cut short is an answer that broke off.
//! In the contract `Handler` it is what a program writes to the device that begins with this word instead of `{`.

/// Path before every path of the API.
pub const VERSION_PATH: &str = "/2018-06-01/";
/// The port pico answers on, at 127.0.0.1.
pub const PORT: u16 = 9001;
/// Header field that names the invocation.
pub const REQUEST_ID: &str = "Lambda-Runtime-Aws-Request-Id";
/// Header field, or trailer, with the type of an error.
pub const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
/// Trailer with the document of an error, in base64.
pub const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";
/// Content type of a stream that begins with status, header fields and cookies as JSON.
pub const HTTP_INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
/// What is between that beginning and the body of the stream.
pub const PRELUDE_END: [u8; 8] = [0; 8];

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A result.
    Response,
    /// A result in streaming mode whose length was known; the detail is its content type.
    Stream,
    /// A result in streaming mode, in chunked coding; the detail is its content type.
    Chunks,
    /// An error; the detail is its type.
    Error,
    /// A result with trailers that tell of an error; the detail is its type.
    Broken,
}

impl Kind {
    /// The word at the beginning of the line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Stream => "stream",
            Self::Chunks => "chunks",
            Self::Error => "error",
            Self::Broken => "broken",
        }
    }

    fn of_word(word: &[u8]) -> Option<Self> {
        let kinds = [Self::Response, Self::Stream, Self::Chunks, Self::Error, Self::Broken];
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
    /// Takes an answer apart; nothing if it is none. What was posted may go on in further parts.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let (line, body) = (&bytes[..end], &bytes[end + 1..]);
        let space = line.iter().position(|&byte| byte == b' ');
        let (word, detail) = space.map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
        Some(Self { kind: Kind::of_word(word)?, detail, body })
    }
}
