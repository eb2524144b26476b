//! The rules of the house hold: `cargo test` fails where `cargo xtask tidy` does.

#[test]
fn the_repository_is_tidy() {
    let problems = xtask::tidy::problems(&xtask::root()).expect("the tree can be read");
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
