//! Real programs: output, errors and exit code must be those they have on this machine. docs/COMPATIBILITY.md is the
//! summary of this table.

use crate::rig::{RIG, text};

/// Runs every line of a table: program, arguments.
#[track_caller]
fn all_agree(cases: &[(&str, &[&str])]) {
    let differences = cases.iter().filter_map(|(program, args)| RIG.difference(program, args, b""));
    let differences: String = differences.collect();
    assert!(differences.is_empty(), "{differences}");
}

/// Runs `program` with each of these arguments on the same text.
#[track_caller]
fn all_agree_on_text(program: &str, cases: &[&[&str]]) {
    let input = text(2000);
    let differences = cases.iter().filter_map(|args| RIG.difference(program, args, input.as_bytes()));
    let differences: String = differences.collect();
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn busybox_reads_files() {
    all_agree(&[
        ("busybox", &["cat", "data/words", "data/numbers"]),
        ("busybox", &["cat", "data/missing"]),
        ("busybox", &["wc", "data/words", "data/deep/er/binary"]),
        ("busybox", &["sort", "data/words"]),
        ("busybox", &["sort", "-n", "-r", "data/numbers"]),
        ("busybox", &["sha256sum", "data/words", "data/deep/er/binary"]),
        ("busybox", &["md5sum", "data/words"]),
        ("busybox", &["sha512sum", "data/deep/empty"]),
        ("busybox", &["cksum", "data/words"]),
        ("busybox", &["grep", "-c", "parent", "data/words"]),
        ("busybox", &["grep", "-rn", "doorbell 7", "data"]),
        ("busybox", &["grep", "nothing-like-this", "data/words"]),
        ("busybox", &["sed", "-n", "s/fork/FORK/gp", "data/words"]),
        ("busybox", &["awk", "{ n += $2 } END { print NR, n }", "data/words"]),
        ("busybox", &["head", "-n", "5", "data/words"]),
        ("busybox", &["tail", "-c", "100", "data/words"]),
        ("busybox", &["cut", "-d", " ", "-f", "2-3", "data/words"]),
        ("busybox", &["od", "-A", "x", "-t", "x1z", "data/deep/er/binary"]),
        ("busybox", &["hexdump", "-C", "data/words"]),
        ("busybox", &["xxd", "data/words"]),
        ("busybox", &["strings", "data/deep/er/binary"]),
        ("busybox", &["cmp", "data/words", "data/numbers"]),
        ("busybox", &["diff", "data/words", "data/numbers"]),
        ("busybox", &["comm", "data/words", "data/numbers"]),
        ("busybox", &["paste", "data/words", "data/numbers"]),
        ("busybox", &["uniq", "-c", "data/words"]),
        ("busybox", &["tac", "data/words"]),
        ("busybox", &["rev", "data/numbers"]),
        ("busybox", &["nl", "data/words"]),
        ("busybox", &["fold", "-w", "20", "data/words"]),
        ("busybox", &["base64", "data/deep/er/binary"]),
        ("busybox", &["dd", "if=data/deep/er/binary", "bs=1000", "skip=3", "count=7", "status=none"]),
        ("busybox", &["tr"]),
    ]);
}

#[test]
fn busybox_lists_and_finds_files() {
    all_agree(&[
        ("busybox", &["ls", "data"]),
        ("busybox", &["ls", "-lnR", "--full-time", "data/words", "data/deep/er"]),
        ("busybox", &["ls", "missing"]),
        ("busybox", &["stat", "-c", "%n %s %a %F %Y %h", "data/words", "data/deep/empty"]),
        ("busybox", &["find", "data", "-type", "f", "-name", "b*[ny]*", "-size", "+0"]),
        ("busybox", &["readlink", "data/link"]),
        ("busybox", &["test", "-L", "data/link"]),
        ("busybox", &["test", "-d", "data/words"]),
        ("busybox", &["basename", "a/b/c.txt", ".txt"]),
        ("busybox", &["dirname", "a/b/c.txt"]),
    ]);
}

#[test]
fn busybox_filters() {
    all_agree_on_text(
        "busybox",
        &[
            &["cat"],
            &["sort", "-k", "2,2n"],
            &["tr", "a-z", "A-Z"],
            &["sed", "-e", "/parent/d", "-e", "s/\\([0-9]*\\) /<\\1>/"],
            &["awk", "-F", " ", "{ c[$3]++ } END { for (w in c) print w, c[w] }"],
            &["gzip", "-n", "-c"],
            &["bzip2", "-c"],
            &["tee", "{W}/copy"],
            &["dd", "bs=512", "status=none"],
            &["head", "-c", "10"],
            &["wc", "-l"],
            &["tail", "-n", "+1990"],
            &["expand"],
            &["uuencode", "name"],
            &["split", "-l", "100", "-", "{W}/part"],
            &["sort", "-u", "-o", "{W}/sorted"],
            &["crc32"],
        ],
    );
}

#[test]
fn busybox_makes_changes_in_memory() {
    all_agree(&[
        ("busybox", &["mkdir", "-p", "{W}/a/b/c"]),
        ("busybox", &["touch", "-d", "2020-01-02 03:04:05", "{W}/file"]),
        ("busybox", &["cp", "-r", "data", "{W}/copy"]),
        ("busybox", &["ln", "-s", "target", "{W}/link"]),
        ("busybox", &["rmdir", "{W}/missing"]),
        ("busybox", &["truncate", "-s", "1M", "{W}/sparse"]),
        ("busybox", &["tar", "-C", "data", "-cf", "{W}/archive.tar", "words", "deep"]),
    ]);
}

#[test]
fn busybox_knows_numbers_and_dates() {
    all_agree(&[
        ("busybox", &["seq", "1", "3", "100"]),
        ("busybox", &["expr", "6", "*", "7"]),
        ("busybox", &["factor", "1234567890"]),
        ("busybox", &["printf", "%05d|%-8s|%x\\n", "42", "text", "255"]),
        ("busybox", &["date", "-u", "-d", "@1700000000", "+%F %T"]),
        ("busybox", &["cal", "2", "2024"]),
        ("busybox", &["sleep", "0.01"]),
        ("busybox", &["true"]),
        ("busybox", &["false"]),
        ("busybox", &["id", "-u"]),
        ("busybox", &["dc", "-e", "2 100 ^ p"]),
        ("busybox", &["no-such-applet"]),
    ]);
}

#[test]
fn shells_do_what_needs_no_other_process() {
    for shell in [&["dash"][..], &["busybox", "ash"]] {
        let mut args = shell[1..].to_vec();
        args.extend(["data/scripts/work.sh", "{W}"]);
        RIG.agrees(shell[0], &args, b"");
    }
    RIG.agrees("dash", &[], b"echo from stdin\nread x\nthe input\necho $x\nexit 3\n");
    RIG.agrees("dash", &["-c", "nosuchcommand"], b"");
    RIG.agrees("dash", &["-c", "if then"], b"");
}

#[test]
fn gnu_tools_work() {
    all_agree(&[
        ("ls", &["-l", "-n", "--time-style=full-iso", "data/words", "data/deep/empty"]),
        ("ls", &["--color=always", "data"]),
        ("cat", &["-A", "data/words"]),
        ("sort", &["-n", "data/numbers"]),
        ("sort", &["--parallel=1", "-S", "64K", "data/words"]),
        ("uniq", &["-c", "data/words"]),
        ("od", &["-c", "data/deep/er/binary"]),
        ("sha256sum", &["data/words"]),
        ("b2sum", &["data/words"]),
        ("stat", &["-c", "%n %s %a %F %Y", "data/words", "data/deep/er/binary"]),
        ("cp", &["-r", "data/deep", "{W}/x", "--no-preserve=all", "-T"]),
        ("mkdir", &["-p", "{W}/a/b"]),
        ("dd", &["if=data/words", "bs=100", "count=3", "status=none"]),
        ("split", &["-n", "l/3/5", "data/words"]),
        ("numfmt", &["--to=iec", "1048576"]),
        ("date", &["-u", "-d", "@86400", "+%c"]),
        ("factor", &["18446744073709551557"]),
        ("tsort", &["data/numbers"]),
        ("join", &["data/words", "data/words"]),
        ("grep", &["-E", "^[0-9]+ [5-9]00 ", "data/words"]),
        ("grep", &["-P", "été(?= cell)", "data/words"]),
        ("grep", &["-r", "x", "missing"]),
        ("sed", &["-E", "s/([a-z]+) ([a-z]+)/\\2 \\1/;5q", "data/words"]),
        ("sed", &["--in-place", "s/a/b/", "{W}/missing"]),
        ("find", &["data/deep/er", "data/words", "-type", "f", "-printf", "%p %s %m %Ts\\n"]),
        ("tar", &["-tf", "data/missing.tar"]),
        (
            "tar",
            &[
                "--sort=name",
                "--format=ustar",
                "--owner=0",
                "--group=0",
                "-cf",
                "-",
                "data/deep",
                "data/words",
            ],
        ),
        ("diff", &["-u", "--label=a", "--label=b", "data/words", "data/numbers"]),
        ("cmp", &["data/words", "data/numbers"]),
        ("gzip", &["-9", "-n", "-c", "data/words"]),
        ("bzip2", &["-c", "data/deep/er/binary"]),
        ("xz", &["-T1", "-c", "data/words"]),
    ]);
    all_agree_on_text(
        "gawk",
        &[
            &["{ c[$3]++ } END { n = asorti(c, k); for (i = 1; i <= n; i++) print k[i], c[k[i]] }"],
            &[
                "BEGIN { printf \"%.10f %s\\n\", atan2(0, -1), toupper(\"text\"); print strftime(\"%F\", 0, 1) }",
            ],
            &["NR % 500 == 0 { print > \"/dev/stderr\" }"],
            &["-M", "BEGIN { print 2 ^ 200 }"],
            &["BEGIN { exit 4 }"],
        ],
    );
}

#[test]
fn small_languages_compute() {
    RIG.agrees("bc", &["-q"], b"scale=40\n4*a(1)\nquit\n");
    RIG.agrees("bc", &["-l"], b"2^1000\ne(1)\n1/0\n");
    RIG.agrees(
        "jq",
        &["-c", ".[] | {k: .a, l: (.b | length)}"],
        br#"[{"a":1,"b":[1,2]},{"a":null,"b":"text"}]"#,
    );
    RIG.agrees("jq", &["."], b"{broken");
    RIG.agrees("lua5.4", &["data/scripts/work.lua", "{W}"], b"a line\n42\n");
    RIG.agrees("lua5.4", &["-e", "error('x')"], b"");
}

#[test]
fn perl_works() {
    RIG.agrees("perl", &["data/scripts/work.pl", "{W}"], text(500).as_bytes());
    RIG.agrees("perl", &["-e", "die qq(dead\\n)"], b"");
    RIG.agrees("perl", &["-ne", "print if /parent/", "data/words"], b"");
    RIG.agrees("perl", &["-pe", "s/\\d+/<$&>/g"], text(50).as_bytes());
}

#[test]
fn sqlite_keeps_a_database() {
    let script = include_str!("scripts/work.sql");
    for database in [":memory:", "{W}/file.db"] {
        RIG.agrees("sqlite3", &["-batch", database], script.as_bytes());
    }
}

#[test]
fn openssl_computes() {
    RIG.agrees("openssl", &["dgst", "-sha256", "data/words", "data/deep/er/binary"], b"");
    RIG.agrees("openssl", &["dgst", "-sha3-512", "-hmac", "key"], text(100).as_bytes());
    let key = ["-K", "000102030405060708090a0b0c0d0e0f", "-iv", "0f0e0d0c0b0a09080706050403020100"];
    for cipher in ["-aes-128-cbc", "-aes-128-ctr", "-camellia-128-cbc"] {
        let args = [&["enc", cipher][..], &key].concat();
        RIG.agrees("openssl", &args, text(1000).as_bytes());
    }
    RIG.agrees("openssl", &["enc", "-base64", "-in", "data/deep/er/binary"], b"");
    RIG.agrees("openssl", &["prime", "-hex", "FFFFFFFFFFFFFFC5"], b"");
    RIG.agrees("openssl", &["asn1parse", "-genstr", "UTF8:text"], b"");
    RIG.agrees("openssl", &["version"], b"");
}

#[test]
fn pythons_sockets_work() {
    RIG.agrees("python3.11", &["data/scripts/sockets.py"], b"");
}

#[test]
fn python_watches_a_directory() {
    RIG.agrees("python3.11", &["data/scripts/watches.py"], b"");
}

#[test]
fn python_works() {
    RIG.agrees("python3.11", &["data/scripts/work.py", "{W}"], text(500).as_bytes());
    RIG.agrees("python3.11", &["-c", "1/0"], b"");
    RIG.agrees("python3.11", &["-c", "import os; os.abort()"], b"");
    RIG.agrees("python3.11", &["-"], b"print(sum(i * i for i in range(10 ** 5)))\n");
    RIG.agrees("python3.11", &["-m", "json.tool"], br#"{"b": 1, "a": [1, 2]}"#);
}
