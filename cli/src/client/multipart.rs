//! The body of a deploy: `multipart/form-data` with the configuration and the package.

use bytes::Bytes;
use std::hash::{BuildHasher, RandomState};

/// A form under construction, in the bytes that will be sent.
pub(crate) struct Form {
    body: Vec<u8>,
    boundary: String,
}

impl Form {
    /// An empty form. Its boundary is random, so that no content can contain it but by a chance of 2^-128.
    pub(crate) fn new() -> Self {
        let random = || RandomState::new().hash_one(0u8);
        Self { body: Vec::new(), boundary: format!("spore-{:016x}{:016x}", random(), random()) }
    }

    /// The content type that goes with [`Form::finish`].
    pub(crate) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Adds a part.
    pub(crate) fn part(&mut self, name: &str, content_type: &str, content: &[u8]) {
        let boundary = &self.boundary;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\
             Content-Type: {content_type}\r\n\r\n"
        );
        self.body.reserve(head.len() + content.len() + 2 * boundary.len());
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
    }

    /// The whole body.
    pub(crate) fn finish(mut self) -> Bytes {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        Bytes::from(self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_framed() {
        let mut form = Form::new();
        let b = form.boundary.clone();
        assert_eq!(form.content_type(), format!("multipart/form-data; boundary={b}"));
        form.part("config", "application/json", b"{}");
        assert_eq!(
            form.finish(),
            format!(
                "--{b}\r\nContent-Disposition: form-data; name=\"config\"\r\n\
                 Content-Type: application/json\r\n\r\n{{}}\r\n--{b}--\r\n"
            )
        );
    }

    #[test]
    fn every_form_has_its_own_boundary() {
        assert_ne!(Form::new().boundary, Form::new().boundary);
    }
}
