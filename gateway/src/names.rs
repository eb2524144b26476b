//! Names and ids that come from clients.

use http::HeaderMap;

/// The header that carries the request id, both ways.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// Most characters of a function name.
const NAME_MAX: usize = 63;
/// Most bytes of a request id that a client may choose.
const REQUEST_ID_MAX: usize = 128;

/// Whether `name` can be a function's name: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
pub fn is_function_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    bytes.len() <= NAME_MAX
        && bytes.iter().all(inner)
        && bytes.first().is_some_and(|first| *first != b'-')
        && bytes.last().is_some_and(|last| *last != b'-')
}

/// The client's request id if it is one line of visible ASCII and not too long, else a new UUID version 7.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .map(|value| value.as_bytes())
        .filter(|id| !id.is_empty() && id.len() <= REQUEST_ID_MAX && id.iter().all(u8::is_ascii_graphic))
        .and_then(|id| std::str::from_utf8(id).ok())
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// Splits `/function/NAME/rest` into name and the path below it (`/` if there is none).
pub(crate) fn split_function_path(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/function/")?;
    Some(match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "0", "hello", "a-b", "a--b", &"x".repeat(63)] {
            assert!(is_function_name(good), "{good}");
        }
        for bad in ["", "-", "-a", "a-", "A", "a_b", "a.b", "ä", "a b", "a/b", &"x".repeat(64)] {
            assert!(!is_function_name(bad), "{bad}");
        }
    }

    #[test]
    fn paths_are_split_at_the_first_slash() {
        assert_eq!(split_function_path("/function/a"), Some(("a", "/")));
        assert_eq!(split_function_path("/function/a/"), Some(("a", "/")));
        assert_eq!(split_function_path("/function/a//b%2Fc"), Some(("a", "//b%2Fc")));
        assert_eq!(split_function_path("/function/"), Some(("", "/")));
        assert_eq!(split_function_path("/functions"), None);
        assert_eq!(split_function_path("*"), None);
    }

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_is_replaced() {
        let with = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            request_id(&headers)
        };
        assert_eq!(with(b"abc-1"), "abc-1");
        assert_eq!(with(&[b'x'; 128]), "x".repeat(128));
        for bad in [&b""[..], b"a b", b"a\tb", b"\xc3\xa9", &[b'x'; 129]] {
            let id = with(bad);
            assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7, "{bad:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
