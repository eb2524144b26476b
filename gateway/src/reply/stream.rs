//! What a streamed answer begins with ([`Kind::Chunks`], of the Runtime API and of handlers): enough of it must have come before
//! status and header fields are known. Pure.

use super::runtime_api::streamed;
use super::{Answer, Decoder, invalid};
use crate::error::Failure;
use crate::headers::RESPONSE_FIELD_BYTES_MAX;
use abi::runtime_api::{Answer as Posted, HTTP_INTEGRATION, Kind, PRELUDE_END};
use bytes::{Bytes, BytesMut};

/// Most bytes before the body: status, header fields and cookies as JSON.
const PRELUDE_MAX: usize = 2 * RESPONSE_FIELD_BYTES_MAX;

/// What has come of a streamed answer.
#[derive(Debug)]
pub(crate) struct Beginning {
    content_type: Bytes,
    decoder: Decoder,
    /// The body as far as it has come, with what lies before it.
    body: BytesMut,
    /// Bytes of it in which the end of the prelude does not begin.
    searched: usize,
}

impl Beginning {
    /// Takes what has come first; nothing if that is no streamed answer.
    pub(crate) fn of(first: &Bytes) -> Option<Result<Self, Failure>> {
        let posted =
            first.starts_with(Kind::Chunks.word().as_bytes()).then(|| Posted::parse(first)).flatten();
        let posted = posted.filter(|posted| posted.kind == Kind::Chunks)?;
        let content_type = first.slice_ref(posted.detail);
        let mut beginning =
            Self { content_type, decoder: Decoder::stream(), body: BytesMut::new(), searched: 0 };
        Some(beginning.take(first.slice_ref(posted.body)).map(|()| beginning))
    }

    /// Takes what has come next.
    pub(crate) fn take(&mut self, part: Bytes) -> Result<(), Failure> {
        let bytes = self.decoder.decode(part)?;
        self.body.extend_from_slice(&bytes);
        Ok(())
    }

    /// The answer as far as it is known, if its status and header fields are.
    pub(crate) fn head(&mut self) -> Result<Option<Answer>, Failure> {
        if self.lacks_prelude()? {
            return Ok(None);
        }
        streamed(&self.content_type, self.body.clone().freeze(), true).map(Some)
    }

    /// The whole answer: nothing more comes.
    pub(crate) fn whole(mut self) -> Result<Answer, Failure> {
        self.lacks_prelude()?;
        self.decoder.finish()?;
        streamed(&self.content_type, self.body.freeze(), false)
    }

    /// Whether a prelude has to come first, and its end has not come.
    fn lacks_prelude(&mut self) -> Result<bool, Failure> {
        if !self.has_prelude() {
            return Ok(false);
        }
        let len = self.body.len().min(PRELUDE_MAX);
        if self.body[self.searched..len].windows(PRELUDE_END.len()).any(|window| window == PRELUDE_END) {
            return Ok(false);
        }
        if self.body.len() > PRELUDE_MAX {
            return Err(invalid(format!("what its stream begins with is longer than {PRELUDE_MAX} bytes")));
        }
        self.searched = len.saturating_sub(PRELUDE_END.len() - 1);
        Ok(true)
    }

    /// What takes the rest out of its coding.
    pub(crate) fn into_decoder(self) -> Decoder {
        self.decoder
    }

    fn has_prelude(&self) -> bool {
        self.content_type.eq_ignore_ascii_case(HTTP_INTEGRATION.as_bytes())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
