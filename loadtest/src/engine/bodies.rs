//! What a thread keeps of bodies until they are judged: not more than it has room for, whatever servers send.

use crate::expect::Expect;
use crate::failure::Failure;

/// Bytes of one body.
const ONE_MAX: usize = 16 << 20;
/// Bytes of all bodies of a thread.
const ALL_MAX: usize = 256 << 20;

/// The room for bodies of a thread.
#[derive(Debug)]
pub(super) struct Bodies {
    left: usize,
}

impl Bodies {
    pub(super) fn new() -> Bodies {
        Bodies { left: ALL_MAX }
    }

    /// Keeps what is needed of the next part of a body; fails if there is no room for it.
    pub(super) fn keep(&mut self, expect: &Expect, body: &mut Vec<u8>, part: &[u8]) -> Result<(), Failure> {
        let needed = expect.needed(part, body.len());
        if needed.len() > self.left.min(ONE_MAX - body.len()) {
            return Err(Failure::Excess);
        }
        self.left -= needed.len();
        body.extend_from_slice(needed);
        Ok(())
    }

    /// A body is judged, or nobody will.
    pub(super) fn forget(&mut self, body: &mut Vec<u8>) {
        self.left += body.len();
        body.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains() -> Expect {
        Expect { contains: Some("x".into()), ..Expect::default() }
    }

    #[test]
    fn a_body_is_kept_up_to_its_limit() {
        let (mut bodies, mut body) = (Bodies::new(), Vec::new());
        let block = vec![0; ONE_MAX / 2];
        assert_eq!(bodies.keep(&contains(), &mut body, &block), Ok(()));
        assert_eq!(bodies.keep(&contains(), &mut body, &block), Ok(()));
        assert_eq!(bodies.keep(&contains(), &mut body, b"1"), Err(Failure::Excess));
        assert_eq!(body.len(), ONE_MAX);
        bodies.forget(&mut body);
        assert_eq!((body.len(), bodies.left), (0, ALL_MAX));
    }

    #[test]
    fn many_bodies_have_one_room() {
        let mut bodies = Bodies { left: 5 };
        let mut two = [Vec::new(), Vec::new()];
        assert_eq!(bodies.keep(&contains(), &mut two[0], b"1234"), Ok(()));
        assert_eq!(bodies.keep(&contains(), &mut two[1], b"12"), Err(Failure::Excess));
        bodies.forget(&mut two[0]);
        assert_eq!(bodies.keep(&contains(), &mut two[1], b"12"), Ok(()));
        // Of these nothing is needed, or a little.
        let whole = Expect { body: Some("a".into()), ..Expect::default() };
        let mut body = Vec::new();
        assert_eq!(bodies.keep(&whole, &mut body, b"abcdefgh"), Ok(()));
        assert_eq!(bodies.keep(&whole, &mut body, b"abcdefgh"), Ok(()));
        assert_eq!(bodies.keep(&Expect::default(), &mut body, b"abcdefgh"), Ok(()));
        assert_eq!(body, b"ab");
    }
}
