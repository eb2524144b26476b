//! `Server-Timing`: where the platform says the time of a request went.

use http::HeaderMap;

/// Name and milliseconds of each part, in the order the platform sent them.
pub(crate) fn parse(headers: &HeaderMap) -> Vec<(String, f64)> {
    let values = headers.get_all("server-timing").iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).filter_map(part).collect()
}

fn part(text: &str) -> Option<(String, f64)> {
    let mut fields = text.split(';').map(str::trim);
    let name = fields.next().filter(|n| !n.is_empty())?;
    let duration = fields.find_map(|f| f.strip_prefix("dur="))?;
    Some((name.to_owned(), duration.trim_matches('"').parse().ok()?))
}

/// `queue 0.01 ms, fork 0.05 ms`.
pub(crate) fn render(parts: &[(String, f64)]) -> String {
    let parts: Vec<_> =
        parts.iter().map(|(name, ms)| format!("{name} {}", crate::units::millis(*ms))).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_nonsense_is_left_out() {
        let mut headers = HeaderMap::new();
        headers.append("server-timing", "queue;dur=0.05, fork;desc=\"x\";dur=0.42".parse().expect("header"));
        headers.append("server-timing", "total;dur=3,odd,;dur=1,bad;dur=x".parse().expect("header"));
        let parts = parse(&headers);
        assert_eq!(parts, [("queue".into(), 0.05), ("fork".into(), 0.42), ("total".into(), 3.0)]);
        assert_eq!(render(&parts), "queue 0.05 ms, fork 0.42 ms, total 3.00 ms");
    }
}
