//! Figures as people read them: three or four significant digits, and the unit that fits.

use crate::results::Quantile;

/// Nanoseconds with three significant digits: `847 ns`, `412 us`, `9.41 ms`, `1.24 s`.
pub fn time(ns: f64) -> String {
    let (value, unit) = if ns < 999.5 {
        (ns, "ns")
    } else if ns < 999.5e3 {
        (ns / 1e3, "us")
    } else if ns < 999.5e6 {
        (ns / 1e6, "ms")
    } else {
        (ns / 1e9, "s")
    };
    if unit == "ns" {
        return format!("{value:.0} ns");
    }
    format!("{} {unit}", digits(value, 3))
}

/// A value of a distribution: `9.41 ms`, `> 3 s` where it is known to be above that, `no answer` where nothing more is
/// known than that none came, `-` where there are no values.
pub fn quantile(quantile: Quantile) -> String {
    match quantile {
        Quantile::Ns(ns) => time(ns as f64),
        Quantile::Above(0) => "no answer".to_owned(),
        Quantile::Above(ns) => format!("> {}", trim(&time(ns as f64))),
        Quantile::None => "-".to_owned(),
    }
}

/// Events a second: whole ones with their thousands apart from 100 up, three significant digits below: `0.250/s`,
/// `20,997/s`.
pub fn rate(per_second: f64) -> String {
    format!("{}/s", plain_rate(per_second))
}

/// The same without its unit, for a column that names it.
pub fn plain_rate(per_second: f64) -> String {
    if per_second >= 99.95 {
        count(per_second.round() as u64)
    } else {
        digits(per_second, 3)
    }
}

/// A value of a distribution in milliseconds without the unit, for a column that names it: `9.41`, `> 3000`, `-`.
pub fn ms(quantile: Quantile) -> String {
    match quantile {
        Quantile::Ns(ns) => digits(ns as f64 / 1e6, 3),
        Quantile::Above(0) => "never".to_owned(),
        Quantile::Above(ns) => format!("> {}", digits(ns as f64 / 1e6, 1)),
        Quantile::None => "-".to_owned(),
    }
}

/// A moment to the second, as UTC: of `2026-11-24T05:05:13.217821482Z` it is `2026-11-24 05:05:13`. What has another form
/// is left as it is.
pub fn moment(iso: &str) -> String {
    match iso.split_once('T') {
        Some((date, time)) if time.is_char_boundary(8) && time.ends_with('Z') => {
            format!("{date} {}", time.get(..8).unwrap_or(time))
        }
        _ => iso.to_owned(),
    }
}

/// Bytes a second in binary units with three significant digits: `20.5 MiB/s`.
pub fn bytes_rate(per_second: f64) -> String {
    format!("{}/s", bytes(per_second))
}

/// Bytes in binary units with three significant digits: `512 B`, `15.6 GiB`.
pub fn bytes(count: f64) -> String {
    for (unit, scale) in [
        ("GiB", 1024.0 * 1024.0 * 1024.0),
        ("MiB", 1024.0 * 1024.0),
        ("KiB", 1024.0),
    ] {
        if count >= scale {
            return format!("{} {unit}", digits(count / scale, 3));
        }
    }
    format!("{count:.0} B")
}

/// A whole number with its thousands apart: `1,234,567`.
pub fn count(value: u64) -> String {
    let plain = value.to_string();
    let mut shown = String::with_capacity(plain.len() + plain.len() / 3);
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A share in percent, never rounded to a round figure that it does not reach: 99.996% is not shown as 100%.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    if part == whole {
        return "100%".to_owned();
    }
    // Cut, not rounded, in whole numbers: two decimals, or as many more as it takes to show that it is not nothing.
    for decimals in 2..=9 {
        let scale = 10_u128.pow(decimals);
        let cut = u128::from(part) * 100 * scale / u128::from(whole);
        if part == 0 || cut > 0 || decimals == 9 {
            let (percent, fraction) = (cut / scale, cut % scale);
            return format!("{percent}.{fraction:0width$}%", width = decimals as usize);
        }
    }
    String::new()
}

/// A value with so many significant digits, written without an exponent. Whole digits are never rounded away.
fn digits(value: f64, significant: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let decimals = |value: f64| (significant - 1 - value.abs().log10().floor() as i32).clamp(0, 9);
    let text = format!("{value:.*}", decimals(value) as usize);
    // 9.996 with three digits rounds up to 10.00, which has four.
    let rounded: f64 = text.parse().unwrap_or(value);
    format!("{value:.*}", decimals(rounded) as usize)
}

/// `3.00 s` as `3 s`: limits are round figures and look better so.
fn trim(text: &str) -> String {
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!(
                "{} {unit}",
                number.trim_end_matches('0').trim_end_matches('.')
            )
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_the_unit_that_fits() {
        for (ns, text) in [
            (0.0, "0 ns"),
            (847.0, "847 ns"),
            (999.6, "1.00 us"),
            (412_345.0, "412 us"),
            (999_600.0, "1.00 ms"),
            (9_412_345.0, "9.41 ms"),
            (9_996_000.0, "10.0 ms"),
            (41_200_000.0, "41.2 ms"),
            (1_237_000_000.0, "1.24 s"),
            (4_200_000_000_000.0, "4200 s"),
        ] {
            assert_eq!(time(ns), text);
        }
        assert_eq!(quantile(Quantile::Above(3_000_000_000)), "> 3 s");
        assert_eq!(quantile(Quantile::Above(2_500_000_000)), "> 2.5 s");
        assert_eq!(quantile(Quantile::Above(0)), "no answer");
    }

    #[test]
    fn rates_and_counts_stay_short() {
        for (value, text) in [
            (0.0, "0/s"),
            (0.25, "0.250/s"),
            (99.94, "99.9/s"),
            (99.96, "100/s"),
            (987.04, "987/s"),
            (20_997.3, "20,997/s"),
            (1_250_000.2, "1,250,000/s"),
        ] {
            assert_eq!(rate(value), text);
        }
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(21_504.0 * 1024.0), "21.0 MiB");
    }

    #[test]
    fn columns_of_milliseconds_and_moments_carry_no_more_than_is_read() {
        for (value, text) in [
            (Quantile::Ns(41_200), "0.0412"),
            (Quantile::Ns(86_240_000), "86.2"),
            (Quantile::Ns(1_140_000_000), "1140"),
            (Quantile::Above(3_000_000_000), "> 3000"),
            (Quantile::Above(0), "never"),
            (Quantile::None, "-"),
        ] {
            assert_eq!(ms(value), text);
        }
        assert_eq!(
            moment("2026-11-24T05:05:13.217821482Z"),
            "2026-11-24 05:05:13"
        );
        assert_eq!(moment("2026-11-24T05:05:13Z"), "2026-11-24 05:05:13");
        assert_eq!(moment("yesterday"), "yesterday");
    }

    #[test]
    fn a_share_never_claims_to_be_whole_when_it_is_not() {
        for (part, whole, text) in [
            (0, 0, "-"),
            (5, 5, "100%"),
            (0, 5, "0.00%"),
            (99_999, 100_000, "99.99%"),
            (999_999_999, 1_000_000_000, "99.99%"),
            (995, 1000, "99.50%"),
            (1, 1_000_000, "0.0001%"),
            (11, 10, "110.00%"),
        ] {
            assert_eq!(share(part, whole), text, "{part}/{whole}");
        }
    }
}
