//! An answer that is put together from parts, and complete when it is said to be.

use super::http::ResponseWatch;
use super::{Inbound, Outcome, State};

impl Inbound {
    /// The whole request.
    pub fn request(&self) -> &'static [u8] {
        self.request
    }

    /// Bytes an answer can have.
    pub fn answer_max(&self) -> usize {
        self.response.len()
    }

    /// Begins the answer, forgetting what an earlier attempt has left.
    pub fn begin_answer(&mut self) {
        if matches!(self.state, State::Taken | State::Responding) {
            self.state = State::Responding;
            self.written = 0;
            self.watch = ResponseWatch::new(&[]);
        }
    }

    /// What follows of the answer is in chunked coding: it goes out as it comes.
    pub fn goes_on_in_chunks(&mut self) {
        self.watch = ResponseWatch::in_chunks(self.written);
    }

    /// Adds to the answer; false if there is no room.
    pub fn extend_answer(&mut self, bytes: &[u8]) -> bool {
        let end = self.written.saturating_add(bytes.len());
        let Some(target) = self.response.get_mut(self.written..end) else { return false };
        target.copy_from_slice(bytes);
        self.written = end;
        true
    }

    /// The answer is complete.
    pub fn finish_answer(&mut self) {
        self.complete(0, self.written);
    }

    /// There will be no answer but the one that was too long.
    pub fn give_up_answer(&mut self) {
        self.state = State::Done;
        self.outcome = Some(Outcome::TooLarge);
    }
}
