//! What an answer must be. Every answer is checked: load that is answered with errors is not load.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is wanted of an answer. Everything that is given has to hold; nothing given: a status of 2xx.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Expect {
    /// The status; without it, 200 to 299.
    pub status: Option<u16>,
    /// The whole body.
    pub body: Option<String>,
    /// A part of the body.
    pub contains: Option<String>,
    /// SHA-256 of the body, in hexadecimal.
    pub sha256: Option<String>,
    /// A JSON pointer (RFC 6901) into the body, and the value there.
    pub json: Option<(String, serde_json::Value)>,
}

/// Why an answer is not what was expected.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[serde(into = "String", try_from = "String")]
pub enum Mismatch {
    /// Another status: this one.
    #[error("the answer has the status {0}")]
    Status(u16),
    /// Another body.
    #[error("the body is not the one expected")]
    Body,
}

/// In documents: `body`, `status-503`.
impl From<Mismatch> for String {
    fn from(mismatch: Mismatch) -> String {
        match mismatch {
            Mismatch::Status(status) => format!("status-{status:03}"),
            Mismatch::Body => "body".to_owned(),
        }
    }
}

impl TryFrom<String> for Mismatch {
    type Error = String;

    fn try_from(word: String) -> Result<Mismatch, String> {
        let status = |digits: &str| {
            let three = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
            three.then(|| digits.parse().ok()).flatten()
        };
        match word.strip_prefix("status-").map(status) {
            Some(Some(status)) => Ok(Mismatch::Status(status)),
            None if word == "body" => Ok(Mismatch::Body),
            _ => Err(format!("`{word}` is not a failure")),
        }
    }
}

impl Expect {
    /// Whether the body has to be kept to be judged.
    pub fn needs_body(&self) -> bool {
        self.body.is_some() || self.contains.is_some() || self.sha256.is_some() || self.json.is_some()
    }

    /// What has to be kept of the next `part` of a body of which there are `kept` bytes.
    pub(crate) fn needed<'a>(&self, part: &'a [u8], kept: usize) -> &'a [u8] {
        let max = match &self.body {
            // One more than it may be shows that it is longer.
            Some(wanted) => wanted.len() + 1,
            None if self.needs_body() => usize::MAX,
            None => 0,
        };
        &part[..part.len().min(max.saturating_sub(kept))]
    }

    /// Judges an answer.
    pub fn check(&self, status: u16, body: &[u8]) -> Result<(), Mismatch> {
        let right = match self.status {
            Some(wanted) => wanted == status,
            None => (200..300).contains(&status),
        };
        if !right {
            return Err(Mismatch::Status(status));
        }
        let whole = self.body.as_ref().is_none_or(|wanted| wanted.as_bytes() == body);
        let part = self.contains.as_ref().is_none_or(|wanted| contains(body, wanted.as_bytes()));
        let digest = || {
            self.sha256.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&hex(&Sha256::digest(body))))
        };
        let json = || self.json.as_ref().is_none_or(|(at, wanted)| has(body, at, wanted));
        if whole && part && digest() && json() { Ok(()) } else { Err(Mismatch::Body) }
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}

fn has(body: &[u8], pointer: &str, wanted: &serde_json::Value) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|value| value.pointer(pointer) == Some(wanted))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_given_has_to_hold() {
        let expect = Expect { contains: Some("lo".into()), body: Some("hello".into()), ..Expect::default() };
        assert_eq!(expect.check(200, b"hello"), Ok(()));
        assert_eq!(expect.check(204, b"hallo"), Err(Mismatch::Body));
        assert_eq!(expect.check(500, b"hello"), Err(Mismatch::Status(500)));
        let moved = Expect { status: Some(302), ..Expect::default() };
        assert_eq!((moved.check(302, b""), moved.check(200, b"")), (Ok(()), Err(Mismatch::Status(200))));
    }

    #[test]
    fn a_mismatch_is_a_word_in_documents() {
        for (mismatch, word) in [(Mismatch::Status(429), "status-429"), (Mismatch::Body, "body")] {
            assert_eq!(serde_json::to_value(mismatch).unwrap(), json!(word));
            assert_eq!(serde_json::from_value::<Mismatch>(json!(word)).unwrap(), mismatch);
        }
        for word in ["status", "status-", "status-+42", "status-1000", "status-bo", "timeout"] {
            assert!(serde_json::from_value::<Mismatch>(json!(word)).is_err(), "{word}");
        }
    }

    #[test]
    fn digests_and_values_inside_json_are_compared() {
        let digest = "2CF24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let expect = Expect { sha256: Some(digest.into()), ..Expect::default() };
        assert_eq!((expect.check(200, b"hello"), expect.check(200, b"hellO")), (Ok(()), Err(Mismatch::Body)));
        let expect = Expect { json: Some(("/a/1".into(), json!(2))), ..Expect::default() };
        assert_eq!(
            (expect.check(200, b"{\"a\":[1,2]}"), expect.check(200, b"{\"a\":[1]}")),
            (Ok(()), Err(Mismatch::Body))
        );
        assert_eq!(expect.check(200, b"not json"), Err(Mismatch::Body));
    }
}
