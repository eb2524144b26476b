//! What an experiment says, as JSON.

use super::run::RunReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the document. Grows when a field changes its meaning or goes away; new fields alone do not count.
pub const SCHEMA: u32 = 1;

/// The result of an experiment. Everything that is shown of it is in here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the experiment: `run`, `latency`, `knee`, ...
    pub experiment: String,
    /// What it asks, in a sentence.
    pub question: String,
    /// The command that repeats it.
    pub command: String,
    /// When it began, RFC 3339.
    pub date: String,
    /// What measured.
    pub tool: Tool,
    /// Where.
    pub machine: Machine,
    /// Options as they were used, defaults included.
    pub settings: BTreeMap<String, String>,
    /// What it comes down to. Two documents are compared by these.
    pub measures: Vec<Measure>,
    /// Tables, in order.
    pub tables: Vec<Table>,
    /// Plots, in order.
    pub plots: Vec<Plot>,
    /// What a reader must know: failures, limits reached, a generator that was too slow.
    pub notes: Vec<String>,
    /// Every run that was counted.
    #[serde(deserialize_with = "super::run::read")]
    pub runs: Vec<RunReport>,
}

/// The program that measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Version.
    pub version: String,
    /// Commit, if it is known.
    pub commit: Option<String>,
    /// Whether the compiler optimised; figures of other builds are worthless.
    pub optimised: bool,
}

/// The machine. What its kernel does not tell is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Processor model.
    pub cpu: String,
    /// Processors the kernel uses.
    pub cores: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// The KVM module: `kvm_intel`, `kvm_amd`, `kvm_pvm`.
    pub kvm: String,
    /// Hypervisor this machine itself runs under, as its processor says.
    pub hypervisor: String,
    /// Frequency governor.
    pub governor: String,
    /// Processor flaws that are mitigated, by name.
    pub mitigations: BTreeMap<String, String>,
    /// Transparent huge pages: `always`, `madvise`, `never`.
    pub huge_pages: String,
    /// Open files that a process may have.
    pub open_files_max: u64,
    /// Runnable threads, averaged over a minute, when the experiment began: whether the machine was quiet.
    pub load: f64,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Less.
    Lower,
    /// More.
    Higher,
}

/// A number that the experiment is made for, once for each repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Name, unique in the document: `python-hello recycled p99`.
    pub name: String,
    /// Unit: `ms`, `1/s`, `MiB`, `machines`.
    pub unit: String,
    /// Which way is better.
    pub better: Better,
    /// One value a repetition.
    pub values: Vec<f64>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Title.
    pub title: String,
    /// Column heads, with units.
    pub columns: Vec<String>,
    /// Rows, as long as the heads.
    pub rows: Vec<Vec<String>>,
}

/// A plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Title.
    pub title: String,
    /// How the points are drawn.
    pub kind: PlotKind,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlotKind {
    /// Joined by lines.
    Lines,
    /// Steps, as of a distribution.
    Steps,
    /// Alone.
    Points,
    /// Bars over the categories of the x axis, series stacked: points are (index of the category, height).
    StackedBars,
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Label, with the unit.
    pub label: String,
    /// Its scale.
    pub scale: Scale,
    /// Names of the places, for bars; empty otherwise.
    #[serde(default)]
    pub categories: Vec<String>,
}

/// A scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Even.
    Linear,
    /// By powers of ten.
    Log,
}

/// Points with something in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Points, by x.
    pub points: Vec<(f64, f64)>,
    /// For each point the lower and upper end of its 95 % interval; empty if there are none.
    #[serde(default)]
    pub intervals: Vec<(f64, f64)>,
}
