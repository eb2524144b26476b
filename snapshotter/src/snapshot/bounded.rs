//! Decoding lists and names with a bound that holds before memory is taken.

use super::limits::NAME_BYTES_MAX;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Entries memory is taken for at once; more only as they are really read.
const RESERVED_ENTRIES: usize = 1024;

/// Reads a list of at most `MAX` entries.
pub(crate) fn list<'de, D, T, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_seq(List::<T, MAX>(PhantomData))
}

/// Reads a short name.
pub(crate) fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = <&str>::deserialize(from)?;
    if text.len() > NAME_BYTES_MAX {
        Err(D::Error::custom("a name is too long"))
    } else {
        Ok(text.to_owned())
    }
}

struct List<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "at most {MAX} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        let claimed = entries.size_hint().unwrap_or(0);
        let mut list = Vec::with_capacity(claimed.min(RESERVED_ENTRIES));
        if claimed > MAX {
            return Err(A::Error::invalid_length(claimed, &self));
        }
        while let Some(entry) = entries.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(entry);
        }
        Ok(list)
    }
}
