//! Generated traces as files, in the formats that are read.

use super::{Row, Shape, Source, rows};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Names of the tables of the format of 2019, in the order in which [`files`] gives them.
const NAMES: [&str; 3] = ["invocations.csv", "durations.csv", "memory.csv"];
const RUN_PERCENTS: [u8; 7] = [0, 1, 25, 50, 75, 99, 100];
const MEMORY_PERCENTS: [u8; 8] = [1, 5, 25, 50, 75, 95, 99, 100];
const OWNER: &str = "owner";

/// Files that get their names together, when all are complete; dropped before, they are gone.
struct Partial {
    files: Vec<(PathBuf, PathBuf, BufWriter<File>)>,
    done: bool,
}

impl Partial {
    fn create(directory: &Path, names: &[&str]) -> io::Result<Partial> {
        fs::create_dir_all(directory)?;
        let mut partial = Partial { files: Vec::new(), done: false };
        for name in names {
            let path = directory.join(format!(".{name}.{}", std::process::id()));
            let file = File::create(&path)?;
            partial.files.push((path, directory.join(name), BufWriter::new(file)));
        }
        Ok(partial)
    }

    fn finish(mut self) -> io::Result<Vec<PathBuf>> {
        for (_, _, file) in &mut self.files {
            file.flush()?;
            file.get_ref().sync_all()?;
        }
        for (path, name, _) in &self.files {
            fs::rename(path, name)?;
        }
        self.done = true;
        Ok(self.files.iter().map(|(_, name, _)| name.clone()).collect())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            for (path, ..) in &self.files {
                // It may have its name already, or never have been there.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Writes the three tables of the format of 2019 into a directory: all of them, or none.
pub fn files(shape: Shape, seed: u64, directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut partial = Partial::create(directory, &NAMES)?;
    if let [(_, _, calls), (_, _, run_times), (_, _, memory)] = &mut partial.files[..] {
        write_calls(shape, rows(shape, seed), calls)?;
        write_run_times(rows(shape, seed), run_times)?;
        write_memory(rows(shape, seed), memory)?;
    }
    partial.finish()
}

/// Writes the table of calls per minute, format of 2019.
pub fn write_calls(shape: Shape, rows: impl Iterator<Item = Row>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "HashOwner,HashApp,HashFunction,Trigger")?;
    for minute in 1..=shape.minutes {
        write!(out, ",{minute}")?;
    }
    writeln!(out)?;
    for Row { function, is_timer, counts } in rows {
        let trigger = if is_timer { "timer" } else { "http" };
        write!(out, "{OWNER},{},{},{trigger}", function.app, function.id)?;
        for count in counts {
            write!(out, ",{count}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Writes the table of run times, format of 2019.
pub fn write_run_times(rows: impl Iterator<Item = Row>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum")?;
    for percent in RUN_PERCENTS {
        write!(out, ",percentile_Average_{percent}")?;
    }
    writeln!(out)?;
    for Row { function, counts, .. } in rows {
        let Some(run) = function.run_ms else { continue };
        let count: u64 = counts.into_iter().map(u64::from).sum();
        let [average, least, most] = [50.0, 0.0, 100.0].map(|percent| run.at(percent));
        write!(out, "{OWNER},{},{},{average:.0},{count},{least:.0},{most:.0}", function.app, function.id)?;
        for percent in RUN_PERCENTS {
            write!(out, ",{:.0}", run.at(f64::from(percent)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Writes the table of memory, format of 2019.
pub fn write_memory(rows: impl Iterator<Item = Row>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "HashOwner,HashApp,SampleCount,AverageAllocatedMb")?;
    for percent in MEMORY_PERCENTS {
        write!(out, ",AverageAllocatedMb_pct{percent}")?;
    }
    writeln!(out)?;
    for Row { function, .. } in rows {
        let Some(memory) = function.memory_mb else { continue };
        write!(out, "{OWNER},{},1,{:.0}", function.app, memory.at(50.0))?;
        for percent in MEMORY_PERCENTS {
            write!(out, ",{:.0}", memory.at(f64::from(percent)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Writes single invocations, format of 2021, function by function: anywhere in their minutes, with run times drawn.
pub fn write_invocations(shape: Shape, seed: u64, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "app,func,end_timestamp,duration")?;
    let mut source = Source(ChaCha8Rng::seed_from_u64(!seed));
    for Row { function, counts, .. } in rows(shape, seed) {
        let Some(run) = &function.run_ms else { continue };
        for (minute, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let at_s = (minute as f64 + source.uniform()) * 60.0;
                let lasts_s = run.at(source.uniform() * 100.0) / 1e3;
                writeln!(out, "{},{},{:.6},{lasts_s:.6}", function.app, function.id, at_s + lasts_s)?;
            }
        }
    }
    Ok(())
}

/// Writes single invocations into a file of a directory.
pub fn invocations_file(shape: Shape, seed: u64, directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut partial = Partial::create(directory, &["invocations-2021.csv"])?;
    if let [(_, _, out)] = &mut partial.files[..] {
        write_invocations(shape, seed, out)?;
    }
    partial.finish()
}

#[cfg(test)]
mod tests {
    use super::super::super::{Calls, azure_2019, azure_2021};
    use super::super::generate;
    use super::*;

    const SHAPE: Shape = Shape { functions: 30, minutes: 60 };

    #[test]
    fn what_is_written_is_what_was_generated() {
        let directory = tempfile::tempdir().unwrap();
        let paths = files(SHAPE, 1, directory.path()).unwrap();
        let read = azure_2019::read(&paths[0], Some(&paths[1]), Some(&paths[2])).unwrap();
        let made = generate(SHAPE, 1);
        let (Calls::PerMinute(read_counts), Calls::PerMinute(counts)) = (&read.calls, &made.calls) else {
            panic!("counts")
        };
        assert_eq!((read_counts, read.minutes()), (counts, 60));
        for (one, other) in read.functions.iter().zip(&made.functions) {
            assert_eq!((&one.id, &one.app), (&other.id, &other.app));
            for percent in [0.0, 50.0, 99.0] {
                let at = |run: &Option<super::super::Percentiles>| run.as_ref().unwrap().at(percent);
                assert!((at(&one.run_ms) - at(&other.run_ms)).abs() <= 0.5);
                assert!((at(&one.memory_mb) - at(&other.memory_mb)).abs() <= 0.6 + at(&one.memory_mb) * 0.01);
            }
        }
        let path = invocations_file(SHAPE, 1, directory.path()).unwrap().remove(0);
        let single = azure_2021::read(&path).unwrap();
        assert_eq!(single.invocations(), made.invocations());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_full_disk_is_an_error_and_leaves_nothing() {
        let mut full = File::create("/dev/full").unwrap();
        let error = write_calls(SHAPE, rows(SHAPE, 1), &mut full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let directory = tempfile::tempdir().unwrap();
        // A directory stands where a table belongs: it cannot be replaced, and what was begun is removed.
        fs::create_dir_all(directory.path().join("invocations.csv/taken")).unwrap();
        files(SHAPE, 1, directory.path()).unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
