//! What a command reads: a file that an option names, or standard input.

use std::io::IsTerminal;
use std::path::Path;

use logphase_io::file::{self, Accept};

use super::{Exit, complain};

/// Bytes that are read: all of them are in memory at once.
const MAX_BYTES: u64 = 1 << 30;

/// The name of what [`read`] reads, for messages.
pub(super) fn name(path: Option<&Path>) -> String {
    path.map_or("standard input".to_owned(), |path| path.display().to_string())
}

/// Reads the file at `path`, or standard input. `what` and `option` are for the hint on a terminal: what is read, and the option
/// that names a file.
///
/// # Errors
/// It cannot be read; the message is printed.
pub(super) fn read(path: Option<&Path>, what: &str, option: &str) -> Result<Vec<u8>, Exit> {
    let read = match path {
        Some(path) => file::read(path, Accept::Streams, MAX_BYTES),
        None => {
            if std::io::stdin().is_terminal() {
                complain(&format!("reading {what} from standard input; end with Ctrl-D, or use {option} FILE\n"));
            }
            file::read_stream(std::io::stdin().lock(), MAX_BYTES)
        }
    };
    read.map_err(|error| {
        complain(&format!("error: cannot read {}: {error}\n", name(path)));
        Exit::Unavailable
    })
}
