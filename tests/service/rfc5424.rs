//! A strict parser of RFC 5424 messages, which accepts only the grammar of section 6. For the tests of the built
//! program and of the plugins.

/// The parts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    /// PRI: facility times 8 plus severity.
    pub priority: u8,
    /// TIMESTAMP, unparsed.
    pub timestamp: String,
    /// HOSTNAME.
    pub host: String,
    /// APP-NAME.
    pub name: String,
    /// PROCID.
    pub process: String,
    /// MSGID.
    pub id: String,
    /// SD-IDs with the parameters of each, unescaped.
    pub elements: Vec<(String, Vec<(String, String)>)>,
    /// MSG.
    pub message: String,
}

/// Parses a message, or returns the violation of the grammar.
pub fn parse(bytes: &[u8]) -> Result<Syslog, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let rest = text.strip_prefix('<').ok_or("no PRI")?;
    let (number, rest) = rest.split_once('>').ok_or("no end of PRI")?;
    let priority = number.parse::<u8>().ok().filter(|value| *value <= 191 && value.to_string() == number);
    let rest = rest.strip_prefix("1 ").ok_or("VERSION is not 1")?;
    let (timestamp, rest) = rest.split_once(' ').ok_or("no end of TIMESTAMP")?;
    check_timestamp(timestamp)?;
    let (host, rest) = word(rest, 255)?;
    let (name, rest) = word(rest, 48)?;
    let (process, rest) = word(rest, 128)?;
    let (id, rest) = word(rest, 32)?;
    let (elements, rest) = structured_data(rest)?;
    let message = if rest.is_empty() { "" } else { rest.strip_prefix(' ').ok_or("no space before MSG")? };
    Ok(Syslog {
        priority: priority.ok_or_else(|| format!("PRI {number:?}"))?,
        timestamp: timestamp.to_owned(),
        host,
        name,
        process,
        id,
        elements,
        message: message.to_owned(),
    })
}

fn check_timestamp(text: &str) -> Result<(), String> {
    let refuse = || format!("TIMESTAMP {text:?}");
    // RFC 3339 with upper case letters, at most six digits of a second, and no leap second.
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let rest = shape.strip_prefix("9999-99-99T99:99:99").ok_or_else(refuse)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.chars().take_while(|c| *c == '9').count();
            if !(1..=6).contains(&digits) {
                return Err(refuse());
            }
            &fraction[digits..]
        }
        None => rest,
    };
    let sound = matches!(rest, "Z" | "+99:99" | "-99:99") && &text[17..19] != "60";
    if sound && text.parse::<jiff::Timestamp>().is_ok() { Ok(()) } else { Err(refuse()) }
}

/// Printable characters up to a space, and the rest.
fn word(text: &str, longest: usize) -> Result<(String, &str), String> {
    let (word, rest) = text.split_once(' ').ok_or("the header ends early")?;
    if !(1..=longest).contains(&word.len()) || !word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{word:?} in the header"));
    }
    Ok((word.to_owned(), rest))
}

type Elements = Vec<(String, Vec<(String, String)>)>;

fn structured_data(text: &str) -> Result<(Elements, &str), String> {
    if let Some(rest) = text.strip_prefix('-') {
        return Ok((Vec::new(), rest));
    }
    let (mut elements, mut rest) = (Vec::new(), text);
    while let Some(inside) = rest.strip_prefix('[') {
        let (id, mut inside) = sd_name(inside, &[' ', ']'])?;
        // Loggly requires names longer than the grammar allows: a key of 36 characters and its number.
        if id.len() > if id.ends_with("@41058") { 42 } else { 32 } {
            return Err(format!("SD-ID {id:?} is too long"));
        }
        let mut parameters = Vec::new();
        while let Some(parameter) = inside.strip_prefix(' ') {
            let (name, value) = sd_name(parameter, &['='])?;
            let value = value.strip_prefix("=\"").ok_or("PARAM-VALUE without quotes")?;
            let (value, after) = parameter_value(value)?;
            parameters.push((name, value));
            inside = after;
        }
        rest = inside.strip_prefix(']').ok_or("an SD-ELEMENT without end")?;
        elements.push((id, parameters));
    }
    if elements.is_empty() { Err("no STRUCTURED-DATA".into()) } else { Ok((elements, rest)) }
}

fn sd_name<'a>(text: &'a str, ends: &[char]) -> Result<(String, &'a str), String> {
    let end = text.find(ends).ok_or("an SD-NAME without end")?;
    let (name, rest) = text.split_at(end);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_graphic() && !"=]\"".contains(c)) {
        return Err(format!("SD-NAME {name:?}"));
    }
    Ok((name.to_owned(), rest))
}

/// Up to the closing quote.
fn parameter_value(text: &str) -> Result<(String, &str), String> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            ']' => return Err("an unescaped ] in a PARAM-VALUE".into()),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\' | ']'))) => value.push(escaped),
                _ => return Err("an escape of nothing that needs one".into()),
            },
            _ => value.push(c),
        }
    }
    Err("a PARAM-VALUE without end".into())
}
