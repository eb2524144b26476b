//! Measures as CSV.

use crate::report::{Better, Measure};
use crate::significance::interval;

/// One line a measure: name, unit, which way is better, number of values, mean, 95 % interval, and the values with spaces between.
pub fn csv(measures: &[Measure]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    let heads =
        ["measure", "unit", "better", "n", "mean", "ci95_low", "ci95_high", "values"].map(str::to_owned);
    for record in std::iter::once(heads).chain(measures.iter().map(record)) {
        writer.write_record(&record).expect("writing to memory does not fail");
    }
    writer.into_inner().expect("writing to memory does not fail")
}

fn record(measure: &Measure) -> [String; 8] {
    let better = match measure.better {
        Better::Lower => "lower",
        Better::Higher => "higher",
    };
    let known = interval(&measure.values);
    let part = |of: fn(&crate::significance::Interval) -> f64| {
        known.as_ref().map_or_else(String::new, |interval| of(interval).to_string())
    };
    // A single value has no spread.
    let spread = |of| if measure.values.len() > 1 { part(of) } else { String::new() };
    let values: Vec<String> = measure.values.iter().map(f64::to_string).collect();
    [
        measure.name.clone(),
        measure.unit.clone(),
        better.to_owned(),
        measure.values.len().to_string(),
        part(|interval| interval.mean),
        spread(|interval| interval.low),
        spread(|interval| interval.high),
        values.join(" "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_and_quotes_stay_one_field() {
        let name = "a,\"b\"\nc".to_owned();
        let measure = Measure { name, unit: "ms".to_owned(), better: Better::Higher, values: vec![1.5, 1.5] };
        let empty = Measure { name: "none".to_owned(), values: Vec::new(), ..measure.clone() };
        let text = String::from_utf8(csv(&[measure, empty])).unwrap();
        let lines = "\"a,\"\"b\"\"\nc\",ms,higher,2,1.5,1.5,1.5,1.5 1.5\nnone,ms,higher,0,,,,\n";
        assert_eq!(text.split_once('\n').unwrap().1, lines);
    }
}
