//! Strings of JSON (RFC 8259).

use std::fmt::Write as _;

/// A string as JSON writes it.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\0'..='\x1f' => {
                write!(quoted, "\\u{:04x}", u32::from(character)).expect("writing to a String cannot fail");
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Takes a string off the beginning of `text`, which is where its opening quote is.
pub(crate) fn unquote<'a>(text: &mut &'a str) -> Option<String> {
    let mut rest: &'a str = text.strip_prefix('"')?;
    let mut found = String::new();
    loop {
        let mut characters = rest.chars();
        let character = characters.next()?;
        rest = characters.as_str();
        match character {
            '"' => {
                *text = rest;
                return Some(found);
            }
            '\\' => found.push(escaped(&mut rest)?),
            '\0'..='\x1f' => return None,
            _ => found.push(character),
        }
    }
}

/// What follows a backslash.
fn escaped(rest: &mut &str) -> Option<char> {
    let mut characters = rest.chars();
    let kind = characters.next()?;
    *rest = characters.as_str();
    Some(match kind {
        '"' | '\\' | '/' => kind,
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = unit(rest)?;
            if !(0xd800..0xdc00).contains(&first) {
                return char::from_u32(first);
            }
            // The first half of a pair (UTF-16).
            *rest = rest.strip_prefix("\\u")?;
            let second = unit(rest)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)?
        }
        _ => return None,
    })
}

fn unit(rest: &mut &str) -> Option<u32> {
    let digits = rest.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    *rest = &rest[4..];
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_and_written() {
        for (written, wanted) in [
            (r#""plain" rest"#, Some("plain")),
            (r#""\"\\\/\n\t\u0041\u00e9\ud83c\udf44""#, Some("\"\\/\n\tA\u{e9}\u{1f344}")),
            (r#""open"#, None),
            (r#""\x""#, None),
            (r#""\u12""#, None),
            (r#""\ud83c""#, None),
            (r#""\ud83cx""#, None),
            (r#""\ud83c\u0041""#, None),
            ("\"line\nbreak\"", None),
            ("bare", None),
        ] {
            let mut text = written;
            assert_eq!(unquote(&mut text).as_deref(), wanted, "{written}");
        }
        let text = "a \"b\" \\ \n é \u{1}";
        assert_eq!(unquote(&mut quote(text).as_str()).as_deref(), Some(text));
    }
}
