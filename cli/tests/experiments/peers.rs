//! The platform beside other servers.

use crate::common::fake::Fake;
use crate::common::{code, stderr, stdout};
use crate::document::{experiment, measure, values};

#[test]
fn peers_are_measured_beside_the_baselines() {
    let other = Fake::answering("200 OK", &[], "hello, I am another");
    let peer = format!("other={}/path", other.url);
    let document = measure(&[
        "peers",
        "--repetitions",
        "2",
        "--connections",
        "2",
        "--duration",
        "300ms",
        "--peer",
        &peer,
        "--contains",
        "another",
    ]);
    for name in [
        "spore python-hello",
        "spore node-hello",
        "spore rust-hello",
        "python warm-server",
        "python os-fork",
        "python exec",
        "other",
    ] {
        assert_eq!(values(&document, &format!("{name} x 2 answers")).len(), 2, "{name}");
        assert_eq!(values(&document, &format!("{name} x 2 failed")), [0.0, 0.0], "{name}");
    }
    assert!(other.request().line.starts_with("GET /path "));
}

#[test]
fn a_peer_that_does_not_answer_as_expected_is_named_before_anything_is_measured() {
    let other = Fake::answering("200 OK", &[], "hello, I am another");
    let peer = format!("wrong={}/path", other.url);
    for (arguments, why) in [
        (
            &["peers", "--peer", "dead=http://127.0.0.1:1/x"][..],
            "`dead` cannot be measured: http://127.0.0.1:1/x: ",
        ),
        (&["peers", "--peer", &peer, "--contains", "nothing of it"], "the body is not the one expected"),
    ] {
        let output = experiment(arguments);
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        assert!(stdout(&output).is_empty() && stderr(&output).contains(why), "{}", stderr(&output));
        assert!(!stderr(&output).contains("starting a platform"), "{}", stderr(&output));
    }
}
