//! Times, sizes and numbers as operators write them: `12h`, `256KiB`, `100`, `yes`.

use std::fmt;
use std::num::IntErrorKind;
use std::str::FromStr;
use std::time::Duration;

/// A time: a whole number and its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A size: a whole number of bytes, `KiB` or `MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub usize);

/// A number that may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u32);

/// A number from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positive(pub u32);

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

const SPAN_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const BYTE_UNITS: [(&str, u64); 3] = [("MiB", 1024 * 1024), ("KiB", 1024), ("", 1)];

/// More would overflow sums with today's date.
const LONGEST_MS: u64 = 100 * 366 * 86_400_000;

/// The number in front of a unit, times that unit.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit in which it is a whole number.
fn show(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fitting = units.iter().find(|(_, factor)| amount.is_multiple_of(*factor));
    fitting.map_or(Ok(()), |(unit, factor)| write!(f, "{}{unit}", amount / factor))
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match amount(text, &SPAN_UNITS) {
            Some(ms @ 1..=LONGEST_MS) => Ok(Self(Duration::from_millis(ms))),
            Some(0) => Err("must not be zero".into()),
            Some(_) => Err(format!("'{text}' is more than a hundred years")),
            None => Err(format!("'{text}' is not a time like 500ms, 30s, 5m, 12h or 7d")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &SPAN_UNITS)
    }
}

impl Span {
    /// Reads a time of at least so much.
    pub fn at_least(least: Duration) -> impl Fn(&str) -> Result<Self, String> + Clone {
        move |text| match text.parse::<Self>()? {
            Self(time) if time < least => Err(format!("'{text}' is less than {}", Self(least))),
            fine => Ok(fine),
        }
    }
}

impl Bytes {
    /// Reads a size of at least so many bytes.
    pub fn at_least(least: usize) -> impl Fn(&str) -> Result<Self, String> + Clone {
        move |text| match text.parse::<Self>()? {
            Self(bytes) if bytes < least => Err(format!("'{text}' is less than {}", Self(least))),
            fine => Ok(fine),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match amount(text, &BYTE_UNITS).and_then(|bytes| usize::try_from(bytes).ok()) {
            // A size is also the size of somebody's buffer, and sums of it must not overflow.
            Some(bytes) if (1..=1 << 30).contains(&bytes) => Ok(Self(bytes)),
            Some(_) => Err(format!("'{text}' is not from 1 byte to 1024MiB")),
            None => Err(format!("'{text}' is not a size like 65536, 256KiB or 1MiB")),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0 as u64, &BYTE_UNITS)
    }
}

fn whole(text: &str, from: u32) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(number) if number >= from => Ok(number),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err(format!("'{text}' is too much")),
        _ => Err(format!("'{text}' is not a whole number, {from} or more")),
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        whole(text, 0).map(Self)
    }
}

impl FromStr for Positive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        whole(text, 1).map(Self)
    }
}

impl Positive {
    /// Reads a number from one to this.
    pub fn at_most(most: u32) -> impl Fn(&str) -> Result<Self, String> + Clone {
        move |text| match text.parse::<Self>()? {
            Self(number) if number > most => Err(format!("'{text}' is more than {most}")),
            fine => Ok(fine),
        }
    }

    /// The number, to count things in memory with.
    #[must_use]
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl Count {
    /// The number, to count things in memory with.
    #[must_use]
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl From<usize> for Count {
    fn from(number: usize) -> Self {
        Self(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

impl From<usize> for Positive {
    fn from(number: usize) -> Self {
        Self(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Positive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Self(true)),
            "false" | "no" | "off" | "0" => Ok(Self(false)),
            _ => Err(format!("'{text}' is neither 'true' nor 'false'")),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [("7d", 604_800), ("36h", 129_600), ("90m", 5_400), ("30s", 30)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0.as_secs(), seconds);
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        assert_eq!("500ms".parse(), Ok(Span(Duration::from_millis(500))));
        assert_eq!(Span(Duration::from_secs(43_200)).to_string(), "12h");
        assert_eq!(Span(Duration::from_secs(75)).to_string(), "75s");
        for bad in ["", "7", "d", "-1s", "1.5h", "1 h", "0s", "7days", "99999999999999999999d", "40000d", "1h30m"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("262144", 262_144), ("256KiB", 262_144), ("1MiB", 1_048_576), ("1000", 1_000)] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
        }
        assert_eq!(Bytes(262_144).to_string(), "256KiB");
        assert_eq!(Bytes(1_000).to_string(), "1000");
        for bad in ["", "0", "-1", "1kb", "1GiB", "2048MiB", "MiB"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(Positive::at_most(9)("9"), Ok(Positive(9)));
        assert_eq!(Positive::at_most(9)("10").unwrap_err(), "'10' is more than 9");
        assert!(Positive::at_most(9)("0").is_err());
        assert_eq!(Span::at_least(Duration::from_secs(1))("999ms").unwrap_err(), "'999ms' is less than 1s");
        assert_eq!(Bytes::at_least(1024)("1KiB"), Ok(Bytes(1024)));
        assert_eq!(Bytes::at_least(1024)("1000").unwrap_err(), "'1000' is less than 1KiB");
    }

    #[test]
    fn numbers_and_switches() {
        assert_eq!("0".parse(), Ok(Count(0)));
        assert_eq!("10".parse(), Ok(Positive(10)));
        assert_eq!("No".parse(), Ok(Switch(false)));
        assert!("0".parse::<Positive>().is_err());
        for bad in ["", "-1", "1.0", "1e3", "many"] {
            assert!(bad.parse::<Count>().is_err(), "{bad}");
        }
        assert_eq!("5000000000".parse::<Count>().unwrap_err(), "'5000000000' is too much");
        assert!("maybe".parse::<Switch>().is_err());
    }
}
