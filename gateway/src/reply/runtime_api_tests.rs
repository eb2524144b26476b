use super::*;
use proptest::prelude::*;

fn of(bytes: impl AsRef<[u8]>) -> Result<Answer, Failure> {
    answer(&Bytes::copy_from_slice(bytes.as_ref()))
}

fn raised(bytes: &str) -> (String, String) {
    match of(bytes) {
        Err(Failure::FunctionError { kind, message }) => (kind, message),
        other => panic!("{bytes:?}: {other:?}"),
    }
}

#[test]
fn a_response_is_mapped_like_a_handlers_result() {
    let plain = of("response \n {\"a\": [1]} \n").unwrap();
    assert_eq!((plain.status.as_u16(), plain.body.as_ref()), (200, &b"{\"a\": [1]}"[..]));
    assert_eq!(plain.headers[CONTENT_TYPE], "application/json");
    let whole = r#"{"statusCode":201,"headers":{"x-a":"b"},"cookies":["c=d","e=f"],"body":"AAH/","isBase64Encoded":true}"#;
    let whole = of(format!("response \n{whole}")).unwrap();
    assert_eq!((whole.status.as_u16(), whole.body.as_ref()), (201, &[0, 1, 255][..]));
    assert_eq!(whole.headers["x-a"], "b");
    assert_eq!(whole.headers.get_all("set-cookie").iter().count(), 2);
}

#[test]
fn errors_take_their_type_and_message_from_the_document_or_what_there_is() {
    let pair = |kind: &str, message: &str| (kind.to_owned(), message.to_owned());
    let document = r#"{"errorMessage":"no","errorType":"ValueError","stackTrace":[]}"#;
    assert_eq!(raised(&format!("error unhandled\n{document}")), pair("ValueError", "no"));
    assert_eq!(raised("error Some.Type\n"), pair("Some.Type", ""));
    assert_eq!(raised("error \nplain text"), pair("Unhandled", "plain text"));
    assert_eq!(raised("error T\n{\"errorType\":null}"), pair("T", ""));
    let encoded = STANDARD.encode(document);
    assert_eq!(raised(&format!("broken X\n{encoded}")), pair("ValueError", "no"));
    assert_eq!(raised("broken X\nnot base64!"), pair("X", ""));
}

#[test]
fn a_stream_is_a_body_that_may_begin_with_status_and_header_fields() {
    let plain = of(b"stream text/html\n<p>\0").unwrap();
    assert_eq!(
        (plain.headers[CONTENT_TYPE].as_bytes(), plain.body.as_ref()),
        (&b"text/html"[..], &b"<p>\0"[..])
    );
    assert_eq!(of("stream \nx").unwrap().headers[CONTENT_TYPE], "application/octet-stream");
    let prelude = r#"{"statusCode":418,"headers":{"content-type":"text/x"},"cookies":["a=b"]}"#;
    let body = [0, 0, 9];
    let bytes = [format!("stream {HTTP_INTEGRATION}\n{prelude}").as_bytes(), &PRELUDE_END, &body].concat();
    let whole = of(bytes).unwrap();
    assert_eq!((whole.status.as_u16(), whole.body.as_ref()), (418, &body[..]));
    assert_eq!(
        (&whole.headers[CONTENT_TYPE], &whole.headers["set-cookie"]),
        (&"text/x".parse().unwrap(), &"a=b".parse().unwrap())
    );
    let empty = of([format!("stream {HTTP_INTEGRATION}\n{{}}").as_bytes(), &PRELUDE_END].concat()).unwrap();
    assert_eq!((empty.status.as_u16(), empty.body.len()), (200, 0));
}

#[test]
fn what_cannot_be_mapped_is_said_to_be_so() {
    for bytes in [
        "",
        "response",
        "nonsense \n{}",
        "response \n",
        "response \nnot JSON",
        "response \n{} {}",
        "response \n{\"statusCode\":99}",
        "stream application/vnd.awslambda.http-integration-response\n{}",
        "stream application/vnd.awslambda.http-integration-response\nno JSON\0\0\0\0\0\0\0\0",
    ] {
        assert!(matches!(of(bytes), Err(Failure::InvalidResponse(_))), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_mapped_or_refused(
        kind in prop::sample::select(vec!["response", "stream", "error", "broken", "x"]),
        rest in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        // Whatever it is: it returns.
        let _ = of([kind.as_bytes(), b" ", &rest].concat());
    }
}
