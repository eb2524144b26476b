//! The mailbox of one machine: bounds-checked copies in and out. Every byte the guest can write is hostile.

use crate::memory::{Advice, Backing, Mapping};
use crate::size::size;
use abi::console::{Console, INPUT_DATA, INPUT_END, INPUT_ERROR, STREAM_MAX, Settings};
use abi::identity::Identity;
use abi::layout::PAGE;
use abi::mailbox::{
    DETAIL_MAX, Doorbell, Header, LOG, LOG_SIZE, MAILBOX_SIZE, REQUEST, REQUEST_MAX, RESPONSE, RESPONSE_MAX,
};
use abi::refusal::{Kind, REFUSALS, REFUSALS_MAX, Refusal};
use std::io;
use std::mem::offset_of;
use zerocopy::{FromZeros, IntoBytes};

/// A length does not fit into its area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// The host wants to send too much.
    #[error("the request has {bytes} bytes, more than {REQUEST_MAX}")]
    RequestTooLarge {
        /// Bytes of the request.
        bytes: usize,
    },
    /// The guest says its response is longer than the area.
    #[error("the guest announces a response of {bytes} bytes, more than {RESPONSE_MAX}")]
    ResponseLength {
        /// Bytes announced.
        bytes: u64,
    },
    /// The guest says its log is longer than the area.
    #[error("the guest announces a log of {bytes} bytes, more than {LOG_SIZE}")]
    LogLength {
        /// Bytes announced.
        bytes: u64,
    },
}

/// Parts that nearly every request touches, present and writable from the start so that KVM maps them without a
/// fault each: header and counters, then the beginnings of log, request and response.
pub(crate) const WARM: [(u64, u64); 4] =
    [(0, 2 * PAGE), (LOG, PAGE), (REQUEST, 4 * PAGE), (RESPONSE, 4 * PAGE)];

const IN_BOUNDS: &str = "areas of the mailbox lie inside its mapping, as abi asserts";

/// The mailbox of one machine.
#[derive(Debug)]
pub struct Mailbox {
    mapping: Mapping,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Mailbox> {
        let mut mapping = Mapping::new(size(MAILBOX_SIZE), Backing::Anonymous)?;
        mapping.advise(0, size(MAILBOX_SIZE), Advice::NoHuge)?;
        for (offset, len) in WARM {
            mapping.advise(size(offset), size(len), Advice::PopulateWrite)?;
        }
        Ok(Mailbox { mapping })
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(crate) fn mapping_mut(&mut self) -> &mut Mapping {
        &mut self.mapping
    }

    /// One copy of the header. Check lengths by passing them to [`Mailbox::response`] and [`Mailbox::log`].
    pub fn header(&self) -> Header {
        let mut header = Header::new_zeroed();
        self.mapping.read(0, header.as_mut_bytes()).expect(IN_BOUNDS);
        header
    }

    /// The doorbell the header names, if it is a known one.
    pub fn doorbell(&self) -> Option<Doorbell> {
        Doorbell::from_u32(self.header().doorbell)
    }

    /// The text of a header's `detail`, as far as it is valid.
    pub fn detail(header: &Header) -> String {
        let len = usize::try_from(header.detail_len).map_or(DETAIL_MAX, |len| len.min(DETAIL_MAX));
        String::from_utf8_lossy(&header.detail[..len]).into_owned()
    }

    /// Says who this fork is.
    pub fn set_identity(&mut self, identity: &Identity) {
        self.put(offset_of!(Header, identity), identity.as_bytes());
    }

    /// Puts a request in place.
    pub fn set_request(&mut self, request: &[u8]) -> Result<(), MailboxError> {
        let bytes = request.len();
        if bytes > size(REQUEST_MAX) {
            return Err(MailboxError::RequestTooLarge { bytes });
        }
        self.put(size(REQUEST), request);
        self.put(offset_of!(Header, request_len), (bytes as u64).as_bytes());
        Ok(())
    }

    /// Clears what the guest says at a doorbell: the reason, its arguments and lengths other than the log's. To be
    /// called before the guest goes on, so that an old answer is never taken for a new one.
    pub fn clear_doorbell(&mut self) {
        self.put(offset_of!(Header, doorbell), 0_u32.as_bytes());
        self.put(offset_of!(Header, args), [0_u64; 4].as_bytes());
        self.put(offset_of!(Header, response_len), 0_u64.as_bytes());
        self.put(offset_of!(Header, detail_len), 0_u32.as_bytes());
    }

    /// Clears the guest's note that memory was refused to the program.
    pub fn clear_memory_refused(&mut self) {
        self.put(offset_of!(Header, memory_refused), 0_u32.as_bytes());
    }

    /// Where the guest wants to be interrupted; 0: it does not.
    pub(crate) fn tick_entry(&self) -> u64 {
        let mut bytes = [0; 8];
        self.mapping.read(offset_of!(Header, tick_entry), &mut bytes).expect(IN_BOUNDS);
        u64::from_le_bytes(bytes)
    }

    /// Forgets where the last guest wanted to be interrupted.
    pub(crate) fn clear_tick_entry(&mut self) {
        self.put(offset_of!(Header, tick_entry), 0_u64.as_bytes());
    }

    /// Says where the guest was when it was interrupted.
    pub(crate) fn set_tick_rip(&mut self, rip: u64) {
        self.put(offset_of!(Header, tick_rip), rip.as_bytes());
    }

    /// Says what the program's standard streams are. Before the program starts.
    pub fn set_terminals(&mut self, terminals: u32, rows: u16, columns: u16) {
        self.put_console(offset_of!(Console, terminals), terminals.as_bytes());
        self.put_console(offset_of!(Console, rows), rows.as_bytes());
        self.put_console(offset_of!(Console, columns), columns.as_bytes());
    }

    /// Adds signals for the program to those it has not taken yet: bit `n - 1` is signal `n`.
    pub fn send_signals(&mut self, signals: u64) {
        let all = self.header().console.signals | signals;
        self.put_console(offset_of!(Console, signals), all.as_bytes());
    }

    /// Says whether more of the request follows what was put in place, and what: an `INPUT_*` of [`abi::console`].
    pub fn open_input(&mut self, kind: u32) {
        self.put_console(offset_of!(Console, input), kind.as_bytes());
    }

    /// Hands over input, up to [`STREAM_MAX`] bytes; none is the end, and an error number an error.
    pub fn set_input(&mut self, input: Result<&[u8], u32>) {
        let (kind, len) = match input {
            Ok([]) => (INPUT_END, 0),
            Ok(bytes) => {
                let bytes = &bytes[..bytes.len().min(STREAM_MAX)];
                self.put(size(REQUEST), bytes);
                (INPUT_DATA, u32::try_from(bytes.len()).expect("STREAM_MAX fits"))
            }
            Err(number) => (INPUT_ERROR, number),
        };
        self.put_console(offset_of!(Console, input_len), len.as_bytes());
        self.put_console(offset_of!(Console, input), kind.as_bytes());
    }

    /// Says that what the program wrote to standard output and standard error cannot be passed on, and why.
    pub fn set_output_errors(&mut self, errors: [u32; 2]) {
        self.put_console(offset_of!(Console, output_errors), errors.as_bytes());
    }

    /// Says what the settings of the terminal are, or why they cannot be had.
    pub fn set_settings(&mut self, settings: Result<Settings, u32>) {
        if let Ok(settings) = settings {
            self.put_console(offset_of!(Console, settings), settings.as_bytes());
        }
        let error = settings.err().unwrap_or(0);
        self.put_console(offset_of!(Console, settings_error), error.as_bytes());
    }

    fn put_console(&mut self, offset: usize, bytes: &[u8]) {
        self.put(offset_of!(Header, console) + offset, bytes);
    }

    /// The first `len` bytes of the response area.
    pub fn response(&self, len: u64) -> Result<Vec<u8>, MailboxError> {
        if len > RESPONSE_MAX {
            return Err(MailboxError::ResponseLength { bytes: len });
        }
        Ok(self.get(size(RESPONSE), size(len)))
    }

    /// The first `len` bytes of the log area.
    pub fn log(&self, len: u64) -> Result<Vec<u8>, MailboxError> {
        if len > LOG_SIZE {
            return Err(MailboxError::LogLength { bytes: len });
        }
        Ok(self.get(size(LOG), size(len)))
    }

    /// Tells the guest that its log has been taken.
    pub fn clear_log(&mut self) {
        self.put(offset_of!(Header, log_len), 0_u64.as_bytes());
    }

    /// What was refused and how often, as the guest says: at most [`REFUSALS_MAX`] entries and one for all others.
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut head = [0_u32; 2];
        self.mapping.read(size(REFUSALS), head.as_mut_bytes()).expect(IN_BOUNDS);
        let [len, others] = head;
        let mut list = vec![Refusal::default(); size(len.into()).min(REFUSALS_MAX)];
        self.mapping.read(size(REFUSALS) + size_of_val(&head), list.as_mut_bytes()).expect(IN_BOUNDS);
        list.retain(|refusal| refusal.count > 0);
        if others > 0 {
            list.push(Refusal { count: others, ..Refusal::new(Kind::Others, 0, 0, 0) });
        }
        list
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.mapping.write(offset, bytes).expect(IN_BOUNDS);
    }

    fn get(&self, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.mapping.read(offset, &mut bytes).expect(IN_BOUNDS);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::refusal::Refusals;

    #[test]
    fn lengths_are_checked() {
        let mut mailbox = Mailbox::new().unwrap();
        assert_eq!(
            mailbox.response(RESPONSE_MAX + 1),
            Err(MailboxError::ResponseLength { bytes: RESPONSE_MAX + 1 })
        );
        assert_eq!(mailbox.response(u64::MAX), Err(MailboxError::ResponseLength { bytes: u64::MAX }));
        assert_eq!(mailbox.log(LOG_SIZE + 1), Err(MailboxError::LogLength { bytes: LOG_SIZE + 1 }));
        assert_eq!(mailbox.log(LOG_SIZE).unwrap().len(), size(LOG_SIZE));
        assert_eq!(mailbox.response(RESPONSE_MAX).unwrap().len(), size(RESPONSE_MAX));
        let long = vec![1; size(REQUEST_MAX) + 1];
        assert!(matches!(mailbox.set_request(&long), Err(MailboxError::RequestTooLarge { .. })));
        mailbox.set_request(&long[1..]).unwrap();
        assert_eq!(mailbox.header().request_len, REQUEST_MAX);
    }

    #[test]
    fn hostile_header_fields_are_harmless() {
        let mut mailbox = Mailbox::new().unwrap();
        mailbox.mapping.write(0, &[0xff; size_of::<Header>()]).unwrap();
        let header = mailbox.header();
        assert_eq!(mailbox.doorbell(), None);
        assert_eq!(Mailbox::detail(&header).chars().count(), DETAIL_MAX);
        assert!(mailbox.response(header.response_len).is_err());
        mailbox.clear_doorbell();
        mailbox.clear_log();
        mailbox.clear_memory_refused();
        let header = mailbox.header();
        assert_eq!((header.doorbell, header.args, header.response_len), (0, [0; 4], 0));
        assert_eq!((header.log_len, header.memory_refused), (0, 0));
    }

    #[test]
    fn the_console_is_written_field_by_field() {
        let mut mailbox = Mailbox::new().unwrap();
        mailbox.set_terminals(3, 24, 80);
        mailbox.send_signals(1);
        mailbox.send_signals(4);
        mailbox.set_output_errors([32, 5]);
        mailbox.set_input(Ok(b"abc"));
        let expected = Console {
            signals: 5,
            input: INPUT_DATA,
            input_len: 3,
            output_errors: [32, 5],
            terminals: 3,
            rows: 24,
            columns: 80,
            ..Console::default()
        };
        assert_eq!(mailbox.header().console, expected);
        assert_eq!(mailbox.get(size(REQUEST), 3), b"abc");
        mailbox.set_input(Ok(&vec![7; STREAM_MAX + 1]));
        assert_eq!(mailbox.header().console.input_len as usize, STREAM_MAX);
        mailbox.set_input(Ok(b""));
        assert_eq!(mailbox.header().console.input, INPUT_END);
        mailbox.set_input(Err(21));
        assert_eq!(mailbox.header().console, Console { input: INPUT_ERROR, input_len: 21, ..expected });
        let settings = Settings { local: 5, characters: [9; 19], ..Settings::default() };
        mailbox.set_settings(Ok(settings));
        mailbox.set_settings(Err(25));
        let console = mailbox.header().console;
        assert_eq!((console.settings, console.settings_error), (settings, 25));
    }

    #[test]
    fn refusals_are_told_as_far_as_there_can_be_some() {
        let mut mailbox = Mailbox::new().unwrap();
        assert_eq!(mailbox.refusals(), []);
        let mut page = Refusals::new_zeroed();
        let one = Refusal::new(Kind::Value, 16, 1, 0x5403);
        page.count(&one);
        mailbox.mapping.write(size(REFUSALS), page.as_bytes()).unwrap();
        assert_eq!(mailbox.refusals(), [one]);
        mailbox.mapping.write(size(REFUSALS), &[0xff; size_of::<Refusals>()]).unwrap();
        let refusals = mailbox.refusals();
        assert_eq!(refusals.len(), REFUSALS_MAX + 1);
        let others = Refusal { count: u32::MAX, ..Refusal::new(Kind::Others, 0, 0, 0) };
        assert_eq!(refusals.last(), Some(&others));
    }
}
