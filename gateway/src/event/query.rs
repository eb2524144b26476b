//! Query strings: decoding of `application/x-www-form-urlencoded` pairs.

use std::borrow::Cow;

/// Names in order of first appearance, each with its decoded values joined by commas.
pub(super) fn parameters(query: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let mut found: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        match places.get(&name) {
            Some(place) => {
                let (_, joined): &mut (_, Cow<'_, str>) = &mut found[*place];
                let joined = joined.to_mut();
                joined.push(',');
                joined.push_str(&value);
            }
            None => {
                places.insert(name.clone(), found.len());
                found.push((name, value));
            }
        }
    }
    found
}

/// Decodes `%XX` and `+`. A `%` without two hex digits stands for itself; invalid UTF-8 is replaced.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = match byte {
            b'%' => hex(bytes.get(at + 1)).zip(hex(bytes.get(at + 2))),
            _ => None,
        };
        match escaped {
            Some((high, low)) => decoded.push(high << 4 | low),
            None => decoded.push(if *byte == b'+' { b' ' } else { *byte }),
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    match String::from_utf8(decoded) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn hex(digit: Option<&u8>) -> Option<u8> {
    match digit? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        parameters(query).into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn values_are_decoded_and_joined() {
        assert_eq!(pairs("a=1&b=2&a=3"), owned(&[("a", "1,3"), ("b", "2")]));
        assert_eq!(pairs("x=%C3%A9+%2B&%61=1&a=2"), owned(&[("x", "é +"), ("a", "1,2")]));
        assert_eq!(pairs("flag&empty=&&=v"), owned(&[("flag", ""), ("empty", ""), ("", "v")]));
        assert_eq!(pairs("a=b=c"), owned(&[("a", "b=c")]));
    }

    #[test]
    fn broken_escapes_stand_for_themselves() {
        assert_eq!(
            pairs("a=%&b=%4&c=%zz&d=%4%41"),
            owned(&[("a", "%"), ("b", "%4"), ("c", "%zz"), ("d", "%4A")])
        );
        assert_eq!(pairs("a=%ff"), owned(&[("a", "\u{fffd}")]));
    }

    fn encode(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    proptest! {
        #[test]
        fn any_query_is_survived(query in "\\PC*") {
            parameters(&query);
        }

        #[test]
        fn what_is_encoded_comes_back(name in ".*", value in ".*") {
            let query = format!("{}={}", encode(&name), encode(&value));
            prop_assert_eq!(pairs(&query), vec![(name, value)]);
        }
    }
}
