//! Builds the real images (once for each machine) and looks into what came out. The programs of an image run
//! natively here, through the image's own loader.

use super::*;
use precompile::image_program;
use run::run;

/// Unpacks an image with a small reader of our own, so that the tests need neither root nor a mount.
mod reader;

fn image(name: &str) -> RootImage {
    prepare(name, &crate::cache_dir(), &|line| println!("{line}")).unwrap()
}

/// The contents of an image in a directory.
fn unpacked(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    reader::extract(&fs::read(image(name).path).unwrap(), directory.path());
    directory
}

/// What a Python program prints, run by the image's interpreter.
fn python(root: &Path, program: &str) -> String {
    let mut command = image_program(root, "usr/bin/python3.11");
    run(command.args(["-s", "-P", "-c", program])).unwrap().trim().to_owned()
}

#[test]
fn a_second_call_returns_the_same_image_without_building() {
    for name in names() {
        let first = image(name);
        let silent = |line: &str| assert!(line.contains("another process"), "{line}");
        assert_eq!(prepare(name, &crate::cache_dir(), &silent).unwrap(), first);
        assert_eq!(first.name, name);
        assert_eq!(index::sha256_of_file(&first.path).unwrap(), first.sha256);
    }
}

#[test]
fn the_tree_is_a_merged_usr_system_with_places_to_mount() {
    for name in names() {
        let root = unpacked(name);
        let root = root.path();
        for (link, target) in
            [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")]
        {
            assert_eq!(fs::read_link(root.join(link)).unwrap(), Path::new(target), "{name}");
        }
        for directory in ["proc", "sys", "dev/shm", "tmp", "var/tmp", "var/task", "run", "etc"] {
            assert!(root.join(directory).is_dir(), "{name}: {directory}");
        }
        for file in [
            "etc/passwd",
            "etc/group",
            "etc/hosts",
            "etc/nsswitch.conf",
            "etc/resolv.conf",
            "etc/ld.so.cache",
        ] {
            assert!(root.join(file).is_file(), "{name}: {file}");
        }
        assert_eq!(stage::dangling(root).unwrap(), Vec::<String>::new());
        let loader = stage::resolve(root, "lib64/ld-linux-x86-64.so.2").unwrap();
        assert!(fs::read(loader).unwrap().starts_with(b"\x7fELF"));
        let cache = fs::read(root.join("etc/ld.so.cache")).unwrap();
        let knows = |library: &[u8]| cache.windows(library.len()).any(|window| window == library);
        assert!(knows(b"/lib/x86_64-linux-gnu/libc.so.6"), "{name}");
        assert!(!knows(root.as_os_str().as_encoded_bytes()));
        assert!(!root.join("usr/share/doc").exists() && !root.join("var/cache").exists());
    }
}

#[test]
fn the_interpreter_is_debians_and_finds_its_library() {
    let root = unpacked("python3.11");
    let version = python(root.path(), "import sys; print(sys.version_info[:2], sys.implementation.name)");
    assert_eq!(version, "(3, 11) cpython");
    assert_eq!(fs::read_link(root.path().join("usr/bin/python3")).unwrap(), Path::new("python3.11"));
    let zone = python(
        root.path(),
        "import zoneinfo, sys; zoneinfo.reset_tzpath(to=[sys.prefix + '/share/zoneinfo']); print(zoneinfo.ZoneInfo('Europe/Berlin'))",
    );
    assert_eq!(zone, "Europe/Berlin");
}

#[test]
fn every_extension_module_can_be_imported() {
    let root = unpacked("python3.11");
    let failed = python(
        root.path(),
        "
import importlib, os, sys
folder = sys.prefix + '/lib/python3.11/lib-dynload'
names = sorted(f.split('.')[0] for f in os.listdir(folder))
assert len(names) > 30, names
for name in names + ['ssl', 'sqlite3', 'ctypes', 'lzma', 'bz2', 'curses', 'readline', 'uuid', 'hashlib', 'decimal', 'dbm.ndbm']:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, repr(error))
",
    );
    assert_eq!(failed, "");
}

#[test]
fn the_library_is_compiled_ahead_without_checks_and_under_the_paths_of_the_image() {
    let root = unpacked("python3.11");
    let report = python(
        root.path(),
        "
import marshal, os, sys
top, bad, count = sys.prefix + '/lib/python3.11', [], 0
for folder, _, files in os.walk(top):
    below = os.path.relpath(folder, top)
    if below.startswith(('lib2to3/tests', 'test')) or folder.endswith('__pycache__'):
        continue
    for name in (f for f in files if f.endswith('.py')):
        count += 1
        try:
            data = open(f'{folder}/__pycache__/{name[:-3]}.cpython-311.pyc', 'rb').read()
            code = marshal.loads(data[16:])
            place = os.path.normpath(f'/usr/lib/python3.11/{below}/{name}')
            if data[4:8] != b'\\1\\0\\0\\0' or code.co_filename != place:
                bad.append((name, data[4:8], code.co_filename))
        except OSError as error:
            bad.append((name, error))
print(count > 500, bad)
",
    );
    assert_eq!(report, "True []");
}

#[test]
fn a_compilation_can_be_repeated_to_the_byte() {
    let root = unpacked("python3.11");
    let recipe = Source::find("python3.11").unwrap().recipe().unwrap();
    let what = recipe::Precompile {
        directories: vec!["usr/lib/python3.11/email".to_owned()],
        ..recipe.precompile.unwrap()
    };
    let contents = || {
        let folder = root.path().join("usr/lib/python3.11/email/__pycache__");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    let scratch = tempfile::tempdir().unwrap();
    assert!(precompile::precompile(&what, root.path(), scratch.path()).unwrap() > 10);
    let first = contents();
    precompile::precompile(&what, root.path(), scratch.path()).unwrap();
    assert!(first == contents(), "the second compilation differs");
}

#[test]
fn a_program_that_cannot_be_compiled_is_an_error_that_quotes_the_interpreter() {
    let root = unpacked("python3.11");
    fs::create_dir(root.path().join("opt/broken")).unwrap();
    fs::write(root.path().join("opt/broken/x.py"), "def (:\n").unwrap();
    let what = recipe::Precompile {
        interpreter: "usr/bin/python3.11".to_owned(),
        directories: vec!["opt/broken".to_owned()],
        skip: vec![],
    };
    let scratch = tempfile::tempdir().unwrap();
    let error = precompile::precompile(&what, root.path(), scratch.path()).unwrap_err().to_string();
    assert!(error.contains("SyntaxError") && error.contains("x.py"), "{error}");
}

#[test]
fn the_python_tests_pass_with_the_interpreter_of_the_image() {
    let root = unpacked("python3.11");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    assert_eq!(
        fs::read(root.path().join("opt/spore/bootstrap.py")).unwrap(),
        fs::read(sources.join("bootstrap.py")).unwrap()
    );
    let interpreter = image_program(root.path(), "usr/bin/python3.11");
    let words = std::iter::once(interpreter.get_program()).chain(interpreter.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    for file in ["test_bootstrap.py", "test_examples.py"] {
        let mut command = image_program(root.path(), "usr/bin/python3.11");
        command.env("SPORE_TEST_PYTHON", serde_json::to_string(&words).unwrap());
        let output = command.arg("-B").arg(sources.join("tests").join(file)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("\nOK"), "{file}: {said}");
    }
}

#[test]
fn an_unusable_cache_directory_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = prepare("native", file.path(), &|_| ()).unwrap_err().to_string();
    assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
}
