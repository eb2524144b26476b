use super::*;

fn record(stream: u32, text: &[u8]) -> Vec<u8> {
    let mut bytes = stream.to_le_bytes().to_vec();
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(text);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn lines(totals: &Totals) -> Vec<String> {
    totals.log.read(usize::MAX).0.into_iter().map(|line| format!("{} {}", line.stream, line.line)).collect()
}

#[test]
fn records_become_lines_however_they_are_cut() {
    let bytes = [record(1, b"one\ntw"), record(2, b"err\r\n"), record(1, b"o\n\nlast")].concat();
    for cut in 1..bytes.len() {
        let totals = Arc::new(Totals::default());
        let mut writer = LogWriter::new(totals.clone(), "r".to_owned());
        bytes.chunks(cut).for_each(|chunk| writer.write(chunk));
        writer.finish();
        assert_eq!(
            lines(&totals),
            ["stdout one", "stderr err", "stdout two", "stdout ", "stdout last"],
            "cut {cut}"
        );
    }
}

#[test]
fn invalid_utf8_and_long_lines_are_kept_in_pieces() {
    let totals = Arc::new(Totals::default());
    let mut writer = LogWriter::new(totals.clone(), "r".to_owned());
    writer.write(&record(1, b"\xff\xfe\n"));
    writer.write(&record(1, &vec![b'x'; 3 * LINE_BYTES_MAX + 1]));
    writer.finish();
    let lines = totals.log.read(usize::MAX).0;
    assert_eq!(lines[0].line, "\u{fffd}\u{fffd}");
    assert!(lines.iter().all(|line| line.line.len() <= LINE_BYTES_MAX));
    assert_eq!(lines[1..].iter().map(|line| line.line.len()).sum::<usize>(), 3 * LINE_BYTES_MAX + 1);
}

#[test]
fn a_record_of_impossible_length_is_dropped_and_counted() {
    let totals = Arc::new(Totals::default());
    let mut writer = LogWriter::new(totals.clone(), "r".to_owned());
    let mut bytes = record(1, b"good\n");
    bytes.extend_from_slice(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 9, 9]);
    writer.write(&bytes);
    writer.finish();
    assert_eq!(lines(&totals), ["stdout good"]);
    assert_eq!(totals.log.dropped_bytes(), 10);
}

#[test]
fn the_ring_is_bounded_in_lines_and_bytes() {
    let totals = Arc::new(Totals::default());
    let mut writer = LogWriter::new(totals.clone(), "r".to_owned());
    for _ in 0..LINES_MAX + 10 {
        writer.write(&record(1, b"a\n"));
    }
    assert_eq!(totals.log.read(usize::MAX).0.len(), LINES_MAX);
    let mut writer = LogWriter::new(totals.clone(), "s".to_owned());
    let long = record(2, &[vec![b'y'; LINE_BYTES_MAX - 1], b"\n".to_vec()].concat());
    for _ in 0..2 * BYTES_MAX / LINE_BYTES_MAX {
        writer.write(&long);
    }
    let kept: usize = totals.log.read(usize::MAX).0.iter().map(|line| line.line.len()).sum();
    assert!(kept <= BYTES_MAX && kept > BYTES_MAX / 2, "{kept}");
}

#[test]
fn boot_output_is_that_of_the_last_boot() {
    let totals = Arc::new(Totals::default());
    LogWriter::new(totals.clone(), String::new()).write(&record(2, b"first\n"));
    let mut second = LogWriter::new(totals.clone(), String::new());
    second.write(&record(2, b"second"));
    second.finish();
    assert_eq!(totals.log.boot_output(), "second\n");
}

#[test]
fn lines_beyond_the_limit_of_one_request_are_counted_and_dropped() {
    let totals = Arc::new(Totals::default());
    let mut noisy = LogWriter::new(totals.clone(), "noisy".to_owned());
    noisy.write(&record(1, &[b'\n'; WRITER_LINES_MAX]));
    assert_eq!(totals.log.dropped_bytes(), 0);
    noisy.write(&record(1, b"too many\n\n"));
    noisy.finish();
    assert_eq!(totals.log.dropped_bytes(), 10);
    LogWriter::new(totals.clone(), "next".to_owned()).write(&record(1, b"heard\n"));
    assert_eq!(lines(&totals).last().map(String::as_str), Some("stdout heard"));
}

#[test]
fn of_a_long_boot_the_end_is_shown() {
    let totals = Arc::new(Totals::default());
    let mut boot = LogWriter::new(totals.clone(), String::new());
    for _ in 0..WRITER_LINES_MAX + 1 {
        boot.write(&record(1, "loading \u{2603}\n".as_bytes()));
    }
    boot.write(&record(2, b"and this is why it failed\n"));
    let output = totals.log.boot_output();
    assert!(output.ends_with("and this is why it failed\n"), "{}", output.len());
    assert!(output.len() > BOOT_OUTPUT_MAX / 2 && output.len() <= BOOT_OUTPUT_MAX, "{}", output.len());
    assert!(totals.log.lock().boot.len() <= 4 * BOOT_OUTPUT_MAX);
}
