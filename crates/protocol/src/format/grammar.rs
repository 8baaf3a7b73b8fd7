//! The grammar of Envoy's format strings: text, `%%`, and `%NAME(PARAMETERS):LENGTH%`
//! (<https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/substitution_formatter>).

use std::ops::Range;

use super::error::TemplateError;

/// A part of a format string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text, which is printed as it is; `%%` is one `%`.
    Text(&'a str),
    /// An operator.
    Call(Call<'a>),
}

/// An operator as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    /// What is in the brackets, with its offset; `NAME()` has no parameters.
    pub(super) parameters: Option<(&'a str, usize)>,
    /// The largest number of bytes.
    pub(super) length: Option<usize>,
    /// The whole, with both `%`.
    pub(super) span: Range<usize>,
}

impl Call<'_> {
    pub(super) fn name_span(&self) -> Range<usize> {
        self.span.start + 1..self.span.start + 1 + self.name.len()
    }

    pub(super) fn parameters_span(&self) -> Range<usize> {
        self.parameters.map_or_else(|| self.name_span(), |(text, at)| at..at + text.len())
    }
}

/// The parts of `template`, in order. Ends after an error.
pub(super) fn pieces(template: &str) -> impl Iterator<Item = Result<Piece<'_>, TemplateError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = template.get(at..).filter(|rest| !rest.is_empty())?;
        let text = rest.find('%').unwrap_or(rest.len());
        if text > 0 {
            at += text;
            return Some(Ok(Piece::Text(&rest[..text])));
        }
        if rest.starts_with("%%") {
            at += 2;
            return Some(Ok(Piece::Text("%")));
        }
        match call(template, at) {
            Ok(call) => {
                at = call.span.end;
                Some(Ok(Piece::Call(call)))
            }
            Err(error) => {
                at = template.len();
                Some(Err(error))
            }
        }
    })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

/// The operator whose `%` is at `start`.
fn call(template: &str, start: usize) -> Result<Call<'_>, TemplateError> {
    let bytes = template.as_bytes();
    let name_end = start + 1 + bytes[start + 1..].iter().take_while(|byte| is_name(**byte)).count();
    let name = &template[start + 1..name_end];
    let refuse = |reason: &str| malformed(template, start, name_end, reason);
    if name.is_empty() {
        return Err(refuse("no name of an operator follows"));
    }
    if bytes.get(name_end) != Some(&b'(') {
        let reason = match bytes.get(name_end) {
            Some(b'%') | None => "the closing % is missing",
            Some(b':') => "after the colon a number and the closing % must follow",
            Some(_) => "a name has only A-Z, 0-9 and _",
        };
        let (length, end) = tail(template, name_end).ok_or_else(|| refuse(reason))?;
        return Ok(Call { name, parameters: None, length: number(length, start..end)?, span: start..end });
    }
    // The parameters end at the first bracket that lets the rest match; they hold no line end.
    let line = bytes[name_end..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| name_end + at);
    let found = memchr(bytes, b')', name_end + 1, line).find_map(|at| Some((at, tail(template, at + 1)?)));
    let Some((close, (length, end))) = found else {
        return Err(refuse("`)` and the closing % are missing in this line"));
    };
    let inner = &template[name_end + 1..close];
    let parameters = (!inner.is_empty()).then_some((inner, name_end + 1));
    Ok(Call { name, parameters, length: number(length, start..end)?, span: start..end })
}

fn memchr(bytes: &[u8], byte: u8, from: usize, to: usize) -> impl Iterator<Item = usize> {
    let searched = bytes.get(from..to).unwrap_or_default();
    searched.iter().enumerate().filter(move |(_, found)| **found == byte).map(move |(at, _)| from + at)
}

/// What may follow a name or its parameters: `%`, or `:`, digits and `%`. The digits, and where it ends.
fn tail(template: &str, at: usize) -> Option<(Option<&str>, usize)> {
    let rest = template.get(at..)?;
    if rest.starts_with('%') {
        return Some((None, at + 1));
    }
    let digits = rest.strip_prefix(':')?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    (count > 0 && digits[count..].starts_with('%')).then(|| (Some(&digits[..count]), at + count + 2))
}

fn number(digits: Option<&str>, span: Range<usize>) -> Result<Option<usize>, TemplateError> {
    let Some(digits) = digits else { return Ok(None) };
    digits.parse().map(Some).map_err(|_| {
        TemplateError::new(span, format!("the length {digits} is too large"))
            .envoy(format!("Length must be an integer, given: {digits}"))
    })
}

fn malformed(template: &str, start: usize, name_end: usize, reason: &str) -> TemplateError {
    let end = template[name_end..].chars().next().map_or(name_end, |next| name_end + next.len_utf8());
    TemplateError::new(start..end, format!("not an operator: {reason}"))
        .help("write an operator as %NAME%, %NAME(PARAMETERS)% or %NAME(PARAMETERS):LENGTH%, and a single % as %%")
        .envoy(format!("Incorrect configuration: {template}. Couldn't find valid command at position {start}"))
}
