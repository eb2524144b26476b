//! Header fields of a function's response, with their limits.

use super::invalid;
use crate::error::Failure;
use crate::headers::{RESPONSE_FIELD_BYTES_MAX, RESPONSE_FIELDS_MAX, is_hop_by_hop, listed_in_connection};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

/// Collects fields and refuses what is malformed or too much.
#[derive(Default)]
pub(super) struct Fields {
    headers: HeaderMap,
    count: usize,
    bytes: usize,
}

impl Fields {
    /// Adds a field. CR, LF and NUL in a value, and names that are no tokens, are refused.
    pub(super) fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), Failure> {
        let (name, value) = self.check(name, value)?;
        self.headers.append(name, value);
        Ok(())
    }

    /// Sets a field, replacing what has the same name.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) -> Result<(), Failure> {
        let (name, value) = self.check(name, value)?;
        self.headers.insert(name, value);
        Ok(())
    }

    /// Whether there is a field of this name and value.
    pub(super) fn contains(&self, name: &str, value: &str) -> bool {
        self.headers.get_all(name).iter().any(|known| known.as_bytes() == value.as_bytes())
    }

    /// The only value of a field; nothing if there is none, or more than one.
    pub(super) fn only(&self, name: &HeaderName) -> Option<HeaderValue> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.clone())
    }

    fn check(&mut self, name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue), Failure> {
        self.count += 1;
        self.bytes += name.len() + value.len();
        if self.count > RESPONSE_FIELDS_MAX {
            return Err(invalid(format!("it has more than {RESPONSE_FIELDS_MAX} header fields")));
        }
        if self.bytes > RESPONSE_FIELD_BYTES_MAX {
            return Err(invalid(format!(
                "its header fields are longer than {RESPONSE_FIELD_BYTES_MAX} bytes"
            )));
        }
        let shown = || String::from_utf8_lossy(&name[..name.len().min(64)]).escape_debug().to_string();
        let valid_name = HeaderName::from_bytes(name)
            .map_err(|_| invalid(format!("`{}` is not the name of a header field", shown())))?;
        let valid_value = HeaderValue::from_bytes(value)
            .map_err(|_| invalid(format!("header field `{}` has a forbidden character", shown())))?;
        Ok((valid_name, valid_value))
    }

    /// What may be forwarded: no fields of the connection. `Content-Length` goes too, the body says it better.
    pub(super) fn end_to_end(self) -> HeaderMap {
        let mut headers = self.headers;
        let listed = match headers.contains_key(CONNECTION) {
            true => listed_in_connection(&headers),
            false => Vec::new(),
        };
        let gone = headers
            .keys()
            .filter(|name| {
                is_hop_by_hop(name)
                    || **name == CONTENT_LENGTH
                    || listed.iter().any(|one| one == name.as_str())
            })
            .cloned()
            .collect::<Vec<_>>();
        for name in gone {
            headers.remove(name);
        }
        headers
    }
}
