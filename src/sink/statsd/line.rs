//! Lines of StatsD's protocol, and the datagrams that they fill.

use bytes::Bytes;

use crate::sink::ConfigError;

/// Lines, one after the other.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The lines, each with a line end.
    text: Vec<u8>,
    /// Where each line ends in the text, without its line end.
    ends: Vec<usize>,
}

/// A datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Whole lines, with line ends between them.
    pub bytes: Bytes,
    /// How many lines this packet and all before it have.
    pub lines: usize,
}

impl Lines {
    /// The number of lines.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Adds the line `parts`.
    pub fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.extend_from_slice(part.as_bytes());
        }
        self.ends.push(self.text.len());
        self.text.push(b'\n');
    }

    /// All lines, each with a line end.
    pub fn into_text(self) -> Bytes {
        self.text.into()
    }

    /// The lines from number `from` on, in datagrams of at most `size` bytes if several lines fit into one; 0 puts each line
    /// into a datagram of its own.
    ///
    /// Kong counts a line end less from the second datagram on, so that some of its datagrams have a byte too many.
    pub fn packets(self, from: usize, size: usize) -> Vec<Packet> {
        let (text, ends) = (Bytes::from(self.text), self.ends);
        let mut packets: Vec<Packet> = Vec::new();
        let mut start = if from == 0 { 0 } else { ends.get(from - 1).map_or(text.len(), |end| end + 1) };
        for (index, end) in ends.iter().enumerate().skip(from) {
            let next = ends.get(index + 1);
            if next.is_none_or(|next| next - start > size) {
                packets.push(Packet { bytes: text.slice(start..*end), lines: index + 1 });
                start = end + 1;
            }
        }
        packets
    }
}

/// `text` without the characters that would end the part of a line in which it stands: each becomes an underscore. Those are
/// control characters, and what `breaks` lists. Kong sends names as they are.
pub(super) fn safe(text: &str, breaks: &[char]) -> String {
    text.chars().map(|c| if c.is_control() || breaks.contains(&c) { '_' } else { c }).collect()
}

/// An error if the text at `field` of a configuration has characters that would end its part of a line: control characters, or
/// what `breaks` lists.
pub(super) fn check(field: &str, text: &str, breaks: &[char]) -> Option<ConfigError> {
    let found = text.chars().find(|c| c.is_control() || breaks.contains(c))?;
    let error = ConfigError::new(field, format!("has the character {found:?}, which no server reads as a part of it"));
    Some(error.with_help("remove the character"))
}

/// What ends a name in a line, or a value.
pub(super) const NAME_BREAKS: &[char] = &[':', '|'];

/// A name as a part of a metric's name between dots: with an underscore for each dot, as in Kong.
pub(super) fn part(name: &str) -> String {
    safe(name, &['.', ':', '|'])
}

/// `|@RATE`, or nothing for the rate 1, as in Kong.
pub(super) fn rate(rate: Option<f64>) -> String {
    rate.filter(|rate| *rate != 1.0).map(|rate| format!("|@{}", logphase_script::lua_number(rate))).unwrap_or_default()
}
