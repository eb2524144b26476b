//! Metrics of the platform, in the text format of Prometheus.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metrics(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    /// Reads a scrape; lines that are not understood are left out.
    pub(super) fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Metrics(lines.filter_map(sample).collect())
    }

    /// The sum of a metric for each function, whatever its other labels.
    pub(super) fn by_function(&self, name: &str) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.0.iter().filter(|sample| sample.name == name) {
            if let Some(function) = function_of(&sample.labels) {
                *sums.entry(function).or_default() += sample.value;
            }
        }
        sums
    }

    /// A metric without labels.
    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|sample| sample.name == name).map(|sample| sample.value)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) =
        head.split_once('{').map_or((head, ""), |(name, rest)| (name, rest.trim_end_matches('}')));
    Some(Sample { name: name.to_owned(), labels: labels.to_owned(), value: value.parse().ok()? })
}

fn function_of(labels: &str) -> Option<&str> {
    labels.split("function=\"").nth(1)?.split('"').next()
}

/// Processor time of a process of this machine, in seconds.
pub(super) fn cell_seconds(pid: u32) -> Option<f64> {
    /// Clock ticks are hundredths of a second in everything the kernel shows to user space on x86.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_by_function() {
        let text = "# HELP x y\nspore_forks_total{function=\"a\",start=\"new\"} 3\n\
                    spore_forks_total{function=\"b\",start=\"new\"} 4\nspore_forks_total{function=\"a\",start=\"recycled\"} 5\n\
                    spore_vms_max 128\nnonsense\n";
        let metrics = Metrics::parse(text);
        let forks = metrics.by_function("spore_forks_total");
        assert_eq!(forks, BTreeMap::from([("a", 8.0), ("b", 4.0)]));
        assert!(metrics.by_function("spore_vms_max").is_empty());
        assert_eq!((metrics.get("spore_vms_max"), metrics.get("none")), (Some(128.0), None));
        assert!(cell_seconds(std::process::id()).is_some_and(|seconds| seconds >= 0.0));
        assert_eq!(cell_seconds(u32::MAX), None);
    }
}
