use super::*;
use std::path::PathBuf;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

const CALLS: &str = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,1,0,2\no,a,g,timer,0,4,0\n";

#[test]
fn the_three_tables_become_one_trace() {
    let files = Files::new();
    let run = "HashFunction,HashApp,HashOwner,Count,Average,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\nf,a,o,3,9,1,20,1,2,5,8,10,19,20\n";
    let memory = "HashApp,HashOwner,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1,AverageAllocatedMb_pct5,AverageAllocatedMb_pct25,AverageAllocatedMb_pct50,AverageAllocatedMb_pct75,AverageAllocatedMb_pct95,AverageAllocatedMb_pct99,AverageAllocatedMb_pct100\na,o,3,128,100,110,120,128,130,140,150,160\n";
    let (calls, run, memory) = (files.put("i", CALLS), files.put("r", run), files.put("m", memory));
    let trace = read(&calls, Some(&run), Some(&memory)).unwrap();
    assert_eq!((trace.functions.len(), trace.invocations(), trace.minutes()), (2, 7, 3));
    assert_eq!(trace.functions[0].run_ms.as_ref().unwrap().at(50.0), 8.0);
    assert_eq!(trace.functions[1].run_ms, None);
    assert_eq!(trace.functions[1].memory_mb.as_ref().unwrap().at(50.0), 128.0);
    assert!(matches!(&trace.calls, Calls::PerMinute(counts) if counts == &[vec![1, 0, 2], vec![0, 4, 0]]));
}

#[test]
fn the_published_sample_has_its_columns_in_another_order() {
    let files = Files::new();
    let text = "HashFunction,HashApp,HashOwner,minute_1,minute_2\nf,a,o,14,0\n";
    assert_eq!(read(&files.put("i", text), None, None).unwrap().invocations(), 14);
}

#[test]
fn errors_say_line_and_column() {
    let files = Files::new();
    for (text, wanted) in [
        (CALLS.replace("0,2", "x,2"), "line 2, column 6: `x` is not a count"),
        (CALLS.replace("0,2", "-1,2"), "line 2, column 6: `-1` is not a count"),
        (CALLS.replace(",4,0", ",4"), "line 3, column 7: the line has 6 fields, the header 7"),
        (CALLS.replace("HashApp", "App"), "line 1, column 7: the header has no column `HashApp`"),
        (CALLS.replace(",g,", ",f,"), "line 3, column 3: this function was already on line 2"),
        (CALLS.replace("0,2", "4294967296,2"), "line 2, column 6: `4294967296` is not a count"),
        (CALLS.replace("0,2", "NaN,2"), "line 2, column 6: `NaN` is not a count"),
        (CALLS.replace(",1,2,3", ",1,2,4"), "line 1, column 1: the header has no columns 1, 2, 3"),
        (String::new(), "line 1, column 1: it is empty"),
        ("\n\r\n".to_owned(), "line 1, column 1: it is empty"),
        ("HashFunction,HashApp,1\n".to_owned(), "line 1, column 1: it has no functions"),
    ] {
        let error = read(&files.put("i", &text), None, None).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let error = read(Path::new("/none"), None, None).unwrap_err().to_string();
    assert_eq!(error, "/none cannot be read");
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    let files = Files::new();
    let wrong = CALLS.replace(",4,0", ",x,0");
    for (text, wanted) in [
        (wrong.replace('\n', "\r\n"), "line 3, column 6: `x` is not a count"),
        (wrong.replace('\n', "\n\n"), "line 5, column 6: `x` is not a count"),
        (wrong.replace('\n', "\r\n \r\n"), "line 5, column 6: `x` is not a count"),
        (wrong.trim_end().to_owned(), "line 3, column 6: `x` is not a count"),
        (format!("\n\n{}", wrong.replace("HashApp", "App")), "line 3, column 7: the header has no column"),
    ] {
        let error = read(&files.put("i", &text), None, None).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text:?}: {error}");
    }
}

#[test]
fn a_mark_of_utf_8_and_other_line_ends_are_no_part_of_names_and_counts() {
    let files = Files::new();
    let plain = read(&files.put("i", CALLS), None, None).unwrap();
    let bare = CALLS.replace("HashOwner,", "").replace("o,", "");
    for text in
        [bare.clone(), format!("\u{feff}{bare}"), bare.replace('\n', "\r\n"), bare.trim_end().to_owned()]
    {
        let trace = read(&files.put("i", &text), None, None).unwrap();
        assert_eq!(trace.functions, plain.functions, "{text:?}");
        assert_eq!(trace.invocations(), 7);
    }
}

#[test]
fn tables_of_percentiles_are_checked_as_well() {
    let files = Files::new();
    let head = "HashApp,AverageAllocatedMb_pct1,AverageAllocatedMb_pct5,AverageAllocatedMb_pct25,AverageAllocatedMb_pct50,AverageAllocatedMb_pct75,AverageAllocatedMb_pct95,AverageAllocatedMb_pct99,AverageAllocatedMb_pct100\n";
    let calls = files.put("i", CALLS);
    for (rows, wanted) in [
        (
            "a,1,2,3,4,5,6,7,8\na,1,2,3,4,5,6,7,8\n",
            "line 3, column 1: this application was already on line 2",
        ),
        ("a,1,2,NaN,4,5,6,7,8\n", "line 2, column 4: `NaN` is not a number"),
        ("a,1,2,-3,4,5,6,7,8\n", "line 2, column 4: `-3` is not a number"),
        ("a,1,2,inf,4,5,6,7,8\n", "line 2, column 4: `inf` is not a number"),
        ("a,1,2,1e300,4,5,6,7,8\n", "line 2, column 4: `1e300` is too large"),
        ("a,1,2,3\n", "line 2, column 5: the line has 4 fields, the header 9"),
    ] {
        let memory = files.put("m", &format!("{head}{rows}"));
        let error = read(&calls, None, Some(&memory)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    // What falls by rounding is no error: it counts as the one before it.
    let memory = files.put("m", &format!("{head}a,1,2,3,4,3,6,7,8\n"));
    let trace = read(&calls, None, Some(&memory)).unwrap();
    assert_eq!(trace.functions[0].memory_mb.as_ref().unwrap().at(75.0), 4.0);
    // Functions and applications that only one of the tables has are no error.
    let memory = files.put("m", &format!("{head}other,1,2,3,4,5,6,7,8\n"));
    let trace = read(&calls, None, Some(&memory)).unwrap();
    assert!(trace.functions.iter().all(|function| function.memory_mb.is_none()));
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let files = Files::new();
    let path = files.put("i", CALLS);
    // 100 MB, of which nothing is on the disk.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100 << 20).unwrap();
    let error = read(&path, None, None).unwrap_err().to_string();
    assert!(error.ends_with("line 4, column 1: the line has more than 4194304 bytes"), "{error}");
}
