//! Opening KVM, and refusing what cannot be run.

use crate::fixture::{images, kvm, spec};
use crate::guest;
use abi::boot::STRINGS_MAX;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use vmm::{ImageError, KernelImage, Kvm, Machine, MachineError, OpenError, ParentMemory};

#[test]
fn an_absent_device_is_explained() {
    let error = Kvm::open(Path::new("/nonexistent/kvm")).err().unwrap();
    assert!(matches!(error, OpenError::Absent { .. }));
    let text = error.to_string();
    for part in ["/nonexistent/kvm does not exist", "modprobe", "nested virtualisation"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_device_without_permission_is_explained() {
    let text = OpenError::Denied { path: "/dev/kvm".to_owned() }.to_string();
    assert!(text.contains("add this user to the group kvm"), "{text}");
    // Root may open anything, so the refusal itself can only be seen by others.
    if !rustix::process::geteuid().is_root() {
        let file = std::env::temp_dir().join(format!("spore-kvm-{}", std::process::id()));
        std::fs::write(&file, b"").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
        let error = Kvm::open(&file).err().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(error, OpenError::Denied { .. }));
    }
}

#[test]
fn another_device_is_not_kvm() {
    let error = Kvm::open(Path::new("/dev/null")).err().unwrap();
    assert!(matches!(error, OpenError::NotKvm { .. }), "{error}");
}

#[test]
fn kvm_travels_by_descriptor() {
    let kvm = Kvm::from_fd(kvm().as_fd().try_clone_to_owned().unwrap());
    kvm.unwrap_or_else(|error| panic!("{error}"));
    assert!(Kvm::kind().starts_with("kvm"));
}

#[test]
fn damaged_kernels_are_refused() {
    let good = guest::elf(guest::code());
    assert!(KernelImage::parse(good.clone()).is_ok());
    let with = |offset: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        KernelImage::parse(file).unwrap_err()
    };
    assert!(matches!(with(0, b"MZ"), ImageError::Elf(_)));
    assert!(matches!(with(16, &[3]), ImageError::Kind(_)), "position-independent");
    assert!(matches!(with(18, &[183]), ImageError::Kind(_)), "for ARM");
    assert!(matches!(with(32, &[0xff; 8]), ImageError::Elf(_)), "program headers at the end of the world");
    assert!(matches!(with(64, &[3]), ImageError::Kind(_)), "wants a dynamic linker");
    assert!(matches!(with(80, &[0; 8]), ImageError::Segment { .. }), "segment at address 0");
    assert!(matches!(with(104, &[0xff; 8]), ImageError::Segment { .. }), "endless in memory");
    assert!(matches!(with(96, &[0xff; 8]), ImageError::Segment { .. }), "endless in the file");
    assert!(matches!(with(72, &[0xff; 8]), ImageError::Elf(_)), "segment beyond the file");
    assert!(matches!(with(4096, b"x"), ImageError::Header(_)), "magic");
    assert!(matches!(with(4104, &[99]), ImageError::Version { found: 99, .. }));
    assert!(matches!(with(4112, &[0; 8]), ImageError::Header(_)), "entry");
    assert!(matches!(with(4152, &[0xff; 8]), ImageError::Header(_)), "stubs overflow");
    // Any single damage gives an answer, not a panic.
    for offset in (0..120).chain(4096..4160) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut file = good.clone();
            file[offset] = value;
            if let Err(error) = KernelImage::parse(file) {
                assert!(!error.to_string().is_empty(), "byte {offset}");
            }
        }
    }
    for len in 0..200 {
        assert!(KernelImage::parse(good[..len].to_vec()).is_err(), "{len} bytes");
    }
}

#[test]
fn impossible_machines_are_refused() {
    let (kvm, images) = (kvm(), images());
    let kernel = KernelImage::parse(guest::elf(guest::code())).unwrap();
    let mut memory = ParentMemory::new(guest::RAM).unwrap();
    let mut refused = |change: &dyn Fn(&mut vmm::BootSpec)| {
        let mut spec = spec();
        change(&mut spec);
        let error = Machine::boot(&kvm, &kernel, &mut memory, &images, &spec).err();
        assert!(matches!(error, Some(MachineError::Spec(_))), "{error:?}");
    };
    refused(&|spec| spec.ram_bytes *= 2);
    refused(&|spec| spec.env = vec![vec![b'x'; STRINGS_MAX]]);
    refused(&|spec| spec.args = vec![b"a\0b".to_vec()]);
    memory.seal().unwrap();
    assert!(Machine::boot(&kvm, &kernel, &mut memory, &images, &spec()).is_err());
}

#[test]
fn a_shortened_image_stops_the_guest_only() {
    use crate::fixture::{LOAD, World, request, run};
    let mut world = World::new();
    let path = std::env::temp_dir().join(format!("spore-image-{}", std::process::id()));
    std::fs::write(&path, vec![1; 1 << 20]).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    world.images.root = std::sync::Arc::new(vmm::Image::map(&file).unwrap());
    let mut machine = world.fork(&request(&[LOAD, abi::layout::ROOT_VA + 0x8_0000]));
    file.set_len(0).unwrap();
    let exit = run(&mut machine);
    assert!(matches!(exit, vmm::Exit::Other(_) | vmm::Exit::Stray { .. }), "{exit:?}");
}
