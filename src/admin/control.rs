//! The control socket: what the program's own commands ask of the running service.
//!
//! It serves what the status listeners serve and what only the service's own user may see or do: the file
//! `control.sock` in the data directory, with permissions for its owner alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::router::Routes;
use super::serve::serve;
use crate::socket_file::{self, SocketError, SocketFile};

/// The file in the data directory.
const NAME: &str = "control.sock";
/// For the owner alone: messages are not for everybody.
const MODE: u32 = 0o600;

/// Where the control socket of a service with this data directory is.
pub fn control_path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// A control socket that is served until this is dropped.
#[derive(Debug)]
pub struct Control {
    serving: JoinHandle<()>,
    _file: SocketFile,
}

impl Control {
    /// Answers `routes` on the control socket in `data_dir`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Another service has this data directory, or the socket cannot be made; what to do.
    pub fn open(data_dir: &Path, routes: Routes) -> Result<Self, SocketError> {
        let socket = socket_file::listen(&control_path(data_dir), MODE)?;
        let serving = tokio::spawn(serve(socket.listener, Arc::new(routes)));
        Ok(Self { serving, _file: socket.file })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
