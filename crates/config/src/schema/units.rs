//! Durations and sizes with units.

/// Seconds of `500ms`, `30s`, `5m`, `1h` or a bare number of seconds.
pub(super) fn duration(text: &str) -> Option<f64> {
    let (number, unit) = split(text)?;
    let factor = match unit.as_str() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(number * factor)
}

/// Bytes of `8MiB`, `8m`, `1.5GB` or a bare number of bytes. `k`, `m` and `g` alone are powers of 1024, as in nginx.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes < 1e15).then_some(bytes as u64)
}

/// Splits `text` into a non-negative number and its unit.
fn split(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim().to_owned()))
}
