//! A Python function brings what `requirements.txt` asks for.

use crate::platform::Platform;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Makes a wheel with a module and a `.pth` file, as namespace packages have them.
const WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/greet-1.2-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greet.py", "from below import NAME\ndef hello(): return 'hello ' + NAME\n")
    wheel.writestr("greet_more/below.py", "NAME = 'wheel'\n")
    wheel.writestr("greet.pth", "greet_more\n")
    wheel.writestr("greet-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: greet\nVersion: 1.2\n")
    wheel.writestr("greet-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("greet-1.2.dist-info/RECORD", "")
"#;

fn make_wheel(directory: &Path) {
    fs::create_dir(directory).unwrap();
    let status = Command::new("python3").args(["-c", WHEEL]).arg(directory).status();
    assert!(status.expect("python3 is installed").success());
}

#[test]
fn requirements_are_installed_at_deploy() {
    let platform = Platform::start();
    let package = platform.data.path().join("greeter");
    fs::create_dir(&package).unwrap();
    let wheels = platform.data.path().join("wheels");
    make_wheel(&wheels);
    let source = "import greet\n\ndef handler(event, context):\n    return {'statusCode': 200, 'body': greet.hello()}\n";
    fs::write(package.join("app.py"), source).unwrap();
    let requirements = format!("--no-index\n--find-links {}\ngreet==1.2\n", wheels.display());
    fs::write(package.join("requirements.txt"), requirements).unwrap();
    platform.deploy(&package, &[]);
    let response = platform.connect().get("/function/greeter");
    assert_eq!((response.status, response.text().as_str()), (200, "hello wheel"));
    assert!(!package.join(".python_packages").exists(), "the user's directory is left alone");
}
