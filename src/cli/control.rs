//! How commands talk to the running service: HTTP over the control socket in its data directory.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::{Exit, complain, show};
use crate::api::control_path;
use crate::service::{ConfigFiles, running};
use crate::settings::{Settings, is_default_data_dir};
use crate::socket_file;
use logphase_config::diagnostic::any_error;

/// A client of the service that uses a data directory.
#[derive(Debug, Clone)]
pub(super) struct ControlClient {
    path: PathBuf,
}

/// Why a request to the service failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    /// Nothing listens on the socket: no service uses this data directory.
    #[error("no service runs with the data directory {path}; pass its settings with --settings, or set LOGPHASE_DATA_DIR", path = .0.parent().unwrap_or(.0).display())]
    NotRunning(PathBuf),
    /// The socket belongs to another user.
    #[error("the service at {path} belongs to another user: run this command as that user, or as root", path = .0.display())]
    Denied(PathBuf),
    /// The connection broke.
    #[error("the service at {path} does not answer: {reason}", path = .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The service refused the request.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The message of the response.
        message: String,
    },
}

/// Reads the settings, which name the data directory, and starts a runtime, for every command that talks to the service.
/// Prints findings and errors.
///
/// # Errors
/// The exit code of the command.
pub(super) fn prepare(settings: Option<&Path>) -> Result<(Settings, Runtime), Exit> {
    let files = ConfigFiles { settings: settings.map(Path::to_owned), ..ConfigFiles::default() };
    let (settings, findings) = files.read_settings();
    show(&findings);
    if any_error(&findings) {
        return Err(Exit::of(&findings));
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Ok((settings, runtime)),
        Err(error) => {
            complain(&format!("error: cannot start: {error}\n"));
            Err(Exit::Unavailable)
        }
    }
}

/// Reads the settings and starts a runtime, and finds the service to talk to.
///
/// # Errors
/// As of [`prepare`] and [`locate`].
pub(super) fn prepare_and_locate(settings: Option<&Path>) -> Result<(Settings, Runtime), Exit> {
    let (mut settings, runtime) = prepare(settings)?;
    locate(&mut settings)?;
    Ok((settings, runtime))
}

/// Finds the service to talk to: if nothing names a data directory and no service uses the default one, that of the service that
/// runs elsewhere.
///
/// # Errors
/// Several run. The message is printed.
fn locate(settings: &mut Settings) -> Result<(), Exit> {
    if !is_default_data_dir(&settings.data_dir) || socket_file::connect(&control_path(&settings.data_dir)).is_ok() {
        return Ok(());
    }
    match &*running::data_dirs() {
        [] => Ok(()),
        [only] => {
            complain(&format!("using the service with the data directory {}\n", only.display()));
            settings.data_dir.clone_from(only);
            Ok(())
        }
        several => {
            let named: String = several.iter().map(|path| format!("\n  {}", path.display())).collect();
            complain(&format!(
                "error: several services run: set LOGPHASE_DATA_DIR to the data directory of one of them:{named}\n"
            ));
            Err(Exit::Unavailable)
        }
    }
}

impl ControlClient {
    /// A client of the service with this data directory; the service need not run.
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { path: control_path(data_dir) }
    }

    /// Sends a GET request for JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ControlError> {
        self.json(Method::GET, path, None).await
    }

    /// Sends a GET request for text.
    pub(super) async fn text(&self, path: &str) -> Result<String, ControlError> {
        let answer = self.send(Method::GET, path, Bytes::new()).await?;
        String::from_utf8(self.body(answer).await?.into()).map_err(|error| self.broken(error))
    }

    /// Sends a POST request with a JSON body.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, ControlError> {
        self.json(Method::POST, path, Some(body)).await
    }

    /// Sends a GET request for an endless response; the caller reads the frames of the body.
    pub(super) async fn stream(&self, path: &str) -> Result<Incoming, ControlError> {
        Ok(self.send(Method::GET, path, Bytes::new()).await?.into_body())
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ControlError> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let answer = self.send(method, path, body).await?;
        serde_json::from_slice(&self.body(answer).await?).map_err(|error| self.broken(error))
    }

    async fn body(&self, answer: Response<Incoming>) -> Result<Bytes, ControlError> {
        Ok(answer.into_body().collect().await.map_err(|error| self.broken(error))?.to_bytes())
    }

    /// Sends one request on its own connection.
    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, ControlError> {
        let stream = self.connect()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        // Ends with the exchange; the sender gets its errors.
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(HOST, "logphase").body(Full::new(body));
        let request = request.map_err(|error| self.broken(error))?;
        let answer = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = serde_json::from_slice::<Value>(&self.body(answer).await?).ok();
        let message = body.as_ref().and_then(|body| body.get("message")).and_then(Value::as_str);
        let message = message.map_or_else(|| format!("the service answered {status}"), ToOwned::to_owned);
        Err(ControlError::Refused { status, message })
    }

    fn connect(&self) -> Result<UnixStream, ControlError> {
        let connected = socket_file::connect(&self.path).and_then(|stream| {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        });
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::NotRunning(self.path.clone()),
            io::ErrorKind::PermissionDenied => ControlError::Denied(self.path.clone()),
            _ => self.broken(error),
        })
    }

    fn broken(&self, reason: impl ToString) -> ControlError {
        ControlError::Broken { path: self.path.clone(), reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{Control, Routes, json_reply};

    /// Scenario: requests that a service answers, refuses, and does not receive because none runs.
    /// Guarantees: JSON is sent and received; the message of a refusal is the error; without a service, the error is
    /// `NotRunning`.
    #[tokio::test]
    async fn requests_and_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let client = ControlClient::new(folder.path());
        let error = client.get("/a").await.expect_err("no service");
        assert!(matches!(error, ControlError::NotRunning(_)), "{error}");
        let routes = Routes::new()
            .get("/a", |call| async move { json_reply(StatusCode::OK, &json!(call.query("x"))) })
            .on(Method::POST, "/b", |call| async move {
                let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
                json_reply(StatusCode::CONFLICT, &json!({"message": format!("not {body}")}))
            });
        let control = Control::open(folder.path(), routes).expect("listens");
        assert_eq!(client.get("/a?x=1").await.expect("answered"), json!("1"));
        let error = client.post("/b", &json!([2])).await.expect_err("refused");
        assert_eq!(error.to_string(), "not [2]");
        drop(control);
        assert!(matches!(client.get("/a").await, Err(ControlError::NotRunning(_))));
    }
}
