//! Rules about header fields that both directions share.

use http::header::{
    CONNECTION, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

/// Most header fields of a function's response.
pub(crate) const RESPONSE_FIELDS_MAX: usize = 100;
/// Most bytes of all header fields of a function's response.
pub(crate) const RESPONSE_FIELD_BYTES_MAX: usize = 64 << 10;

/// Whether a field belongs to one connection (RFC 9110, 7.6.1) and is never forwarded.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == TE
        || *name == TRAILER
        || *name == UPGRADE
        || *name == PROXY_AUTHENTICATE
        || *name == PROXY_AUTHORIZATION
        || name == "keep-alive"
        || name == "proxy-connection"
}

/// Names that `Connection` fields list, lower case: they belong to the connection as well.
pub(crate) fn listed_in_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONNECTION).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "close" && name != "keep-alive")
        .collect()
}

/// A field's value as text: UTF-8 if it is that, else Latin-1, which maps every byte.
pub(crate) fn value_text(value: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn connection_lists_further_names() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("close, X-One ,,"));
        headers.append(CONNECTION, HeaderValue::from_static("x-two"));
        assert_eq!(listed_in_connection(&headers), ["x-one", "x-two"]);
    }

    #[test]
    fn values_that_are_not_utf_8_are_latin_1() {
        assert_eq!(value_text("é".as_bytes()), "é");
        assert_eq!(value_text(b"caf\xe9"), "café");
    }

    #[test]
    fn fields_of_one_connection_are_known() {
        for name in ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"] {
            assert!(is_hop_by_hop(&HeaderName::from_static(name)), "{name}");
        }
        assert!(!is_hop_by_hop(&HeaderName::from_static("content-type")));
    }
}
