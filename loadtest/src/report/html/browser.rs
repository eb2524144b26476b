//! The page in a real browser: at two widths, light and dark.

use super::page;
use crate::report::{Document, samples};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tungstenite::{Message, WebSocket};

const CHECK: &str = include_str!("browser.js");
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// For an answer of the browser, on the slowest of machines.
const PATIENCE: Duration = Duration::from_secs(120);

/// Chromium, driven by its DevTools protocol.
struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    calls: u64,
    /// What it reported by itself.
    events: Vec<Value>,
}

impl Browser {
    fn start(home: &Path) -> Browser {
        let mut process = NAMES.iter().find_map(|name| spawn(name, home)).unwrap_or_else(|| {
            panic!("none of {NAMES:?} is in PATH: install Debian's package `chromium`, or run `cargo xtask tools` as root")
        });
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("DevTools listening on ").map(str::to_owned))
            .expect("the browser ended before it was ready");
        // Nobody reads what it prints later; it must not block on that, nor end.
        std::thread::spawn(move || lines.for_each(drop));
        let host = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(&address, stream).unwrap();
        let mut browser = Browser { process, socket, session: String::new(), calls: 0, events: Vec::new() };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Log", "Runtime"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            call["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            let message = self.receive();
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn receive(&mut self) -> Value {
        let message = self.socket.read().expect("the browser answers");
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    /// Opens a page, and gives all that is wrong with it.
    fn check(&mut self, file: &Path, width: u32, scheme: &str) -> Vec<String> {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media);
        self.events.clear();
        self.call("Page.navigate", json!({"url": format!("file://{}", file.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let message = self.receive();
            self.events.push(message);
        }
        let answer = self.call("Runtime.evaluate", json!({"expression": CHECK, "returnByValue": true}));
        let wrong = answer["result"]["value"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let mut wrong: Vec<String> = wrong.iter().map(Value::to_string).collect();
        let loud = ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"];
        let said = self.events.iter().filter(|event| loud.iter().any(|method| event["method"] == *method));
        wrong.extend(said.map(|event| format!("on the console: {}", event["params"])));
        wrong
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(name: &str, home: &Path) -> Option<Child> {
    Command::new(name)
        // The sandbox does not work for root; the pages are our own.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "about:blank"])
        .arg(format!("--user-data-dir={}", home.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()
}

fn documents() -> Vec<(&'static str, Document)> {
    let renamed = |text: &str| {
        let mut document = samples::hostile();
        samples::rename(&mut document, text);
        document
    };
    vec![
        ("usual", samples::document()),
        ("hostile", samples::hostile()),
        ("long", renamed(&"0123456789".repeat(300))),
        (
            "right-to-left",
            renamed(
                "\u{202e}<b>\u{5e9}\u{5dc}\u{5d5}\u{5dd}</b> \u{627}\u{644}\u{633}\u{644}\u{627}\u{645} \"'&",
            ),
        ),
        ("empty", renamed("")),
    ]
}

#[test]
fn pages_are_readable_at_two_widths_in_light_and_dark() {
    let directory = tempfile::tempdir().unwrap();
    let mut browser = Browser::start(&directory.path().join("home"));
    let mut wrong = Vec::new();
    for (name, document) in documents() {
        let file = directory.path().join(format!("{name}.html"));
        std::fs::write(&file, page(&document)).unwrap();
        for width in [360, 1280] {
            for scheme in ["light", "dark"] {
                let found = browser.check(&file, width, scheme);
                wrong
                    .extend(found.into_iter().take(5).map(|what| format!("{name} {width} {scheme}: {what}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
