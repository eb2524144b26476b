//! Text from documents, which anybody may have written, made safe to show.

use std::fmt::Write;

/// For elements and for attributes in quotes. Control characters and those that turn the direction of text around are shown as such.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(letter),
            _ if letter.is_control() || turns(letter) || is_noncharacter(letter) => out.push('\u{fffd}'),
            _ => out.push(letter),
        }
    }
    out
}

/// Whether a character changes the direction of what follows, beyond its own text.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

fn is_noncharacter(letter: char) -> bool {
    (u32::from(letter) & 0xfffe) == 0xfffe || matches!(letter, '\u{fdd0}'..='\u{fdef}')
}

/// At most so many characters, with an ellipsis in place of what is more. Line breaks become spaces; nothing becomes a dash.
pub(crate) fn shortened(text: &str, letters: usize) -> String {
    let flat = |c: char| if c.is_whitespace() { ' ' } else { c };
    let mut out: String = text.chars().map(flat).take(letters).collect();
    if text.chars().nth(letters).is_some() {
        out.pop();
        out.push('\u{2026}');
    }
    if out.trim().is_empty() { "\u{2013}".to_owned() } else { out }
}

/// An element with escaped text in it.
pub(super) fn element(out: &mut String, name: &str, text: &str) {
    let end = name.split(' ').next().unwrap_or(name);
    let _ = write!(out, "<{name}>{}</{end}>", escape(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_its_element_or_attribute() {
        assert_eq!(escape("<script>a&\"b'</script>"), "&lt;script&gt;a&amp;&quot;b&#39;&lt;/script&gt;");
        assert_eq!(escape("a\u{202e}b\0c\u{7f}\u{ffff}"), "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}");
        assert_eq!(escape("\u{5d0}\u{1F600}\u{e9}"), "\u{5d0}\u{1F600}\u{e9}");
    }

    #[test]
    fn long_text_is_cut_and_no_text_is_a_dash() {
        assert_eq!(shortened("abcdef", 4), "abc\u{2026}");
        assert_eq!((shortened("abcd", 4), shortened("a\nb", 4)), ("abcd".to_owned(), "a b".to_owned()));
        assert_eq!((shortened("", 4), shortened(" ", 4)), ("\u{2013}".to_owned(), "\u{2013}".to_owned()));
    }
}
