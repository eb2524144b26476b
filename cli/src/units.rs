//! Numbers for people.

/// A byte count in binary units: `512 B`, `18.8 MiB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A duration: `0.42 ms`, `3.10 s`.
pub(crate) fn millis(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.2} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

/// An age: `5s`, `2m10s`, `3h05m`, `2d04h`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a sane range first")]
pub(crate) fn age(seconds: f64) -> String {
    let s = seconds.clamp(0.0, 1e12) as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(134_217_728), "128.0 MiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn durations_and_ages() {
        assert_eq!(millis(0.417), "0.42 ms");
        assert_eq!(millis(3100.0), "3.10 s");
        assert_eq!(age(5.9), "5s");
        assert_eq!(age(130.0), "2m10s");
        assert_eq!(age(11_100.0), "3h05m");
        assert_eq!(age(187_200.0), "2d04h");
        assert_eq!(age(f64::NAN), "0s");
    }
}
