//! JavaScript functions, from the command line to the answer.

use crate::platform::Platform;
use crate::streams::read_events;
use std::fs;
use std::path::Path;

/// A package in the platform's own directory.
fn package(platform: &Platform, name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let directory = platform.data.path().join(name);
    for (file, text) in files {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

#[test]
fn a_javascript_function_is_deployed_and_answers() {
    let platform = Platform::start();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/node-hello");
    platform.deploy(&example, &["--timeout", "30s"]);
    let mut instances = std::collections::HashSet::new();
    for _ in 0..3 {
        let response = platform.get("/function/node-hello?name=Ada");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json(), serde_json::json!({"message": "Hello, Ada!", "calls": 1}));
        instances.insert(response.header("x-spore-instance").unwrap_or_default().to_owned());
    }
    assert_eq!(instances.len(), 3);

    // CommonJS with a package of its own, a streamed answer, an error.
    let source = "const words = require('words');
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.rawPath === '/breaks') {
    stream.write('half');
    await new Promise((go) => setTimeout(go, 3000));
    throw new RangeError('half way');
  }
  if (event.rawPath === '/ticks') for (;;) {
    stream.write('tick');
    await new Promise((go) => setTimeout(go, 5));
  }
  if (event.rawPath === '/fails') throw new RangeError('as asked');
  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { 'content-type': 'text/plain' } });
  stream.write(words.join(' '));
  setTimeout(() => stream.end('!'), 5);
});
";
    let manifest = r#"{"dependencies": {"words": "1"}}"#;
    let streaming = package(&platform, "streaming", &[("index.js", source), ("package.json", manifest)]);
    let refused = platform.spore(&["deploy", streaming.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("npm install"), "{said}");
    package(&platform, "streaming", &[("node_modules/words/index.js", "module.exports = ['two', 'words'];")]);
    platform.deploy(&streaming, &["--timeout", "30s"]);
    let response = platform.get("/function/streaming/");
    assert_eq!((response.status, response.text().as_str()), (201, "two words!"));
    let mut endless = platform.connect();
    endless.send("GET", "/function/streaming/ticks", &[], b"");
    assert_eq!(endless.receive_head().header("content-type"), Some("application/octet-stream"));
    for _ in 0..3 {
        assert!(endless.chunk().unwrap().starts_with(b"tick"));
    }
    drop(endless);
    let mut breaks = platform.connect();
    breaks.send("GET", "/function/streaming/breaks", &[], b"");
    assert_eq!(breaks.receive_head().status, 200);
    assert_eq!(read_events(&mut breaks), ("half".to_owned(), false));
    assert!(platform.spore_ok(&["logs", "streaming"]).contains("[ERROR] RangeError: half way"));
    let failed = platform.get("/function/streaming/fails");
    assert!(failed.status >= 500 && failed.text().contains("as asked"), "{}", failed.text());

    // What cannot be imported is told at deploy.
    let broken = package(&platform, "broken", &[("app.mjs", "export const handler = async ( => 1;\n")]);
    let refused = platform.spore(&["deploy", broken.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("app.mjs:1"), "{said}");
}
