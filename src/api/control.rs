//! The control socket, `control.sock` in the data directory: the program's own commands connect to it.
//!
//! It serves the routes of the status listeners, and those that are reserved for the user of the service. Only that user
//! may connect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::router::Routes;
use super::server::serve;
use crate::socket_file::{self, SocketError, SocketFile};

const FILE_NAME: &str = "control.sock";
/// Only the owner may connect: messages are confidential.
const MODE: u32 = 0o600;

/// The path of the control socket of a service with this data directory.
pub fn control_path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// A control socket, which no web page can reach: any `Host` will do. It is closed when this is dropped.
#[derive(Debug)]
pub struct Control {
    serving: JoinHandle<()>,
    _file: SocketFile,
}

impl Control {
    /// Serves `routes` on the control socket in `data_dir`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Another service uses this data directory, or the socket cannot be created.
    pub fn open(data_dir: &Path, routes: Routes) -> Result<Self, SocketError> {
        let socket = socket_file::listen(&control_path(data_dir), MODE)?;
        let serving = tokio::spawn(serve(socket.listener, Arc::new(routes), None));
        Ok(Self { serving, _file: socket.file })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
