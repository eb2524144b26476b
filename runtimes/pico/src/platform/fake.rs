//! A machine for tests: records what is rung and logged, and lets time pass only in `Sleep`.

use super::{Function, Platform, Switch};
use crate::process::Registers;
use abi::console::{Console, INPUT_DATA, INPUT_END, INPUT_NONE, SETTINGS_GET, Settings, SettingsRequest};
use abi::identity::Identity;
use abi::mailbox::Doorbell;
use abi::refusal::Refusal;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// What makes system calls of Linux in this process, or starts another one, holds this: descriptors are of all threads, the lowest
/// free one is given to whoever asks first, and a child has copies of all.
pub fn alone_with_linux() -> std::sync::MutexGuard<'static, ()> {
    static LINUX: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // A test that failed has told so itself.
    LINUX.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Control and status of the x87: all the vector state the fake machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct X87 {
    /// Control word.
    pub control: u16,
    /// Status word.
    pub status: u16,
}

/// As after `fninit`.
pub const X87_INITIAL: X87 = X87 { control: 0x37f, status: 0 };

/// The fake machine. Its time-stamp counter runs at 1 GHz: one tick is one nanosecond.
pub struct Fake {
    /// Doorbells rung so far.
    pub rings: RefCell<Vec<(Doorbell, [u64; 4])>>,
    /// The time-stamp counter.
    pub tsc: Cell<u64>,
    /// What `identity` returns.
    pub identity: Cell<Identity>,
    /// Requests to deliver, one at each `Doorbell::Ready`, each with a new generation and seed.
    pub requests: RefCell<VecDeque<Vec<u8>>>,
    /// Log records: stream and text.
    pub logs: RefCell<Vec<(u32, Vec<u8>)>>,
    /// What was counted as refused.
    pub refusals: RefCell<Vec<Refusal>>,
    /// How often memory was refused.
    pub refused: Cell<u32>,
    /// What `is_short` returns.
    pub short: Cell<bool>,
    /// Bytes of response.
    pub response_len: Cell<u64>,
    /// Parts of the response that were handed over.
    pub parts: RefCell<Vec<Vec<u8>>>,
    /// What `function` returns.
    pub function: Cell<Function>,
    /// Text of the last failure.
    pub detail: RefCell<String>,
    /// Whether ticks are wanted.
    pub ticks: Cell<bool>,
    /// Registers of the threads that were made.
    pub prepared: RefCell<Vec<Registers>>,
    /// The vector state.
    pub x87: Cell<X87>,
    /// What `console` returns.
    pub console: Cell<Console>,
    /// Input to hand over, a part at each `Sleep` that asks for some; an empty part is the end.
    pub inputs: RefCell<VecDeque<&'static [u8]>>,
    input: Cell<&'static [u8]>,
    request: Cell<&'static [u8]>,
    response: Cell<*mut [u8]>,
    bases: Cell<(u64, u64)>,
}

impl Default for Fake {
    fn default() -> Self {
        let identity = Identity {
            generation: 0,
            wall_ns: 1_700_000_000_000_000_000,
            monotonic_ns: 5_000_000_000,
            tsc_khz: 1_000_000,
            seed: [7; 32],
            instance: [9; 16],
        };
        Self {
            rings: RefCell::default(),
            tsc: Cell::new(1),
            identity: Cell::new(identity),
            requests: RefCell::default(),
            logs: RefCell::default(),
            refusals: RefCell::default(),
            refused: Cell::new(0),
            short: Cell::new(false),
            response_len: Cell::new(0),
            parts: RefCell::default(),
            function: Cell::default(),
            detail: RefCell::default(),
            ticks: Cell::new(false),
            prepared: RefCell::default(),
            x87: Cell::new(X87_INITIAL),
            console: Cell::default(),
            inputs: RefCell::default(),
            input: Cell::new(&[]),
            request: Cell::new(&[]),
            response: Cell::new(Box::leak(vec![0; 1 << 20].into_boxed_slice())),
            bases: Cell::new((0, 0)),
        }
    }
}

impl Fake {
    /// Serves `Doorbell::Terminal`.
    fn set_terminal(&self, args: [u64; 4]) {
        let SettingsRequest { input, output, local, action, characters } = SettingsRequest::decode(args);
        let console = self.console.get();
        if action != SETTINGS_GET {
            let settings = Settings { input, output, local, characters, ..console.settings };
            self.console.set(Console { settings, ..console });
        }
    }

    /// The response as far as it was declared with `set_response_len`.
    pub fn response_bytes(&self) -> Vec<u8> {
        let len = usize::try_from(self.response_len.get()).expect("fits");
        // SAFETY: as in `response`.
        unsafe { (&(*self.response.get()))[..len].to_vec() }
    }

    /// Makes the response area so large.
    pub fn set_response_area(&self, bytes: usize) {
        self.response.set(Box::leak(vec![0; bytes].into_boxed_slice()));
    }

    /// Hands the next part of the input over, if there is one.
    fn hand_over(&self) -> bool {
        let Some(part) = self.inputs.borrow_mut().pop_front() else { return false };
        let (input, input_len) = (if part.is_empty() { INPUT_END } else { INPUT_DATA }, part.len());
        let input_len = u32::try_from(input_len).expect("tests are short");
        self.console.set(Console { input, input_len, ..self.console.get() });
        self.input.set(part);
        true
    }

    /// All text logged on `stream`.
    pub fn logged(&self, stream: u32) -> Vec<u8> {
        self.logs.borrow().iter().filter(|(s, _)| *s == stream).flat_map(|(_, text)| text.clone()).collect()
    }

    /// The doorbells rung so far, without arguments.
    pub fn doorbells(&self) -> Vec<Doorbell> {
        self.rings.borrow().iter().map(|(doorbell, _)| *doorbell).collect()
    }
}

impl Platform for Rc<Fake> {
    fn ring(&self, doorbell: Doorbell, args: [u64; 4]) {
        self.rings.borrow_mut().push((doorbell, args));
        match doorbell {
            Doorbell::Ready => {
                let request = self.requests.borrow_mut().pop_front().expect("a request to deliver at Ready");
                self.request.set(request.leak());
                let mut identity = self.identity.get();
                identity.generation += 1;
                identity.seed[0] = identity.seed[0].wrapping_add(1);
                identity.instance[0] = identity.instance[0].wrapping_add(1);
                self.identity.set(identity);
            }
            Doorbell::Terminal => self.set_terminal(args),
            Doorbell::Part => self.parts.borrow_mut().push(self.response_bytes()),
            Doorbell::Sleep if args[1] != 0 && self.hand_over() => {}
            Doorbell::Sleep => {
                assert_ne!(args[0], u64::MAX, "the program would sleep for ever");
                let start = self.identity.get().monotonic_ns;
                self.tsc.set(self.tsc.get().max(args[0].saturating_sub(start) + 1));
            }
            _ => {}
        }
    }

    fn tsc(&self) -> u64 {
        self.tsc.get()
    }

    fn identity(&self) -> Identity {
        self.identity.get()
    }

    fn request(&self) -> &'static [u8] {
        self.request.get()
    }

    fn function(&self) -> Function {
        self.function.get()
    }

    fn response(&self) -> &'static mut [u8] {
        // SAFETY: leaked in `default` and never freed; a test holds one of these slices at a time.
        unsafe { &mut *self.response.get() }
    }

    fn set_response_len(&self, len: u64) {
        self.response_len.set(len);
    }

    fn log(&self, stream: u32, text: &[u8]) {
        self.logs.borrow_mut().push((stream, text.to_vec()));
    }

    fn console(&self) -> Console {
        self.console.get()
    }

    fn take_signals(&self) -> u64 {
        let console = self.console.get();
        self.console.set(Console { signals: 0, ..console });
        console.signals
    }

    fn clear_input(&self) {
        self.console.set(Console { input: INPUT_NONE, ..self.console.get() });
    }

    fn input(&self, len: usize) -> &'static [u8] {
        &self.input.get()[..len]
    }

    fn count_refusal(&self, what: &Refusal) {
        self.refusals.borrow_mut().push(*what);
    }

    fn memory_refused(&self) {
        self.refused.set(self.refused.get() + 1);
    }

    fn is_short(&self) -> bool {
        self.short.get()
    }

    fn set_memory_used(&self, _bytes: u64) {}

    fn set_detail(&self, text: &str) {
        *self.detail.borrow_mut() = String::from(text);
    }

    fn set_fs_base(&self, base: u64) {
        self.bases.set((base, self.bases.get().1));
    }

    fn fs_base(&self) -> u64 {
        self.bases.get().0
    }

    fn set_gs_base(&self, base: u64) {
        self.bases.set((self.bases.get().0, base));
    }

    fn gs_base(&self) -> u64 {
        self.bases.get().1
    }

    fn save_xstate(&self, area: &mut [u8]) {
        let X87 { control, status } = self.x87.get();
        area[..2].copy_from_slice(&control.to_le_bytes());
        area[2..4].copy_from_slice(&status.to_le_bytes());
        area[512] = 3;
    }

    fn restore_xstate(&self, area: &[u8]) {
        let word = |at: usize| u16::from_le_bytes([area[at], area[at + 1]]);
        let present = area[512] & 1 != 0;
        self.x87.set(if present { X87 { control: word(0), status: word(2) } } else { X87_INITIAL });
    }

    fn set_ticks(&self, wanted: bool) {
        self.ticks.set(wanted);
    }

    fn prepare(&self, stack: &mut [u8], registers: &Registers) -> u64 {
        self.prepared.borrow_mut().push(*registers);
        stack.as_ptr().expose_provenance() as u64
    }

    /// There is one stack: whoever switches goes on at once, in the name of the other thread.
    fn switcher(&self) -> Switch {
        |_, _, _| {}
    }
}
