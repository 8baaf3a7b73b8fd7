//! udp-log: sends each message as one datagram, without a newline.

pub mod sink;
#[cfg(test)]
mod tests;
