use super::*;
use proptest::prelude::*;

const INTEGRATION: &str = "chunks application/vnd.awslambda.http-integration-response\n";
const PRELUDE: &str = r#"{"statusCode":418,"headers":{"x-tea":"green"},"cookies":["a=b","c=d"]}"#;

fn begin(bytes: impl AsRef<[u8]>) -> Beginning {
    Beginning::of(&Bytes::copy_from_slice(bytes.as_ref())).expect("a stream").expect("valid")
}

fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

#[test]
fn only_streams_are_streams() {
    for other in ["", "chunks", "{\"result\":1}\n", "stream text/x\nx", "response \n1", "chunksy \n"] {
        assert!(Beginning::of(&Bytes::copy_from_slice(other.as_bytes())).is_none(), "{other}");
    }
}

#[test]
fn the_head_is_known_when_the_prelude_has_come() {
    let whole = [PRELUDE.as_bytes(), &PRELUDE_END, b"first"].concat();
    let mut beginning = begin(INTEGRATION);
    for byte in &whole[..whole.len() - b"first".len()] {
        assert!(beginning.head().unwrap().is_none());
        beginning.take(chunk([*byte]).into()).unwrap();
    }
    beginning.take(chunk("fi").into()).unwrap();
    let answer = beginning.head().unwrap().expect("it is complete");
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (418, &b"fi"[..]));
    assert_eq!(
        (&answer.headers["x-tea"], answer.headers.get_all("set-cookie").iter().count()),
        (&"green".parse().unwrap(), 2)
    );
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let mut decoder = beginning.into_decoder();
    assert_eq!(decoder.decode(chunk("rst").into()).unwrap(), "rst");
    assert!(decoder.finish().is_err(), "it goes on");
    decoder.decode(Bytes::from_static(b"0\r\n\r\n")).unwrap();
    decoder.finish().unwrap();
}

#[test]
fn without_a_prelude_the_type_of_the_content_is_all() {
    let answer = begin("chunks text/html\n").head().unwrap().unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-type"]),
        (200, &"text/html".parse().unwrap())
    );
    assert_eq!(
        begin("chunks \n").head().unwrap().unwrap().headers["content-type"],
        "application/octet-stream"
    );
    let whole = begin("chunks text/x\n2\r\nab\r\n0\r\n\r\n").whole().unwrap();
    assert_eq!(&whole.body[..], b"ab");
}

#[test]
fn trailers_say_that_it_ended_in_an_error() {
    let error = |trailers: &str| match begin(format!("chunks text/x\n1\r\na\r\n0\r\n{trailers}\r\n")).whole()
    {
        Err(Failure::FunctionError { kind, message }) => (kind, message),
        other => panic!("{trailers}: {other:?}"),
    };
    let pair = |kind: &str, message: &str| (kind.to_owned(), message.to_owned());
    let kind = "Lambda-Runtime-Function-Error-Type: Broke\r\n";
    assert_eq!(error(kind), pair("Broke", ""));
    // {"errorMessage":"half way"}
    let body = "lambda-runtime-function-error-body: eyJlcnJvck1lc3NhZ2UiOiJoYWxmIHdheSJ9\r\n";
    assert_eq!(error(&format!("{body}X: y\r\n{kind}")), pair("Broke", "half way"));
    let long = "A".repeat(40_000);
    assert_eq!(error(&format!("{kind}Lambda-Runtime-Function-Error-Body: {long}\r\n")).0, "Broke");
    begin("chunks text/x\n0\r\nX: y\r\n\r\n").whole().unwrap();
}

#[test]
fn what_is_malformed_or_cut_short_is_said_to_be_so() {
    for body in ["", "1\r\n", "1\r\na\r\n", "0\r\n", "0\r\nno colon\r\n\r\n", "1\r\na\r\n0\r\nX: y\r\n"] {
        let whole = begin(format!("chunks text/x\n{body}")).whole();
        assert!(matches!(whole, Err(Failure::InvalidResponse(_))), "{body:?}: {whole:?}");
    }
    let none = begin(format!("{INTEGRATION}2\r\n{{}}\r\n0\r\n\r\n")).whole();
    assert!(matches!(none, Err(Failure::InvalidResponse(_))), "{none:?}");
    let mut endless = begin(INTEGRATION);
    endless.take(chunk(vec![b' '; PRELUDE_MAX]).into()).unwrap();
    assert!(endless.head().unwrap().is_none());
    endless.take(chunk(" ").into()).unwrap();
    assert!(matches!(endless.head(), Err(Failure::InvalidResponse(_))));
    let many = format!("chunks text/x\n0\r\nX: {}\r\n", "y".repeat(70_000));
    assert!(Beginning::of(&many.into()).unwrap().is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_mapped_or_refused(prelude in any::<bool>(), rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let line = if prelude { INTEGRATION } else { "chunks text/x\n" };
        if let Some(Ok(mut beginning)) = Beginning::of(&[line.as_bytes(), &rest].concat().into()) {
            let _ = beginning.head();
            let _ = beginning.whole();
        }
    }
}
