use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn map(document: &str) -> Result<Answer, Failure> {
    answer(&Bytes::copy_from_slice(document.as_bytes()))
}

fn result(value: &Value) -> Result<Answer, Failure> {
    map(&json!({ "result": value }).to_string())
}

fn reason(outcome: Result<Answer, Failure>) -> String {
    match outcome {
        Err(Failure::InvalidResponse(reason)) => reason,
        other => panic!("expected InvalidResponse, got {other:?}"),
    }
}

#[test]
fn a_plain_value_is_a_json_body() {
    for text in ["null", "1", "\"x\"", "[1, 2]", r#"{"a": {"statusCode": 1}}"#, "{}"] {
        let answer = map(&format!("{{\"result\": {text} }}\n")).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.body, text);
    }
}

#[test]
fn a_response_object_is_taken_apart() {
    let answer = result(&json!({
        "statusCode": 418,
        "headers": {"Content-Type": "text/plain", "X-N": 5, "X-B": true, "X-L": ["a", "b"], "X-Null": null},
        "multiValueHeaders": {"X-L": ["b", "c"], "X-M": [1]},
        "cookies": ["a=1; Path=/", "b=2"],
        "body": "short and \"stout\" é",
    }))
    .unwrap();
    let all = |name: &str| {
        answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(answer.status, 418);
    assert_eq!(all("content-type"), ["text/plain"]);
    assert_eq!((all("x-n"), all("x-b"), all("x-m")), (vec!["5"], vec!["true"], vec!["1"]));
    assert_eq!(all("x-l"), ["a", "b", "c"]);
    assert_eq!(all("x-null"), Vec::<&str>::new());
    assert_eq!(all("set-cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!(answer.body, "short and \"stout\" é");
}

#[test]
fn status_codes_are_whole_numbers_in_range() {
    for good in [json!(200), json!("404"), json!(599), json!(500.0)] {
        let answer = result(&json!({ "statusCode": good })).unwrap();
        assert_eq!(answer.status.as_u16(), good.as_f64().map_or(404, |n| format!("{n}").parse().unwrap()));
    }
    for bad in [
        json!(100),
        json!(199),
        json!(600),
        json!(-1),
        json!(200.5),
        json!("ok"),
        json!(null),
        json!([]),
        json!(1e300),
    ] {
        assert!(reason(result(&json!({ "statusCode": bad }))).contains("statusCode"), "{bad}");
    }
}

#[test]
fn bodies_are_strings_and_base64_is_decoded() {
    let body = |value: Value, base64: Value| {
        result(&json!({"statusCode": 200, "body": value, "isBase64Encoded": base64}))
    };
    assert_eq!(body(json!("/wA="), json!(true)).unwrap().body, &[0xff, 0][..]);
    assert_eq!(body(json!("plain"), json!(null)).unwrap().body, "plain");
    assert_eq!(body(json!(null), json!(false)).unwrap().body, "");
    assert!(reason(body(json!("%%%"), json!(true))).contains("base64"));
    assert!(reason(body(json!({"a": 1}), json!(false))).contains("body"));
    assert!(reason(body(json!(5), json!(true))).contains("body"));
    assert!(reason(body(json!("x"), json!("yes"))).contains("isBase64Encoded"));
    assert!(reason(map(r#"{"result":{"statusCode":200,"body":"\ud800"}}"#)).contains("Unicode"));
}

#[test]
fn a_body_without_content_type_is_json_and_no_body_has_none() {
    assert_eq!(
        result(&json!({"statusCode": 200, "body": "{}"})).unwrap().headers["content-type"],
        "application/json"
    );
    assert!(result(&json!({"statusCode": 200})).unwrap().headers.is_empty());
    assert_eq!(result(&json!({"statusCode": 204, "body": "x"})).unwrap().body, "");
}

#[test]
fn header_injection_is_refused() {
    for headers in [
        json!({"x": "a\r\nset-cookie: b"}),
        json!({"x": "a\nb"}),
        json!({"x": "a\u{0}"}),
        json!({"x y": "a"}),
        json!({"": "a"}),
        json!({"x\r\ny": "a"}),
        json!({"x": {"a": 1}}),
        json!([1]),
        json!("x"),
    ] {
        reason(result(&json!({"statusCode": 200, "headers": headers})));
    }
    assert!(reason(result(&json!({"statusCode": 200, "cookies": ["a\r\nb"]}))).contains("set-cookie"));
    assert!(reason(result(&json!({"statusCode": 200, "cookies": [1]}))).contains("cookies"));
    reason(result(&json!({"statusCode": 200, "multiValueHeaders": {"x": "not a list"}})));
}

#[test]
fn fields_of_the_connection_are_dropped() {
    let headers = json!({
        "Connection": "close, x-hop", "X-Hop": "1", "Transfer-Encoding": "chunked", "Content-Length": "999",
        "Keep-Alive": "x", "Upgrade": "h2c", "X-Stays": "1",
    });
    let answer = result(&json!({"statusCode": 200, "headers": headers, "body": "x"})).unwrap();
    let names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&"x-stays") && names.contains(&"content-type"));
}

#[test]
fn header_limits_hold() {
    let many: serde_json::Map<_, _> = (0..101).map(|n| (format!("x-{n}"), json!("v"))).collect();
    assert!(reason(result(&json!({"statusCode": 200, "headers": many}))).contains("100"));
    let long = json!({"x": "v".repeat(70_000)});
    assert!(reason(result(&json!({"statusCode": 200, "headers": long}))).contains("65536"));
}

#[test]
fn errors_keep_type_and_message() {
    let failure = map(r#"{"error": {"type": "KeyError", "message": "'k'"}}"#).unwrap_err();
    let Failure::FunctionError { kind, message } = failure else { panic!("{failure:?}") };
    assert_eq!((kind.as_str(), message.as_str()), ("KeyError", "'k'"));
    let long = map(&json!({"error": {"type": "E", "message": "é".repeat(50_000)}}).to_string()).unwrap_err();
    let Failure::FunctionError { message, .. } = long else { panic!("{long:?}") };
    assert_eq!(message.len(), ERROR_TEXT_MAX);
}

#[test]
fn anything_else_is_an_invalid_response() {
    for document in [
        "",
        "x",
        "[]",
        "1",
        "null",
        "{}",
        r#"{"result":1,"error":{}}"#,
        r#"{"result":1"#,
        r#"{"result":1} x"#,
        r#"{"result":1,"result":2}"#,
        r#"{"result":NaN}"#,
        r#"{"error":"text"}"#,
        r#"{"error":{"type":1}}"#,
        r#"{"result":{"statusCode":200,"statusCode":201}}"#,
    ] {
        reason(map(document));
    }
    reason(answer(&Bytes::from_static(b"{\"result\":\"\xff\"}")));
}

#[test]
fn depth_bombs_are_refused() {
    let nested = |depth: usize| format!("{{\"result\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(map(&nested(DEPTH_MAX)).is_ok());
    assert!(reason(map(&nested(DEPTH_MAX + 1))).contains("nested"));
    reason(map(&nested(1_000_000)));
    let headers = format!(
        "{{\"result\":{{\"statusCode\":200,\"headers\":{}{}}}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    reason(map(&headers));
    assert!(map(&format!("{{\"result\":\"{}\"}}", "[\\\"{".repeat(1000))).is_ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![
            Just("statusCode".to_owned()),
            Just("headers".to_owned()),
            Just("body".to_owned()),
            Just("cookies".to_owned()),
            Just("isBase64Encoded".to_owned()),
            ".{0,4}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        drop(answer(&Bytes::from(bytes)));
    }

    #[test]
    fn any_document_maps_or_is_refused(value in any_json()) {
        match result(&value) {
            Ok(answer) if value.get("statusCode").is_none() => {
                prop_assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), serde_json::from_str::<Value>(&value.to_string()).unwrap());
            }
            Ok(answer) => prop_assert!((200..600).contains(&answer.status.as_u16())),
            Err(Failure::InvalidResponse(_)) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn mutated_documents_are_survived(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut document = br#"{"result":{"statusCode":200,"headers":{"a":"b"},"cookies":["c"],"body":"eA==","isBase64Encoded":true}}"#.to_vec();
        let at = at.index(document.len());
        document[at] = byte;
        drop(answer(&Bytes::from(document)));
    }
}
