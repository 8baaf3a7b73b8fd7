//! Syslog messages: the header of RFC 3164 or RFC 5424, and the body behind it.
//!
//! Senders follow the RFCs loosely: the priority, the time, the host or the tag may be missing, or look different. So nothing
//! is refused here: what is not recognized as a part of the header is the body.

/// A syslog message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What its header says.
    pub header: Header<'a>,
    /// The text behind the header, without white space, a byte order mark and NUL around it, and without the `@cee:` that
    /// some senders put before JSON.
    pub body: &'a [u8],
}

/// The header of a syslog message. A part that the sender left out is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header<'a> {
    /// Facility times eight plus severity; `None` if it is missing or above 191.
    pub priority: Option<u8>,
    /// The time, as it was sent.
    pub timestamp: &'a [u8],
    /// The sender's host.
    pub hostname: &'a [u8],
    /// The sender's program: the tag of RFC 3164.
    pub app_name: &'a [u8],
    /// The sender's process.
    pub proc_id: &'a [u8],
    /// The kind of message; RFC 5424 only.
    pub msg_id: &'a [u8],
}

/// The keywords of the facilities, by number (RFC 5424, table 1; names as in rsyslog).
const FACILITIES: &str = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock \
                          local0 local1 local2 local3 local4 local5 local6 local7";

/// The keywords of the severities, by number (RFC 5424, table 2).
const SEVERITIES: &str = "emerg alert crit err warning notice info debug";

/// The highest priority: `local7.debug`.
const MAX_PRIORITY: u32 = 191;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Header<'_> {
    /// The keyword of the facility, such as `local7`.
    pub fn facility(&self) -> Option<&'static str> {
        FACILITIES.split(' ').nth(usize::from(self.priority? / 8))
    }

    /// The keyword of the severity, such as `info`.
    pub fn severity(&self) -> Option<&'static str> {
        SEVERITIES.split(' ').nth(usize::from(self.priority? % 8))
    }
}

impl Message<'_> {
    /// Whether the body begins as a JSON object does.
    pub fn is_object(&self) -> bool {
        self.body.first() == Some(&b'{')
    }
}

/// Reads a message. The time is linear in the length of the header.
pub fn parse(text: &[u8]) -> Message<'_> {
    let mut header = Header::default();
    let text = trim_end(trim_start(text));
    let rest = read_priority(text, &mut header);
    let body = read_rfc5424(rest, &mut header).unwrap_or_else(|| read_rfc3164(rest, &mut header));
    Message { header, body: trim_start(body) }
}

/// Skips white space, a byte order mark and `@cee:`.
fn trim_start(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii_start();
    text.strip_prefix(b"@cee:").unwrap_or(text).trim_ascii_start()
}

/// Drops the line ends and NUL that some senders put at the end.
fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != 0 && !byte.is_ascii_whitespace());
    &text[..end.map_or(0, |last| last + 1)]
}

/// `<34>`, also with a number that is none of syslog's.
fn read_priority<'a>(text: &'a [u8], header: &mut Header<'_>) -> &'a [u8] {
    let Some(rest) = text.strip_prefix(b"<") else { return text };
    let digits = rest.iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
    let Some(after) = rest[digits..].strip_prefix(b">") else { return text };
    let number = rest[..digits].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    header.priority = u8::try_from(number).ok().filter(|_| digits > 0 && number <= MAX_PRIORITY);
    after
}

/// `1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`; `None` if the text is not of this format.
fn read_rfc5424<'a>(text: &'a [u8], header: &mut Header<'a>) -> Option<&'a [u8]> {
    let rest = text.strip_prefix(b"1 ")?.trim_ascii_start();
    if !rest.starts_with(b"-") && !rest.first()?.is_ascii_digit() {
        return None;
    }
    let mut rest = rest;
    let Header { timestamp, hostname, app_name, proc_id, msg_id, .. } = header;
    for field in [timestamp, hostname, app_name, proc_id, msg_id] {
        if rest.is_empty() || rest[0] == b'{' {
            return Some(rest);
        }
        let (word, after) = split_word(rest);
        *field = if word == b"-" { b"" } else { word };
        rest = after.trim_ascii_start();
    }
    Some(skip_structured_data(rest))
}

/// Skips `-` or elements such as `[id@1 name="va\"lue"]`. Text that is neither is left, as a part of the body.
fn skip_structured_data(text: &[u8]) -> &[u8] {
    if let Some(rest) = text.strip_prefix(b"-")
        && rest.first().is_none_or(u8::is_ascii_whitespace)
    {
        return rest;
    }
    let mut rest = text;
    while rest.first() == Some(&b'[') {
        let Some(length) = element_length(rest) else { return text };
        rest = &rest[length..];
    }
    rest
}

/// The length of the element at the start of `text`; `None` if it has no end.
fn element_length(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// `TIMESTAMP HOSTNAME TAG: MSG`, of which each part may be missing.
fn read_rfc3164<'a>(text: &'a [u8], header: &mut Header<'a>) -> &'a [u8] {
    let mut rest = trim_start(text);
    let length = timestamp_length(rest);
    (header.timestamp, rest) = rest.split_at(length);
    for _ in 0..2 {
        rest = trim_start(rest);
        if rest.first().is_none_or(|byte| *byte == b'{') {
            return rest;
        }
        let (word, after) = split_word(rest);
        if let Some((name, process)) = tag(word) {
            (header.app_name, header.proc_id) = (name, process);
            return after;
        }
        // The first word without a colon is the host, or a tag that lacks it.
        let field = if header.hostname.is_empty() { &mut header.hostname } else { &mut header.app_name };
        (*field, rest) = (word, after);
    }
    rest
}

/// Splits at the first space or before the first `{`.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| matches!(byte, b' ' | b'{')).unwrap_or(text.len()))
}

/// Name and process of `name:`, `name[process]:` or `name[process]`; `None` if the word is no tag.
fn tag(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, colon) = word.strip_suffix(b":").map_or((word, false), |name| (name, true));
    let bracket = name.iter().position(|byte| *byte == b'[');
    match (name.strip_suffix(b"]"), bracket) {
        (Some(inner), Some(open)) => Some((&inner[..open], &inner[open + 1..])),
        _ => colon.then_some((name, b"")),
    }
}

/// The length of a time at the start of `text`, `Nov 29 12:00:00` (also with a year, or more digits) or one of RFC 3339; 0
/// without one.
fn timestamp_length(text: &[u8]) -> usize {
    let word = |from: usize| {
        let spaces = text[from..].iter().take_while(|byte| **byte == b' ').count();
        let length = split_word(&text[from + spaces..]).0.len();
        (&text[from + spaces..from + spaces + length], from + spaces + length)
    };
    let is_number =
        |word: &[u8], most: usize| !word.is_empty() && word.len() <= most && word.iter().all(u8::is_ascii_digit);
    let is_time = |word: &[u8]| word.len() >= 5 && word[0].is_ascii_digit() && word.contains(&b':');
    let (first, end) = word(0);
    if first.len() >= 19 && first[..4].iter().all(u8::is_ascii_digit) && first[4] == b'-' && first[10] == b'T' {
        return end;
    }
    let (day, day_end) = word(end);
    if !MONTHS.contains(&first) || !is_number(day, 2) {
        return 0;
    }
    let (next, next_end) = word(day_end);
    let (time, time_end, year_before) = if is_number(next, 4) {
        let (time, end) = word(next_end);
        (time, end, true)
    } else {
        (next, next_end, false)
    };
    if !is_time(time) {
        return 0;
    }
    let (after, after_end) = word(time_end);
    if !year_before && after.len() == 4 && is_number(after, 4) { after_end } else { time_end }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message's header as `facility.severity|time|host|program|process|kind`, and its body.
    fn read(text: &str) -> (String, &str) {
        let Message { header, body } = parse(text.as_bytes());
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let Header { timestamp, hostname, app_name, proc_id, msg_id, .. } = header;
        let fields = [timestamp, hostname, app_name, proc_id, msg_id].map(text).join("|");
        let priority = match (header.facility(), header.severity()) {
            (Some(facility), Some(severity)) => format!("{facility}.{severity}"),
            _ => "-".to_owned(),
        };
        (format!("{priority}|{fields}"), text(body))
    }

    /// Scenario: what real senders send in the format of RFC 3164: nginx with and without a host, HAProxy, rsyslog with times
    /// of RFC 3339, Kong through the C library, Cisco's year, a daemon without a tag, `@cee:`, a byte order mark.
    /// Guarantees: each part is found; the body begins at the brace.
    #[test]
    fn rfc3164() {
        let cases = [
            ("<190>Nov 29 12:00:00 edge-7 nginx: {\"a\":1}", "local7.info|Nov 29 12:00:00|edge-7|nginx||"),
            ("<190>Nov  9 12:00:00 nginx: {\"a\":1}", "local7.info|Nov  9 12:00:00||nginx||"),
            ("<134>Nov 29 12:00:00 haproxy[4711]: {\"a\":1}\n", "local0.info|Nov 29 12:00:00||haproxy|4711|"),
            ("<14>Nov 29 12:00:00 kong[123]: {\"a\":1}\0", "user.info|Nov 29 12:00:00||kong|123|"),
            (
                "<14>2026-11-29T12:00:00.123456+00:00 h.example kong[1]: {\"a\":1}",
                "user.info|2026-11-29T12:00:00.123456+00:00|h.example|kong|1|",
            ),
            ("<14>Nov 29 2026 12:00:00 h t: {\"a\":1}", "user.info|Nov 29 2026 12:00:00|h|t||"),
            ("<14>Nov 29 12:00:00 2026 h t: {\"a\":1}", "user.info|Nov 29 12:00:00 2026|h|t||"),
            ("<14>Nov 29 12:00:00.123 fe80::1 t: {\"a\":1}", "user.info|Nov 29 12:00:00.123|fe80::1|t||"),
            ("<14>Nov 29 12:00:00 h t {\"a\":1}", "user.info|Nov 29 12:00:00|h|t||"),
            ("<14>Nov 29 12:00:00 h {\"a\":1}", "user.info|Nov 29 12:00:00|h|||"),
            ("<14>kong: @cee:{\"a\":1}", "user.info|||kong||"),
            ("<14>kong:{\"a\":1}", "user.info|||kong||"),
            ("<14>kong[7] {\"a\":1}", "user.info|||kong|7|"),
            ("<0>{\"a\":1}", "kern.emerg|||||"),
            ("<14>\u{feff}{\"a\":1}\r\n", "user.info|||||"),
            ("<192>t: {\"a\":1}", "-|||t||"),
            ("<99999>t: {\"a\":1}", "-|||t||"),
            ("<>t: {\"a\":1}", "-|||t||"),
            ("t: {\"a\":1}", "-|||t||"),
            ("Nov 29 12:00:00 h t: {\"a\":1}", "-|Nov 29 12:00:00|h|t||"),
            (" {\"a\":1} ", "-|||||"),
            ("\u{feff}{\"a\":1}", "-|||||"),
        ];
        for (text, header) in cases {
            assert_eq!(read(text), (header.to_owned(), "{\"a\":1}"), "{text:?}");
        }
    }

    /// Scenario: RFC 5424 with all fields, with none, with structured data that holds quotes, brackets and braces, with fields
    /// left out, with an element that does not end, and a text that only begins like it.
    /// Guarantees: each part is found; structured data is skipped; the body begins at the brace.
    #[test]
    fn rfc5424() {
        let time = "2026-11-29T12:00:00.123Z";
        let cases = [
            (format!("<190>1 {time} h app 12 ID - {{\"a\":1}}"), format!("local7.info|{time}|h|app|12|ID")),
            ("<190>1 - - - - - - \u{feff}{\"a\":1}".to_owned(), "local7.info|||||".to_owned()),
            (
                format!("<14>1 {time} h kong - - [t@41058 tag=\"{{x}}\" k=\"]\\\"\"][b] {{\"a\":1}}"),
                format!("user.info|{time}|h|kong||"),
            ),
            (format!("<14>1 {time} h kong - - [t@41058]{{\"a\":1}}"), format!("user.info|{time}|h|kong||")),
            (format!("<14>1 {time} h kong 7 - {{\"a\":1}}"), format!("user.info|{time}|h|kong|7|")),
            (format!("<14>1 {time} h {{\"a\":1}}"), format!("user.info|{time}|h|||")),
            ("<14>1 h: {\"a\":1}".to_owned(), "user.info||1|h||".to_owned()),
        ];
        for (text, header) in cases {
            assert_eq!(read(&text), (header, "{\"a\":1}"), "{text:?}");
        }
        let (_, body) = read("<14>1 - - - - - [open {\"a\":1}");
        assert_eq!(body, "[open {\"a\":1}");
    }

    /// Scenario: lines that daemons write for people, some with a brace, and texts of no length.
    /// Guarantees: none of them is taken for an object.
    #[test]
    fn not_json() {
        for text in [
            "<187>Nov 29 12:00:00 h nginx: 2026/11/29 12:00:00 [error] 12#12: *1 open() \"/a{b}\" failed",
            "<134>Nov 29 12:00:00 haproxy[1]: Proxy web started. {ok}",
            "<30>1 2026-11-29T12:00:00Z h systemd 1 - - Started {a}.",
            "<14>",
            "<",
            "",
            "\0",
            "\u{feff}",
            "1 ",
            "<1>1 -",
            "<14>Nov",
            "<14>Nov 29",
            "<14>Nov 29 12:00:00",
            "<14>h t",
            "<14>h t:",
            "@cee:",
            "[1]",
        ] {
            assert!(!parse(text.as_bytes()).is_object(), "{text:?}");
        }
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let known: &[&[u8]] = &[
            b"<14>",
            b"<",
            b">",
            b"1 ",
            b"-",
            b" ",
            b"Nov 29 12:00:00",
            b"2026-11-29T12:00:00Z",
            b"h",
            b"t[1]:",
            b"[",
            b"]",
            b"[a b=\"c\"]",
            b"\"",
            b"\\",
            b"{",
            b"{\"a\":1}",
            b"\xef\xbb\xbf",
            b"@cee:",
            b"\0",
            b"\n",
            b"\xff",
        ];
        prop_oneof![
            proptest::sample::select(known).prop_map(<[u8]>::to_vec),
            proptest::collection::vec(any::<u8>(), 0..4)
        ]
    }

    proptest! {
        /// Scenario: pieces of headers in any order, and any bytes.
        /// Guarantees: no panic; every part is a slice of the text, and the body is its end but for what is trimmed.
        #[test]
        fn any_text(pieces in proptest::collection::vec(piece(), 0..12)) {
            let text = pieces.concat();
            let Message { header, body } = parse(&text);
            prop_assert!(header.priority.is_none_or(|priority| u32::from(priority) <= MAX_PRIORITY));
            let Header { timestamp, hostname, app_name, proc_id, msg_id, .. } = header;
            let range = text.as_ptr_range();
            for part in [timestamp, hostname, app_name, proc_id, msg_id, body] {
                let inside = part.is_empty() || (range.start <= part.as_ptr() && part.as_ptr_range().end <= range.end);
                prop_assert!(inside);
            }
            prop_assert!(trim_end(&text).ends_with(body) || body.is_empty());
        }

        /// Scenario: any header of either format before an object.
        /// Guarantees: the body is the object.
        #[test]
        fn the_object_is_found(
            priority in prop_oneof![Just(String::new()), (0..1000_u32).prop_map(|number| format!("<{number}>"))],
            host in "([a-z0-9.-]{1,12} )?",
            app in "[a-zA-Z0-9_/-]{1,12}",
            process in "[0-9]{1,6}",
            data in "(-|(\\[[a-z@0-9]{1,8}( [a-z]{1,5}=\"([ -!#-\\[^-~]|\\\\\"|\\\\\\])*\")*\\]){1,3})",
            object in "\\{[ -~]*\\}",
            end in "[\n\r\0 ]{0,3}",
        ) {
            for header in [
                format!("{priority}Nov 29 12:00:00 {host}{app}[{process}]: "),
                format!("{priority}2026-11-29T12:00:00.5+01:00 {host}{app}: "),
                format!("{priority}1 2026-11-29T12:00:00Z {} {app} {process} - {data} ", if host.is_empty() { "-" } else { host.trim() }),
            ] {
                let text = format!("{header}{object}{end}");
                prop_assert_eq!(parse(text.as_bytes()).body, object.as_bytes(), "{}", text);
            }
        }
    }
}
