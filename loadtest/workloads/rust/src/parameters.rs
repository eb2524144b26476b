//! Parameters: the members of one flat JSON object.

use crate::BODY_MAX;
use crate::text::{quote, unquote};

/// Longest text that a parameter can be, in characters.
pub const TEXT_MAX: usize = 100;

/// What a parameter can be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number.
    Number {
        /// The least it can be.
        least: u64,
        /// The most.
        most: u64,
        /// What it is if nothing is said.
        usual: u64,
    },
    /// A text, with what it is if nothing is said.
    Text(&'static str),
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Text(String),
}

/// The parameters of one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Given(Vec<(&'static str, Value)>);

impl Given {
    /// Reads a body; what it does not say has its default.
    pub fn parse(parameters: &[(&'static str, Kind)], body: &[u8]) -> Result<Given, String> {
        if body.len() > BODY_MAX {
            return Err(format!("the body is longer than {BODY_MAX} bytes"));
        }
        let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
        let mut given = Given(parameters.iter().map(|(name, kind)| (*name, kind.usual())).collect());
        let mut rest = text.trim_matches(SPACE);
        if rest.is_empty() {
            return Ok(given);
        }
        take(&mut rest, '{').ok_or("the body is not a JSON object")?;
        if take(&mut rest, '}').is_none() {
            loop {
                member(parameters, &mut given, &mut rest)?;
                if take(&mut rest, ',').is_none() {
                    break;
                }
            }
            take(&mut rest, '}').ok_or("the body is not JSON: a } is missing")?;
        }
        if rest.is_empty() { Ok(given) } else { Err("the body is not JSON: something follows the }".into()) }
    }

    /// The number `name`, which must be a parameter.
    pub fn number(&self, name: &str) -> u64 {
        match self.get(name) {
            Value::Number(number) => *number,
            Value::Text(_) => panic!("{name} is a text"),
        }
    }

    /// The text `name`, which must be a parameter.
    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Value::Text(text) => text,
            Value::Number(_) => panic!("{name} is a number"),
        }
    }

    /// All of them, as JSON.
    pub fn json(&self) -> String {
        let members = self.0.iter().map(|(name, value)| match value {
            Value::Number(number) => format!("\"{name}\":{number}"),
            Value::Text(text) => format!("\"{name}\":{}", quote(text)),
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    fn get(&self, name: &str) -> &Value {
        &self.0.iter().find(|(known, _)| *known == name).expect("a parameter of the workload").1
    }
}

impl Kind {
    fn usual(self) -> Value {
        match self {
            Kind::Number { usual, .. } => Value::Number(usual),
            Kind::Text(usual) => Value::Text(usual.to_owned()),
        }
    }
}

/// What JSON allows between its parts.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

fn take(rest: &mut &str, character: char) -> Option<()> {
    *rest = rest.strip_prefix(character)?.trim_start_matches(SPACE);
    Some(())
}

fn member(parameters: &[(&'static str, Kind)], given: &mut Given, rest: &mut &str) -> Result<(), String> {
    let name = unquote(rest).ok_or("the body is not JSON: a name is missing")?;
    *rest = rest.trim_start_matches(SPACE);
    take(rest, ':').ok_or("the body is not JSON: a : is missing")?;
    let Some(at) = parameters.iter().position(|(known, _)| *known == name) else {
        let names: Vec<&str> = parameters.iter().map(|(known, _)| *known).collect();
        let name: String = name.chars().take(TEXT_MAX).collect();
        return Err(format!("no parameter is named \"{name}\"; there are: {}", names.join(", ")));
    };
    given.0[at].1 = match parameters[at].1 {
        Kind::Number { least, most, .. } => {
            let end = rest.find(|c: char| SPACE.contains(&c) || c == ',' || c == '}').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            *rest = after;
            let number = whole(word).filter(|number| (least..=most).contains(number));
            Value::Number(
                number.ok_or_else(|| format!("{name} must be a whole number from {least} to {most}"))?,
            )
        }
        Kind::Text(_) => {
            let text = unquote(rest).filter(|text| text.chars().count() <= TEXT_MAX);
            Value::Text(
                text.ok_or_else(|| format!("{name} must be a text of at most {TEXT_MAX} characters"))?,
            )
        }
    };
    *rest = rest.trim_start_matches(SPACE);
    Ok(())
}

/// A number without sign, fraction, exponent and leading zeros.
fn whole(word: &str) -> Option<u64> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let leading = word.len() > 1 && word.starts_with('0');
    word.parse().ok().filter(|_| digits && !leading)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: &[(&str, Kind)] =
        &[("n", Kind::Number { least: 1, most: 40, usual: 7 }), ("name", Kind::Text("world"))];

    #[test]
    fn what_is_missing_has_its_default() {
        for (body, n, name) in [
            ("", 7, "world"),
            (" {} ", 7, "world"),
            ("{\"n\":40}", 40, "world"),
            ("{ \"name\" : \"a\\\"b\" , \"n\" : 1 }\n", 1, "a\"b"),
        ] {
            let given = Given::parse(KINDS, body.as_bytes()).expect(body);
            assert_eq!((given.number("n"), given.text("name")), (n, name), "{body}");
        }
        let given = Given::parse(KINDS, b"{\"name\":\"a\\\"b\"}").expect("valid");
        assert_eq!(given.json(), "{\"n\":7,\"name\":\"a\\\"b\"}");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let long = format!("{{\"name\":\"{}\"}}", "x".repeat(TEXT_MAX + 1));
        let longer = format!("{{\"name\":\"{}\"}}", "x".repeat(BODY_MAX));
        for (body, part) in [
            ("[]", "not a JSON object"),
            ("nonsense", "not a JSON object"),
            ("{", "a name"),
            ("{\"n\"}", "a : is missing"),
            ("{\"n\":1", "a } is missing"),
            ("{\"n\":1}}", "something follows"),
            ("{\"n\":1,}", "a name"),
            ("{\"m\":1}", "no parameter is named \"m\"; there are: n, name"),
            ("{\"n\":0}", "whole number from 1 to 40"),
            ("{\"n\":41}", "whole number"),
            ("{\"n\":-1}", "whole number"),
            ("{\"n\":+1}", "whole number"),
            ("{\"n\":1.0}", "whole number"),
            ("{\"n\":01}", "whole number"),
            ("{\"n\":\"1\"}", "whole number"),
            ("{\"n\":99999999999999999999999}", "whole number"),
            ("{\"n\":}", "whole number"),
            ("{\"name\":1}", "text of at most 100"),
            (long.as_str(), "text of at most 100"),
            (longer.as_str(), "longer than"),
        ] {
            let error = Given::parse(KINDS, body.as_bytes()).expect_err(body);
            assert!(error.contains(part), "{body}: {error}");
        }
        assert_eq!(Given::parse(KINDS, b"\xff"), Err("the body is not UTF-8".into()));
    }
}
