//! A [`DeployConfig`] checked: sizes and times parsed, limits enforced, defaults filled in.

use crate::api::DeployConfig;
use crate::error::Failure;
use std::collections::BTreeMap;
use std::time::Duration;

/// Least memory of a program.
pub const MEMORY_MIN_BYTES: u64 = abi::layout::PROGRAM_MIN;
/// Most memory of a program.
pub const MEMORY_MAX_BYTES: u64 = 10 << 30;
/// Longest run of one request when nothing is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
/// The longest run that can be asked for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);
/// Port of a program when nothing is said.
pub const PORT_DEFAULT: u16 = 8080;
/// Most live VMs of a function when nothing is said.
pub const CONCURRENCY_DEFAULT: usize = 128;
/// Most live VMs of a function that can be asked for.
pub const CONCURRENCY_MAX: usize = 10_000;
/// Most bytes of names and values of the environment together.
pub const ENV_MAX_BYTES: usize = 32 << 10;

/// What [`DeployConfig`] says, checked. Runtime and handler are checked against the package later.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub runtime: Option<String>,
    pub handler: Option<String>,
    /// As the runtime needs when nothing is said.
    pub memory_bytes: Option<u64>,
    pub timeout: Duration,
    pub env: BTreeMap<String, String>,
    pub port: u16,
    pub max_concurrency: usize,
}

impl TryFrom<DeployConfig> for Settings {
    type Error = Failure;

    fn try_from(config: DeployConfig) -> Result<Self, Failure> {
        check_env(&config.env)?;
        let memory = config.memory.as_deref().map(parse_memory).transpose()?;
        let timeout = config.timeout.as_deref().map_or(Ok(TIMEOUT_DEFAULT), parse_timeout)?;
        let max_concurrency = config.max_concurrency.unwrap_or(CONCURRENCY_DEFAULT);
        if !(1..=CONCURRENCY_MAX).contains(&max_concurrency) {
            let message = format!("max_concurrency {max_concurrency} is not from 1 to {CONCURRENCY_MAX}");
            return Err(Failure::parameter(message, "Leave it out for 128."));
        }
        let port = config.port.unwrap_or(PORT_DEFAULT);
        if port == 0 {
            return Err(Failure::parameter(
                "port 0 is not a port",
                "Choose 1 to 65535, or leave it out for 8080.",
            ));
        }
        Ok(Self {
            runtime: config.runtime,
            handler: config.handler,
            memory_bytes: memory,
            timeout,
            env: config.env,
            port,
            max_concurrency,
        })
    }
}

/// Splits `128MiB` into number and unit. A decimal fraction is allowed: `1.5GiB`.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// Thousandths of a unit: exact, unlike a float.
fn thousandths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(fraction)
}

/// Bytes of memory as `--memory` gives them.
pub fn program_memory(text: &str) -> Result<u64, String> {
    parse_memory(text).map_err(|failure| failure.to_string())
}

/// A time as `--timeout` gives it, up to the longest that can be asked for.
pub fn run_time(text: &str) -> Result<Duration, String> {
    parse_timeout(text).map_err(|failure| failure.to_string())
}

/// Bytes, rounded up to whole large pages, of which a VM's memory consists.
fn parse_memory(text: &str) -> Result<u64, Failure> {
    let hint = "Write it like 128MiB, 1GiB or a number of bytes; from 16MiB to 10GiB.";
    let (number, unit) = split_unit(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1u64 << 30),
        _ => None,
    };
    let scaled = factor.zip(thousandths(number)).and_then(|(factor, number)| number.checked_mul(factor));
    let Some(scaled) = scaled else {
        return Err(Failure::parameter(format!("memory `{}` is not a size", shorten(text)), hint));
    };
    let bytes = scaled.div_ceil(1000);
    if !(MEMORY_MIN_BYTES..=MEMORY_MAX_BYTES).contains(&bytes) {
        let message = format!("memory `{}` is not from 16MiB to 10GiB", shorten(text));
        return Err(Failure::parameter(message, hint));
    }
    Ok(bytes.next_multiple_of(abi::layout::HUGE))
}

fn parse_timeout(text: &str) -> Result<Duration, Failure> {
    let hint = "Write it like 3s, 500ms or 2m; from 1ms to 15m.";
    let (number, unit) = split_unit(text);
    let millis_a_unit = match unit.to_ascii_lowercase().as_str() {
        "ms" => Some(1),
        "" | "s" | "sec" => Some(1000),
        "m" | "min" => Some(60_000u64),
        _ => None,
    };
    let scaled = millis_a_unit.zip(thousandths(number)).and_then(|(unit, number)| number.checked_mul(unit));
    let Some(scaled) = scaled else {
        return Err(Failure::parameter(format!("timeout `{}` is not a time", shorten(text)), hint));
    };
    let timeout = Duration::from_millis(scaled / 1000);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(Failure::parameter(format!("timeout `{}` is not from 1ms to 15m", shorten(text)), hint));
    }
    Ok(timeout)
}

fn check_env(env: &BTreeMap<String, String>) -> Result<(), Failure> {
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) {
            let message =
                format!("`{}` is not the name of an environment variable", shorten(name).escape_debug());
            return Err(Failure::parameter(message, "Names are not empty and have no `=`."));
        }
        if value.contains('\0') {
            let message =
                format!("the value of environment variable `{}` has a NUL character", shorten(name));
            return Err(Failure::parameter(message, "Encode binary values, for instance as base64."));
        }
    }
    let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if bytes > ENV_MAX_BYTES {
        let message = format!("the environment has {bytes} bytes, more than {ENV_MAX_BYTES}");
        return Err(Failure::parameter(message, "Put large values into a file of the package."));
    }
    Ok(())
}

/// Enough of a client's text to recognise it.
fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn memory(text: &str) -> Result<u64, String> {
        parse_memory(text).map_err(|failure| failure.to_string())
    }

    fn timeout(text: &str) -> Result<Duration, String> {
        parse_timeout(text).map_err(|failure| failure.to_string())
    }

    #[test]
    fn sizes_are_understood() {
        for text in ["128MiB", "128 MiB", "128M", "128mb", "134217728", "134217728B", "0.125GiB", "131072k"] {
            assert_eq!(memory(text), Ok(128 << 20), "{text}");
        }
        assert_eq!(memory("1.5GiB"), Ok(3 << 29));
        assert_eq!(memory("16MiB"), Ok(16 << 20));
        assert_eq!(memory("10GiB"), Ok(10 << 30));
        assert_eq!(memory("100000000"), Ok(100_663_296), "rounded up to large pages");
        for text in [
            "",
            "MiB",
            "-1MiB",
            "12XiB",
            "1.2345GiB",
            "1..5GiB",
            "1.GiB",
            "99999999999999999999G",
            "18446744073709551615G",
        ] {
            assert!(memory(text).unwrap_err().contains("not a size"), "{text}");
        }
        for text in ["0", "15MiB", "11GiB", "10241MiB"] {
            assert!(memory(text).unwrap_err().contains("16MiB to 10GiB"), "{text}");
        }
    }

    #[test]
    fn times_are_understood() {
        for (text, millis) in
            [("3s", 3000), ("500ms", 500), ("2m", 120_000), ("1.5s", 1500), ("3", 3000), ("15m", 900_000)]
        {
            assert_eq!(timeout(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "3h", "1,5s", "99999999999999999999s"] {
            assert!(timeout(text).unwrap_err().contains("not a time"), "{text}");
        }
        for text in ["0s", "0.5ms", "16m", "901s"] {
            assert!(timeout(text).unwrap_err().contains("1ms to 15m"), "{text}");
        }
    }

    #[test]
    fn an_empty_config_has_defaults() {
        let settings = Settings::try_from(DeployConfig::default()).unwrap();
        assert_eq!(settings.memory_bytes, None);
        assert_eq!(settings.timeout, Duration::from_secs(3));
        assert_eq!((settings.port, settings.max_concurrency), (8080, 128));
    }

    #[test]
    fn limits_are_enforced() {
        let refuse = |config: DeployConfig, word: &str| {
            let message = Settings::try_from(config).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        };
        let env = |name: &str, value: &str| DeployConfig {
            env: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..DeployConfig::default()
        };
        refuse(env("", "x"), "environment");
        refuse(env("A=B", "x"), "environment");
        refuse(env("A", "x\0"), "NUL");
        refuse(env("A", &"x".repeat(ENV_MAX_BYTES)), "bytes");
        assert!(Settings::try_from(env("A", &"x".repeat(ENV_MAX_BYTES - 3))).is_ok());
        refuse(DeployConfig { port: Some(0), ..DeployConfig::default() }, "port");
        refuse(DeployConfig { max_concurrency: Some(0), ..DeployConfig::default() }, "max_concurrency");
        refuse(DeployConfig { max_concurrency: Some(10_001), ..DeployConfig::default() }, "max_concurrency");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*") {
            drop(parse_memory(&text));
            drop(parse_timeout(&text));
        }

        #[test]
        fn accepted_sizes_are_in_range(number in 0u64..20_000, unit in "(|k|M|GiB)") {
            if let Ok(bytes) = parse_memory(&format!("{number}{unit}")) {
                prop_assert!((MEMORY_MIN_BYTES..=MEMORY_MAX_BYTES).contains(&bytes));
                prop_assert_eq!(bytes % abi::layout::HUGE, 0);
            }
        }
    }
}
