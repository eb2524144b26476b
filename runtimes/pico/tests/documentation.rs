//! The compatibility page in `docs/` is what the table says.

#[test]
fn the_page_of_system_calls_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SYSCALLS.md");
    let page = std::fs::read_to_string(path).expect("docs/SYSCALLS.md exists");
    assert!(
        page == pico::syscall::markdown(),
        "docs/SYSCALLS.md is out of date; run `cargo run -p pico --example syscalls-md > docs/SYSCALLS.md`"
    );
}

#[test]
fn every_name_is_listed_once() {
    let entries = pico::syscall::entries();
    for pair in entries.windows(2) {
        assert!(pair[0].number < pair[1].number, "{} and {}", pair[0].name, pair[1].name);
        assert_ne!(pair[0].name, pair[1].name);
    }
}
