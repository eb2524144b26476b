//! Results of this workspace's own benches, as documents like those of `spore load`: `cargo bench ... -- --json FILE`.
//!
//! Most benches compare two sides that take turns, such as a program on this machine and the same program in a VM. Each turn prints
//! lines of a name and a number; the ratio is taken within a turn.

use crate::experiment::measures::Measures;
use crate::report::{Better, Document, Machine, SCHEMA, Table, Tool, now};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::{fmt, io};

/// A bench that runs, and what it found so far.
pub struct Bench {
    document: Document,
    measures: Measures,
    json: Option<PathBuf>,
    /// Arguments that are the bench's own.
    pub words: Vec<String>,
}

impl Bench {
    /// Begins: of the arguments, `--json FILE` is taken. `command` is what a user types, without arguments.
    pub fn begin(name: &str, question: &str, command: &str) -> io::Result<Bench> {
        let (words, json) = arguments(std::env::args().skip(1))?;
        let command = std::iter::once(command.to_owned())
            .chain((!words.is_empty()).then(|| format!("-- {}", words.join(" "))))
            .collect::<Vec<_>>();
        let document = Document {
            schema: SCHEMA,
            experiment: name.to_owned(),
            question: question.to_owned(),
            command: command.join(" "),
            date: now(),
            tool: Tool {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: commit(),
                optimised: !cfg!(debug_assertions),
            },
            machine: Machine::here(),
            settings: BTreeMap::new(),
            measures: Vec::new(),
            tables: Vec::new(),
            plots: Vec::new(),
            notes: Vec::new(),
            runs: Vec::new(),
        };
        Ok(Bench { document, measures: Measures::default(), json, words })
    }

    /// Adds a value of one repetition.
    pub fn add(&mut self, name: &str, unit: &str, better: Better, value: f64) {
        self.measures.add(name, unit, better, value);
    }

    /// Records an option.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.document.settings.insert(name.to_owned(), value.to_string());
    }

    /// Prints a table, and keeps it.
    pub fn show(&mut self, table: Table) {
        println!("{}", Plain(&table));
        self.document.tables.push(table);
    }

    /// Adds what turns found, and prints it.
    pub fn turns(&mut self, turns: Turns) {
        for (name, values) in &turns.all {
            for pair in values {
                for (side, value) in turns.sides.iter().zip(pair) {
                    self.add(&format!("{name} {side}"), turns.unit, turns.better, *value);
                }
                self.add(&format!("{name} ratio"), "x", Better::Higher, turns.ratio(*pair));
            }
        }
        self.show(turns.table());
    }

    /// The document, and where it goes.
    pub fn finish(mut self) -> io::Result<Document> {
        self.document.measures = self.measures.finish();
        if let Some(path) = &self.json {
            let text = serde_json::to_vec_pretty(&self.document)?;
            std::fs::write(path, text)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        }
        Ok(self.document)
    }
}

/// The bench's own arguments, and the file of the result. `cargo bench` adds `--bench`.
fn arguments(words: impl Iterator<Item = String>) -> io::Result<(Vec<String>, Option<PathBuf>)> {
    let (mut own, mut json) = (Vec::new(), None);
    let mut words = words.filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        if word == "--json" {
            json = Some(words.next().ok_or_else(|| io::Error::other("--json needs a file"))?.into());
        } else {
            own.push(word);
        }
    }
    Ok((own, json))
}

/// The commit of this source, if it is a checkout and git is there; with a mark if files differ from it.
fn commit() -> Option<String> {
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if clean { hash } else { format!("{hash}+") })
}

/// Two sides that take turns.
#[derive(Debug)]
pub struct Turns {
    title: String,
    sides: [&'static str; 2],
    unit: &'static str,
    better: Better,
    all: BTreeMap<String, Vec<[f64; 2]>>,
}

impl Turns {
    /// Between two sides, the first of which is the yardstick. `better` says whether `unit` is one of time or of rate: ratios are of
    /// speed, so that 1 is as fast as the first side, and more is faster.
    pub fn between(sides: [&'static str; 2], title: &str, unit: &'static str, better: Better) -> Turns {
        Turns { title: title.to_owned(), sides, unit, better, all: BTreeMap::new() }
    }

    /// One turn of one measure.
    pub fn turn(&mut self, name: &str, values: [f64; 2]) {
        self.all.entry(name.to_owned()).or_default().push(values);
    }

    /// One turn of all measures: what each side printed, its values divided by `scale`.
    pub fn printed(&mut self, sides: [&str; 2], scale: f64) -> Result<(), String> {
        let [first, second] = sides.map(figures);
        let (first, second) = (first?, second?);
        let names = |figures: &[(String, f64)]| figures.iter().map(|one| one.0.clone()).collect::<Vec<_>>();
        if first.is_empty() || names(&first) != names(&second) {
            return Err(format!("the sides do not measure the same: {first:?} {second:?}"));
        }
        for ((name, first), (_, second)) in first.into_iter().zip(second) {
            self.turn(&name, [first / scale, second / scale]);
        }
        Ok(())
    }

    fn ratio(&self, [first, second]: [f64; 2]) -> f64 {
        match self.better {
            Better::Lower => first / second,
            Better::Higher => second / first,
        }
    }

    /// Medians of all turns.
    fn table(&self) -> Table {
        let row = |(name, turns): (&String, &Vec<[f64; 2]>)| {
            let of =
                |value: &dyn Fn([f64; 2]) -> f64| median(turns.iter().map(|turn| value(*turn)).collect());
            let side = |which: usize| digits(of(&|turn| turn[which]));
            vec![name.clone(), side(0), side(1), format!("{:.2}", of(&|turn| self.ratio(turn)))]
        };
        let head = |side: &str| format!("{side} {}", self.unit);
        Table {
            title: self.title.clone(),
            columns: vec!["measure".into(), head(self.sides[0]), head(self.sides[1]), "speed ratio".into()],
            rows: self.all.iter().map(row).collect(),
        }
    }
}

/// Name and number of each line.
fn figures(text: &str) -> Result<Vec<(String, f64)>, String> {
    let line = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().map(|text| line(text).ok_or_else(|| format!("not a measure: {text}"))).collect()
}

/// The middle one of some numbers; not a number of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three digits or so.
pub fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A table as lines of text.
struct Plain<'a>(&'a Table);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plain(table) = self;
        writeln!(out, "{}", table.title)?;
        for row in std::iter::once(&table.columns).chain(&table.rows) {
            let mut cells = row.iter();
            write!(out, "{:<46}", cells.next().map_or("", String::as_str))?;
            for cell in cells {
                write!(out, "{cell:>16}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_speed_and_of_the_median_turn() {
        let mut times = Turns::between(["native", "guest"], "t", "ms", Better::Lower);
        for guest in ["2e6", "4e6", "1e6"] {
            times.printed(["loop 2e6", &format!("loop {guest}")], 1e6).unwrap();
        }
        assert_eq!(times.table().rows, [["loop", "2.00", "2.00", "1.00"]]);
        let mut rates = Turns::between(["wrk", "spore load"], "t", "1/s", Better::Higher);
        rates.turn("rate", [100.0, 150.0]);
        assert_eq!(rates.table().rows, [["rate", "100", "150", "1.50"]]);
        assert_eq!(rates.table().columns[2], "spore load 1/s");
    }

    #[test]
    fn what_is_no_measure_is_refused() {
        let mut turns = Turns::between(["a", "b"], "t", "ns", Better::Lower);
        assert!(turns.printed(["x 1", "x one"], 1.0).unwrap_err().contains("not a measure: x one"));
        assert!(turns.printed(["x 1", "y 1"], 1.0).unwrap_err().contains("the same"));
        assert!(turns.printed(["", ""], 1.0).is_err());
    }

    #[test]
    fn arguments_of_cargo_and_of_the_result_are_taken() {
        let of = |words: &[&str]| arguments(words.iter().map(|word| (*word).to_owned()));
        let (own, json) = of(&["--bench", "hold", "--json", "x", "5"]).unwrap();
        assert_eq!((own, json), (vec!["hold".to_owned(), "5".to_owned()], Some("x".into())));
        assert!(of(&["--json"]).is_err());
    }

    #[test]
    fn a_result_is_a_document() {
        let json = tempfile::NamedTempFile::new().unwrap();
        let mut bench = Bench::begin("inside", "How fast?", "cargo bench").unwrap();
        bench.json = Some(json.path().to_owned());
        let mut turns = Turns::between(["native", "guest"], "Times", "ns", Better::Lower);
        turns.turn("getppid", [90.0, 60.0]);
        bench.turns(turns);
        let document = bench.finish().unwrap();
        let names: Vec<&str> = document.measures.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["getppid guest", "getppid native", "getppid ratio"]);
        assert_eq!(Document::read(json.path()).unwrap().tables, document.tables);
    }
}
