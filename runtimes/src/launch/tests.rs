use super::*;
use crate::package::FileView;

fn elf(machine: &str, kind: ElfKind, interpreter: Option<&str>, defect: Option<&str>) -> FileKind {
    FileKind::Elf(Elf {
        kind,
        machine: machine.to_owned(),
        interpreter: interpreter.map(str::to_owned),
        defect: defect.map(str::to_owned),
    })
}

fn package() -> PackageView {
    let program = |interpreter| elf("x86-64", ElfKind::Program, interpreter, None);
    let files = [
        ("app.py", FileKind::Python { handlers: vec!["handler".to_owned()] }),
        ("index.mjs", FileKind::JavaScript { handlers: vec!["handler".to_owned()] }),
        ("lib/api.cjs", FileKind::JavaScript { handlers: vec![] }),
        ("web/__init__.py", FileKind::Python { handlers: vec![] }),
        ("web/api.py", FileKind::Python { handlers: vec![] }),
        ("server", program(None)),
        ("bootstrap", program(None)),
        ("bin/dynamic", program(Some(LOADER))),
        ("musl", program(Some("/lib/ld-musl-x86_64.so.1"))),
        ("arm", elf("aarch64", ElfKind::Program, None, None)),
        ("cut", elf("x86-64", ElfKind::Program, None, Some("the file is cut short"))),
        ("lib.so", elf("x86-64", ElfKind::Library, None, None)),
        ("a.o", elf("x86-64", ElfKind::Other, None, None)),
        ("run.sh", FileKind::Script),
        ("link", FileKind::Symlink),
        ("data", FileKind::Data),
    ];
    PackageView {
        files: files.into_iter().map(|(p, kind)| (p.to_owned(), FileView { bytes: 1, kind })).collect(),
    }
}

pub(super) fn with(runtime: &str, handler: &str, env: &[(&str, &str)]) -> Result<Launch, PlanError> {
    with_memory(runtime, handler, env, 128)
}

pub(super) fn with_memory(
    runtime: &str,
    handler: &str,
    env: &[(&str, &str)],
    mib: u64,
) -> Result<Launch, PlanError> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let package = package();
    plan(&Wanted {
        name: "f",
        runtime,
        handler,
        package: &package,
        port: 9000,
        memory_bytes: mib << 20,
        env: &env,
    })
}

fn error(runtime: &str, handler: &str) -> String {
    with(runtime, handler, &[]).unwrap_err().to_string()
}

#[test]
fn a_python_function_runs_the_bootstrap_with_lambdas_environment() {
    let launch = with(PYTHON, "app.handler", &[("COLOUR", "green"), ("TZ", "Europe/Berlin")]).unwrap();
    assert_eq!(launch.command, ["/usr/bin/python3.11", "-s", "-P", "/opt/spore/bootstrap.py", "app.handler"]);
    assert_eq!((launch.contract, launch.root), (Contract::Handler, PYTHON));
    for (name, value) in [
        ("_HANDLER", "app.handler"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("COLOUR", "green"),
        ("TZ", "Europe/Berlin"),
        ("HOME", "/tmp"),
    ] {
        assert_eq!(launch.env.get(name).map(String::as_str), Some(value), "{name}");
    }
    for handler in ["web.api.run", "web/api.run", "web.run"] {
        assert!(with(PYTHON, handler, &[]).is_ok(), "{handler}");
    }
}

#[test]
fn python_handlers_that_cannot_be_are_refused() {
    assert!(
        error(PYTHON, "none.handler").contains("none/__init__.py")
            || error(PYTHON, "none.handler").contains("none.py")
    );
    for handler in
        ["", "handler", "app.", ".handler", "app.1x", "app.a b", "a..b", "app.handler\0", "../x.handler"]
    {
        assert!(matches!(with(PYTHON, handler, &[]), Err(PlanError::BadHandler { .. })), "{handler:?}");
    }
}

#[test]
fn a_native_function_runs_its_program_with_its_port() {
    let launch = with(NATIVE, "./bin/dynamic --threads 1", &[]).unwrap();
    assert_eq!(launch.command, ["/var/task/bin/dynamic", "--threads", "1"]);
    assert_eq!(launch.env["PORT"], "9000");
    assert_eq!((launch.contract, launch.root), (Contract::Http, NATIVE));
    assert_eq!(with(NATIVE, "/var/task/server", &[]).unwrap().command, ["/var/task/server"]);
}

#[test]
fn a_provided_function_runs_its_program_with_lambdas_environment() {
    let launch = with(PROVIDED, "bootstrap", &[("AWS_REGION", "eu-west-1")]).unwrap();
    assert_eq!(launch.command, ["/var/task/bootstrap"]);
    assert_eq!((launch.contract, launch.root, launch.port), (Contract::RuntimeApi, NATIVE, 9001));
    for (name, value) in [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"),
        ("_HANDLER", "bootstrap"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("TZ", ":UTC"),
        ("AWS_REGION", "eu-west-1"),
    ] {
        assert_eq!(launch.env.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(with("provided.al2023", "bootstrap", &[("AWS_REGION", "eu-west-1")]).unwrap(), launch);
    let taken = with(PROVIDED, "bootstrap", &[("AWS_LAMBDA_RUNTIME_API", "elsewhere")]);
    assert!(matches!(taken, Err(PlanError::BadVariable { .. })));
}

#[test]
fn files_that_are_no_programs_are_refused_with_the_reason() {
    for (handler, why) in [
        ("nothing", "no file"),
        ("../server", "no file"),
        ("", "form"),
        ("arm", "built for aarch64; Spore runs x86-64"),
        ("musl", "ld-musl"),
        ("cut", "cut short"),
        ("lib.so", "shared library"),
        ("a.o", "object file"),
        ("run.sh", "script"),
        ("link", "symbolic link"),
        ("data", "not a program"),
        ("app.py", "--runtime python3.11"),
    ] {
        let text = error(NATIVE, handler);
        assert!(text.contains(why), "{handler}: {text}");
    }
    assert!(error("cobol", "x").contains("cobol"));
}

#[test]
fn variables_that_cannot_be_set_are_refused() {
    for (runtime, handler, name) in
        [(PYTHON, "app.handler", "_HANDLER"), (NATIVE, "server", "PORT"), (NATIVE, "server", "")]
    {
        assert!(
            matches!(with(runtime, handler, &[(name, "x")]), Err(PlanError::BadVariable { .. })),
            "{name}"
        );
    }
    for name in ["A=B", "1A", "a b", "ä", "A\0"] {
        assert!(
            matches!(with(NATIVE, "server", &[(name, "x")]), Err(PlanError::BadVariable { .. })),
            "{name:?}"
        );
    }
    assert!(matches!(with(NATIVE, "server", &[("A", "x\0y")]), Err(PlanError::BadVariable { .. })));
    assert!(with(PYTHON, "app.handler", &[("PORT", "1")]).is_ok());
    let long = "x".repeat(STRINGS_MAX);
    assert!(matches!(with(NATIVE, "server", &[("A", &long)]), Err(PlanError::TooLong { .. })));
}

#[test]
fn a_node_function_runs_the_bootstrap_and_needs_room_for_node() {
    let launch = with_memory(NODE, "lib/api.routes.get", &[], 256).unwrap();
    assert_eq!((launch.contract, launch.root), (Contract::Handler, NODE));
    assert_eq!(launch.command[0], "/usr/bin/node");
    assert_eq!(launch.command[6..], ["/opt/spore/bootstrap.cjs", "lib/api.routes.get"]);
    assert_eq!(launch.env["AWS_EXECUTION_ENV"], "Spore_node24");
    assert!(error(NODE, "index.handler").contains("at least 192 MiB"));
    assert!(error(NODE, "nope.handler").contains("nope.mjs"));
    assert!(error(NODE, "index").contains("MODULE.FUNCTION"));
    assert!(error(NATIVE, "index.mjs").contains("node24"));
}
