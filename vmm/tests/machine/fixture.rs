//! Parents and forks of the test guest.

use crate::guest;
use abi::boot::Contract;
use abi::identity::Identity;
use abi::mailbox::Doorbell;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use vmm::{BootSpec, Exit, Image, Images, KernelImage, Kvm, Machine, Parent, ParentMemory};
use zerocopy::FromZeros;

/// First bytes of the root image.
pub(crate) const ROOT_BYTES: [u8; 8] = *b"rootroot";

/// Opens KVM. Without it no test here can pass; the error says what to do.
pub(crate) fn kvm() -> Kvm {
    Kvm::open(Path::new("/dev/kvm")).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn images() -> Images {
    let mut file = File::from(memfd_create("root", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(&ROOT_BYTES).unwrap();
    file.write_all(&[9; 10_000]).unwrap();
    Images { root: Arc::new(Image::map(&file).unwrap()), package: None }
}

pub(crate) fn spec() -> BootSpec {
    BootSpec {
        ram_bytes: guest::RAM,
        contract: Contract::Handler,
        port: 0,
        args: vec![b"/bin/test".to_vec()],
        env: vec![b"KEY=value".to_vec()],
        awaits_function: false,
    }
}

/// A parent and what its forks need.
pub(crate) struct World {
    pub(crate) kvm: Kvm,
    pub(crate) images: Images,
    pub(crate) parent: Arc<Parent>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with_start(&[])
    }

    /// Boots the guest with `start` in the request area.
    pub(crate) fn with_start(start: &[u8]) -> World {
        World::with_kernel(guest::code(), start)
    }

    /// Boots the guest kernel `code` with `start` in the request area.
    pub(crate) fn with_kernel(code: &[u8], start: &[u8]) -> World {
        let (kvm, images) = (kvm(), images());
        let kernel = KernelImage::parse(guest::elf(code)).unwrap();
        let mut memory = ParentMemory::new(guest::RAM).unwrap();
        let mut machine = Machine::boot(&kvm, &kernel, &mut memory, &images, &spec()).unwrap();
        machine.mailbox().set_request(start).unwrap();
        assert_eq!(run(&mut machine), Exit::Doorbell);
        let header = machine.mailbox().header();
        assert_eq!(Doorbell::from_u32(header.doorbell), Some(Doorbell::Ready), "{:x?}", header.args);
        let entry = machine.capture().unwrap();
        drop(machine);
        memory.seal().unwrap();
        let parent = Arc::new(Parent::new(memory, entry).unwrap());
        World { kvm, images, parent }
    }

    /// A shell.
    pub(crate) fn shell(&self) -> Machine {
        Machine::fork(&self.kvm, &self.parent, &self.images).unwrap()
    }

    /// A shell, entered and with a request.
    pub(crate) fn fork(&self, request: &[u8]) -> Machine {
        let mut machine = self.shell();
        prepare(&mut machine, request);
        machine
    }

    /// Runs a request in a fork of its own.
    pub(crate) fn answer(&self, request: &[u8]) -> Vec<u8> {
        answer(&mut self.fork(request))
    }
}

/// Enters a pristine fork with a request.
pub(crate) fn prepare(machine: &mut Machine, request: &[u8]) {
    machine.enter().unwrap();
    let identity = Identity { generation: 1, ..Identity::new_zeroed() };
    machine.mailbox().set_identity(&identity);
    machine.mailbox().set_request(request).unwrap();
}

/// Runs to the response and returns it.
pub(crate) fn answer(machine: &mut Machine) -> Vec<u8> {
    assert_eq!(run(machine), Exit::Doorbell);
    let header = machine.mailbox().header();
    assert_eq!(Doorbell::from_u32(header.doorbell), Some(Doorbell::Response), "{:x?}", header.args);
    machine.mailbox().response(header.response_len).unwrap()
}

/// Runs, but not for ever: a guest that does not stop by itself is kicked after a while.
pub(crate) fn run(machine: &mut Machine) -> Exit {
    let kicker = machine.kicker();
    let (done, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(Duration::from_secs(180)) == Err(RecvTimeoutError::Timeout) {
                kicker.kick();
            }
        });
        let exit = machine.run().unwrap();
        drop(done);
        exit
    })
}

/// Builds a request: operation and arguments.
pub(crate) fn request(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The first 8 bytes of an answer.
pub(crate) fn number(answer: &[u8]) -> u64 {
    u64::from_le_bytes(answer[..8].try_into().unwrap())
}

pub(crate) const COUNT: u64 = 1;
pub(crate) const FILL: u64 = 2;
pub(crate) const ILLEGAL: u64 = 3;
pub(crate) const FOREVER: u64 = 4;
pub(crate) const PORT: u64 = 5;
pub(crate) const LOAD: u64 = 6;
pub(crate) const REPORT: u64 = 7;
pub(crate) const SCRAMBLE: u64 = 8;
pub(crate) const SUPERVISOR: u64 = 9;
pub(crate) const DOORBELL_HERE: u64 = 10;
pub(crate) const PORT_STRING: u64 = 11;
pub(crate) const SYSTEM_CALL: u64 = 12;
pub(crate) const PROCESSOR: u64 = 13;
pub(crate) const READ_KEYS: u64 = 14;
pub(crate) const WRITE_KEYS: u64 = 15;
pub(crate) const SPIN: u64 = 16;
