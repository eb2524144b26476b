//! The functions that experiments deploy: they say hello, hold their VM, end it, dirty it, and tell what they find of others.

use crate::call::Call;
use crate::expect::Expect;

/// In Python.
pub const PYTHON: (&str, &[u8]) = ("app.py", include_bytes!("functions/app.py"));
/// In JavaScript.
pub const NODE: (&str, &[u8]) = ("index.mjs", include_bytes!("functions/index.mjs"));

/// Name of the usual call that leaves a secret.
pub const SECRET: &str = "secret";
/// Name of such a call that also writes much.
pub const DIRTY: &str = "dirty";

/// Greets; the answer must be of a function that was never called before.
pub fn hello(base: &str, name: &str) -> Call {
    let expect = Expect { contains: Some("Spore!".to_owned()), ..Expect::default() };
    Call { name: name.to_owned(), expect, ..Call::get(&format!("{base}/?name=Spore")) }
}

/// Greets after `seconds`, in which its VM is taken.
pub fn held(base: &str, name: &str, seconds: f64) -> Call {
    let path = format!("{base}/?name=Spore&hold={seconds}");
    Call { path, ..hello(base, name) }
}

/// Ends its program without an answer, which the platform reports as an error of the function.
pub fn exits(base: &str) -> Call {
    let expect = Expect { status: Some(502), ..Expect::default() };
    Call { name: "exits".to_owned(), expect, ..Call::get(&format!("{base}/?exit=1")) }
}

/// Leaves a secret in memory, environment, files and connections, and must find none of another request; `dirty_mib` of
/// memory are written besides.
pub fn secret(base: &str, name: &str, secret: &str, dirty_mib: Option<u32>) -> Call {
    let dirty = dirty_mib.map(|mib| format!("&dirty={mib}")).unwrap_or_default();
    // The whole answer: nothing of it may be otherwise.
    let wanted = serde_json::json!({ "secret": secret, "found": [], "calls": 1 });
    let expect = Expect { json: Some((String::new(), wanted)), ..Expect::default() };
    Call { name: name.to_owned(), expect, ..Call::get(&format!("{base}/?secret={secret}{dirty}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// What the Python function answers to two requests in one process, which is not isolated.
    fn two_in_one_process() -> Vec<String> {
        let program = "import json, sys, app\nfor line in sys.stdin:\n    print(json.dumps(app.handler({'queryStringParameters': json.loads(line)}, None)), flush=True)\n";
        let directory = tempfile::tempdir().unwrap();
        // Not the file that the function leaves where it runs.
        let source = String::from_utf8(PYTHON.1.to_vec()).unwrap();
        let mark = directory.path().join("mark").display().to_string();
        let source = source.replace("/tmp/left-by-a-request", &mark);
        std::fs::write(directory.path().join(PYTHON.0), source).unwrap();
        let mut child = Command::new("python3")
            .args(["-c", program])
            .env("PYTHONPATH", directory.path())
            .env_remove("SECRET")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = b"{\"secret\": \"one\"}\n{\"secret\": \"two\"}\n";
        child.stdin.take().unwrap().write_all(requests).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_not_isolated_is_found_out_everywhere() {
        let answers = two_in_one_process();
        let check =
            |name: &str, answer: &str| secret("", name, name, None).expect.check(200, answer.as_bytes());
        assert_eq!(check("one", &answers[0]), Ok(()), "{answers:?}");
        assert!(check("two", &answers[1]).is_err() && check("two", &answers[0]).is_err());
        for place in ["counter", "memory", "environment", "file", "connection", "module", "directory"] {
            assert!(answers[1].contains(place), "{place}: {answers:?}");
        }
    }
}
