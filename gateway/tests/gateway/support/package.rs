//! Packages and forms, byte by byte.

/// A tar of files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A Python handler.
pub(crate) fn python() -> Vec<u8> {
    tar(&[("app.py", b"def handler(event, context):\n    return event\n")])
}

/// A dynamic x86-64 program that every Debian has.
pub(crate) fn native() -> Vec<u8> {
    tar(&[("server", &std::fs::read("/bin/true").unwrap())])
}

/// The same program, said to be for 64-bit ARM.
pub(crate) fn foreign() -> Vec<u8> {
    let mut elf = std::fs::read("/bin/true").unwrap();
    elf[18..20].copy_from_slice(&183u16.to_le_bytes());
    tar(&[("server", &elf)])
}

/// Content type and body of a deploy.
pub(crate) fn form(config: &str, package: &[u8]) -> (String, Vec<u8>) {
    fields(&[("config", config.as_bytes()), ("package", package)])
}

/// Content type and body of any form.
pub(crate) fn fields(fields: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, content) in fields {
        body.extend(format!("--BOUNDARY\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--BOUNDARY--\r\n");
    ("multipart/form-data; boundary=BOUNDARY".to_owned(), body)
}
