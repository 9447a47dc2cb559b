//! Value parsers for settings: durations, sizes, whole numbers and socket addresses.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

/// Longer durations could overflow when they are added to the current time.
const MAX_DURATION: Duration = Duration::from_secs(100 * 366 * 86_400);
/// Sizes are also the sizes of buffers, and sums of them must not overflow.
const MAX_SIZE: u64 = 1 << 30;

/// Returns a parser of durations that are not shorter than `min`.
pub fn duration(min: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| match humantime::parse_duration(text) {
        // `M` is a month for humantime. An operator who writes it probably means minutes.
        Err(_) => Err(format!("'{text}' is not a duration like 500ms, 30s, 5m, 12h or 7d")),
        Ok(_) if text.contains('M') => Err(format!("'{text}' has the unit M; write m for minutes, or d for days")),
        Ok(duration) if duration < min => Err(format!("'{text}' is less than {}", humantime::format_duration(min))),
        Ok(duration) if duration > MAX_DURATION => Err(format!("'{text}' is more than a hundred years")),
        Ok(duration) => Ok(duration),
    }
}

/// Returns a parser of sizes, in bytes, that are not smaller than `min`. Decimal units such as `MB` are refused, because
/// operators who write `1M` may mean either 1,000,000 or 1,048,576 bytes.
pub fn size(min: u64) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let is_binary = text.ends_with("iB") || text.ends_with(|c: char| c.is_ascii_digit());
        match text.parse::<ByteSize>() {
            Ok(size) if is_binary && size.0 < min => Err(format!("'{text}' is less than {}", ByteSize(min))),
            Ok(size) if is_binary && size.0 > MAX_SIZE => Err(format!("'{text}' is more than {}", ByteSize(MAX_SIZE))),
            Ok(size) if is_binary => usize::try_from(size.0).map_err(|error| error.to_string()),
            _ => Err(format!("'{text}' is not a size like 65536, 256KiB or 1MiB")),
        }
    }
}

/// Returns a parser of whole numbers in `range`.
pub fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (min, max) = (range.start(), range.end());
        number.ok_or_else(|| format!("'{text}' is not a whole number from {min} to {max}"))
    }
}

/// Parses an IP address with a port. The error says how to write one.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not an address and port like 127.0.0.1:8000, 0.0.0.0:8000 or [::]:8000"))
}

/// Parses the address of a web page, and removes slashes at its end. The error says how to write one.
pub fn web_address(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is not an address like https://chat.example or https://example.org/chat");
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
    let is_plain = |c: char| c.is_ascii_graphic() && !"?#\"<>\\^`{|}".contains(c);
    let trimmed = text.trim_end_matches('/');
    if rest.starts_with('/') || rest.is_empty() || !rest.chars().all(is_plain) {
        return Err(wrong());
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let parse = duration(Duration::from_millis(1));
        for (text, seconds) in [("7d", 604_800), ("36h", 129_600), ("90m", 5_400), ("30s", 30), ("1h 30m", 5_400)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "7", "d", "-1s", "0s", "1M", "99999999999999999999d", "40000d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(duration(Duration::from_secs(1))("999ms").unwrap_err(), "'999ms' is less than 1s");
    }

    #[test]
    fn sizes() {
        let parse = size(1);
        for (text, bytes) in [("262144", 262_144), ("256KiB", 262_144), ("1MiB", 1_048_576), ("1000", 1_000)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse("1024MiB"), Ok(1 << 30));
        for bad in ["", "0", "-1", "1kb", "1M", "1MB", "1.5", "1025MiB", "2GiB", "MiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(size(1024)("1000").unwrap_err(), "'1000' is less than 1.0 KiB");
    }

    #[test]
    fn numbers() {
        let parse = number(1..=9_u32);
        assert_eq!(parse("9"), Ok(9));
        for bad in ["", "0", "10", "-1", "1.0", "1e3", "many", "5000000000"] {
            assert_eq!(parse(bad).unwrap_err(), format!("'{bad}' is not a whole number from 1 to 9"));
        }
    }
}
