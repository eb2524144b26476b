use snapshotter::drive::*; use snapshotter::erofs::*; use std::fs::File; use std::sync::Arc; use vmm::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let kvm = Kvm::open("/dev/kvm".as_ref()).unwrap();
    let kernel = KernelImage::parse(runtimes::PICO).unwrap();
    let root = &a[1]; let http = a[2] == "http";
    let pkg = "/tmp/try.erofs"; std::fs::create_dir_all("/tmp/trypkg").unwrap();
    build_from_dir("/tmp/trypkg".as_ref(), pkg.as_ref(), &Options::default()).unwrap();
    let images = Images { root: Arc::new(Image::map(&File::open(root).unwrap()).unwrap()), package: Some(Arc::new(Image::map(&File::open(pkg).unwrap()).unwrap())) };
    let spec = BootSpec { ram_bytes: (8 + 128) << 20, contract: if http { abi::boot::Contract::Http } else { abi::boot::Contract::Handler }, port: 8080, args: a[3..].iter().map(|s| s.clone().into_bytes()).collect(), env: vec![b"PATH=/usr/bin:/bin".to_vec(), b"PORT=8080".to_vec(), b"HOME=/tmp".to_vec()] };
    let id = abi::identity::Identity { generation: 0, wall_ns: 1_700_000_000_000_000_000, monotonic_ns: monotonic_ns(), tsc_khz: 0, seed: [7; 32], instance: [1; 16] };
    let int = Interrupt::default();
    let i2 = int.clone(); std::thread::spawn(move || { std::thread::sleep(std::time::Duration::from_secs(20)); i2.fire() });
    let t = std::time::Instant::now();
    let r = snapshotter::parent::build(&kvm, &kernel, &images, &spec, id, &int, &mut |l| { println!("LOG {:?}", String::from_utf8_lossy(&l)); });
    println!("build {:?}", t.elapsed());
    let b = match r { Ok(b) => b, Err(e) => { println!("ERR {e:?}"); return } };
    println!("resident {} unsupported {:?}", b.parent.memory.resident_bytes(), b.unsupported);
    let parent = Arc::new(b.parent);
    let t = std::time::Instant::now();
    let mut m = Machine::fork(&kvm, &parent, &images).unwrap(); int.attach(m.kicker());
    println!("fork {:?}", t.elapsed());
    let req: &[u8] = if http { b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" } else { b"{\"event\":{\"rawPath\":\"/\"},\"context\":{\"request_id\":\"r\",\"deadline_ms\":1,\"function_name\":\"f\",\"memory_mb\":128}}\n" };
    let mut times = vec![];
    let khz = m.tsc_khz();
    for i in 0..500u64 {
        let t = std::time::Instant::now();
        m.mailbox().set_request(req).unwrap();
        m.mailbox().set_identity(&abi::identity::Identity { generation: i + 1, wall_ns: 1_700_000_000_000_000_000, monotonic_ns: monotonic_ns(), tsc_khz: khz, seed: [8; 32], instance: [1; 16] });
        m.enter().unwrap(); let e = t.elapsed();
        let s = drive(&mut m, &int, true, &mut |l| println!("LOG {:?}", String::from_utf8_lossy(&l))).unwrap(); let r = t.elapsed();
        let body = match s.stop { Stop::Response(n) => m.mailbox().response(n).unwrap(), o => { println!("STOP {o:?}"); return } };
        let st = m.restore().unwrap(); let z = t.elapsed();
        if i < 3 || i == 499 { println!("enter {e:?} run {:?} restore {:?} {st:?} {:?}", r - e, z - r, String::from_utf8_lossy(&body)); }
        times.push(r);
    }
    times.sort(); println!("p50 {:?} p99 {:?}", times[250], times[495]);
}
