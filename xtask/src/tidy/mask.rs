//! Rust source with comments and the contents of literals blanked out, so that rules can search for words
//! without a parser. Lengths and line ends stay, so positions mean the same in both texts.

/// `source` with comments and literals blanked.
pub(super) fn mask(source: &str) -> String {
    let mut masker = Masker { bytes: source.as_bytes(), at: 0, out: Vec::with_capacity(source.len()) };
    while masker.at < masker.bytes.len() {
        masker.step();
    }
    String::from_utf8(masker.out)
        .expect("whole non-ASCII characters are either copied or blanked byte by byte")
}

struct Masker<'a> {
    bytes: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl Masker<'_> {
    fn step(&mut self) {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(b"//") {
            let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            self.blank(end);
        } else if rest.starts_with(b"/*") {
            self.blank(block_comment(rest));
        } else if let Some(length) = raw_string(rest).filter(|_| !self.in_word()) {
            self.blank(length);
        } else if rest[0] == b'"' {
            self.blank(string(rest));
        } else if rest[0] == b'\'' {
            self.blank(character(rest));
        } else {
            self.out.push(rest[0]);
            self.at += 1;
        }
    }

    /// Whether the last byte belongs to an identifier, so that an `r` here is not the start of a raw string.
    fn in_word(&self) -> bool {
        self.out.last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
    }

    fn blank(&mut self, length: usize) {
        let skipped = &self.bytes[self.at..self.at + length];
        self.out.extend(skipped.iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
        self.at += length;
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of `r"..."`, `r#"..."#`, `br"..."`; `None` if there is no raw string here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = usize::from(matches!(rest.first(), Some(b'b' | b'c')));
    if rest.get(prefix) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|b| **b == b'#').count();
    let open = prefix + 1 + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let body = &rest[open + 1..];
    let close = body.windows(end.len()).position(|w| w == end);
    Some(close.map_or(rest.len(), |c| open + 1 + c + end.len()))
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a character literal; 1 for a lifetime, whose name is left in place.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|b| *b == b'\'');
        return close.map_or(rest.len(), |c| c + 4);
    }
    let text = &rest[1..rest.len().min(6)];
    let width = match text.first() {
        Some(b) if *b < 0x80 => 1,
        Some(b) if *b < 0xe0 => 2,
        Some(b) if *b < 0xf0 => 3,
        Some(_) => 4,
        None => return 1,
    };
    if text.get(width) == Some(&b'\'') { width + 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        // In the expected text `_` stands for a blanked byte.
        for (source, masked) in [
            ("a // b\nc", "a ____\nc"),
            ("a /* b /* c */ d */ e", "a _________________ e"),
            (r#"f("x{\"y")+g"#, "f(_______)+g"),
            (r##"r#"a"b"#+var"q""##, "________+var___"),
            ("['{', '\\'', '\\n'] x: &'a str", "[___, ____, ____] x: &_a str"),
        ] {
            assert_eq!(mask(source), masked.replace('_', " "), "{source}");
        }
    }

    #[test]
    fn lengths_and_lines_stay() {
        let source = "let é = 'é'; // é\n\"é\n\" /* unclosed";
        let masked = mask(source);
        assert_eq!(masked.len(), source.len());
        assert_eq!(masked.matches('\n').count(), 2);
        assert!(masked.starts_with("let é = "));
        assert!(!masked.contains("unclosed"));
    }
}
