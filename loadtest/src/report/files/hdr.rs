//! HdrHistogram's own files: percentile spectra, as its plotter reads them, and interval logs.

use crate::report::{Document, RunReport};
use crate::tally::{Start, histogram};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

const NS_PER_MS: f64 = 1e6;
/// Lines of a spectrum for each halving of the distance to 100 %.
const TICKS: u32 = 5;

/// The percentile spectrum of nanoseconds, in milliseconds.
pub fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text =
        format!("{:>14} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0_u64;
    for value in histogram.iter_quantiles(TICKS) {
        total = total.saturating_add(value.count_since_last_iteration());
        let (ms, share) = (value.value_iterated_to() as f64 / NS_PER_MS, value.quantile_iterated_to());
        let _ = if share < 1.0 {
            writeln!(text, "{ms:>14.6} {share:>2.12} {total:>10} {:>14.2}", 1.0 / (1.0 - share))
        } else {
            writeln!(text, "{ms:>14.6} {share:>2.12} {total:>10}")
        };
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_MS, histogram.stdev() / NS_PER_MS);
    let _ = writeln!(text, "#[Mean    = {mean:>14.6}, StdDeviation   = {deviation:>14.6}]");
    let _ = writeln!(
        text,
        "#[Max     = {:>14.6}, Total count    = {:>14}]",
        histogram.max() as f64 / NS_PER_MS,
        histogram.len()
    );
    let _ = writeln!(
        text,
        "#[Buckets = {:>14}, SubBuckets     = {:>14}]",
        histogram.buckets(),
        sub_buckets(histogram)
    );
    text
}

/// Places that a bucket is divided into: enough for the digits that count.
fn sub_buckets(histogram: &Histogram<u64>) -> u64 {
    (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two()
}

/// All histograms of a document as an interval log, one interval for each run, call, start and kind of time. The tag says which.
/// Documents do not say when a run began: runs stand one after another.
pub fn hlog(document: &Document) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let start = document.date.parse::<jiff::Timestamp>().map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    // Times before 1970 have no place in the format.
    let start = start.max(SystemTime::UNIX_EPOCH);
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("nanoseconds; maxima in milliseconds; tags: system|call|start|kind|repetition; pauses between runs are not known")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(NS_PER_MS);
    let mut log =
        builder.begin_log_with(&mut bytes, &mut serializer).expect("writing to memory does not fail");
    let mut at = Duration::ZERO;
    for run in &document.runs {
        let lasts = Duration::try_from_secs_f64(run.seconds).unwrap_or_default();
        for latency in &run.latencies {
            for (kind, packed) in [("response", &latency.response), ("service", &latency.service)] {
                let tag =
                    [&run.system, &latency.call, latency.start.name(), kind, &run.repetition.to_string()];
                let tag = tag.map(tag_part).join("|");
                log.write_histogram(&packed.0, at, lasts, Tag::new(&tag))
                    .expect("writing to memory does not fail");
            }
        }
        at = at.saturating_add(lasts);
    }
    bytes
}

/// Text without what ends a tag or the line.
fn tag_part(text: &str) -> String {
    let ends = |c: char| c == ',' || c == '|' || c.is_whitespace() || c.is_control();
    text.chars().map(|c| if ends(c) { '_' } else { c }).collect()
}

/// Every distribution of runs by system, start and kind of time, with its name; calls and repetitions together.
pub(super) fn histograms(runs: &[RunReport]) -> Vec<(String, Histogram<u64>)> {
    let mut sums: BTreeMap<(&str, Start, &str), Histogram<u64>> = BTreeMap::new();
    for run in runs {
        for latency in &run.latencies {
            for (kind, packed) in [("response", &latency.response), ("service", &latency.service)] {
                packed.add_to(sums.entry((&run.system, latency.start, kind)).or_insert_with(histogram));
            }
        }
    }
    let name = |system: &str, start: Start, kind: &str| match start {
        Start::None => format!("{system}.{kind}"),
        _ => format!("{system}.{}.{kind}", start.name()),
    };
    sums.into_iter().map(|((system, start, kind), sum)| (name(system, start, kind), sum)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn a_spectrum_is_as_the_plotter_reads_it() {
        let run = samples::run("a", 0, &[(Start::New, 1000)]);
        let text = hgrm(&run.latencies[0].response.0);
        let lines: Vec<&str> = text.lines().collect();
        let head: Vec<&str> = lines[0].split_whitespace().collect();
        assert_eq!((head, lines[1]), (vec!["Value", "Percentile", "TotalCount", "1/(1-Percentile)"], ""));
        let rows: Vec<Vec<f64>> = lines[2..lines.len() - 3]
            .iter()
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        let (last, others) = rows.split_last().unwrap();
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 1000.0));
        assert!(
            others.iter().all(|row| row.len() == 4 && (row[3] - 1.0 / (1.0 - row[1])).abs() <= row[3] * 0.01)
        );
        assert!(rows.is_sorted_by(|one, next| one[0] <= next[0] && one[1] <= next[1] && one[2] <= next[2]));
        assert!(lines[lines.len() - 3].starts_with("#[Mean    = "));
        assert!(lines[lines.len() - 2].contains("Total count    =           1000]"));
        assert!(hgrm(&histogram()).lines().count() >= 4);
    }

    #[test]
    fn a_log_is_read_back_by_the_library_with_its_tags_and_stamps() {
        let mut document = samples::document();
        document.runs[0].system = "a b,c|\n\u{1F600}".to_owned();
        let bytes = hlog(&document);
        let mut intervals = Vec::new();
        let mut started = None;
        for entry in IntervalLogIterator::new(&bytes) {
            match entry.unwrap() {
                LogEntry::Interval(interval) => intervals.push(interval),
                LogEntry::StartTime(time) => started = Some(time.as_secs()),
                LogEntry::BaseTime(_) => {}
            }
        }
        assert_eq!(started, Some(1_767_323_045));
        assert_eq!(intervals.len(), 5 * 4 * 2);
        assert_eq!(intervals[0].tag().unwrap().as_str(), "a_b_c__\u{1F600}|hello|recycled|response|0");
        assert_eq!(intervals[8].tag().unwrap().as_str(), "python-hello|hello|recycled|response|1");
        assert_eq!((intervals[8].start_timestamp().as_secs(), intervals[8].duration().as_secs()), (10, 10));
        let raw = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            intervals[0].encoded_histogram(),
        );
        let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &raw.unwrap()[..]).unwrap();
        assert_eq!(histogram, document.runs[0].latencies[0].response.0);
    }
}
