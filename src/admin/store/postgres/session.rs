//! A connection whose functions wait, with a limit on each wait.

use std::future::{Future, poll_fn};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client};

use super::tls::Tls;
use crate::options::postgres::PostgresUrl;

/// How long the server may take for a whole transaction, or for all that makes a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// What every session begins with. A node that hangs holds no lock forever. What is answered survives a crash, whatever the
/// server has as its default.
const SET_UP: &str = "SET statement_timeout = '20s'; SET idle_in_transaction_session_timeout = '30s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Why something was not done.
pub(super) enum Failure {
    Postgres(tokio_postgres::Error),
    Tls(String),
    /// The server has not answered in time.
    Late,
    /// The process has no resources for it.
    Io(std::io::Error),
    /// The format of the tables is not that of this program.
    Newer(i64),
    Older(i64),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// A connection. It is served only while one of its functions waits.
pub(super) struct Session {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    notified: mpsc::Receiver<()>,
}

impl Session {
    /// Connects, and runs the statements `begin`.
    pub(super) fn open(url: &PostgresUrl, begin: &str) -> Result<Self, Failure> {
        let tls = Tls::new(url.tls().map_err(|error| Failure::Tls(error.to_string()))?);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Io)?;
        // One says that there is something; more say no more.
        let (notify, notified) = mpsc::channel(1);
        let connected = runtime.block_on(async {
            let (client, mut connection) =
                timeout(PATIENCE, url.config().connect(tls)).await.map_err(|_| Failure::Late)??;
            tokio::spawn(async move {
                while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                    if matches!(message, AsyncMessage::Notification(_)) {
                        let _ = notify.try_send(());
                    }
                }
            });
            Ok(client)
        });
        let session = match connected {
            Ok(client) => Self { runtime: Some(runtime), client, notified },
            Err(failure) => {
                // It may still be looking for the address.
                runtime.shutdown_background();
                return Err(failure);
            }
        };
        // One after the other: statements that are sent together are one transaction.
        session.run(async {
            session.client.batch_execute(SET_UP).await?;
            Ok(session.client.batch_execute(begin).await?)
        })?;
        Ok(session)
    }

    /// What statements are sent with, inside of [`Self::run`].
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for `work`.
    pub(super) fn run<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.run_within(PATIENCE, work)
    }

    /// Waits for `work`, `time` at most.
    pub(super) fn run_within<T>(
        &self,
        time: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let runtime = self.runtime.as_ref().expect(RUNTIME);
        runtime.block_on(async { timeout(time, work).await.unwrap_or(Err(Failure::Late)) })
    }

    /// Waits for a notification or the end of the connection, `time` at most.
    pub(super) fn wait(&mut self, time: Duration) {
        let runtime = self.runtime.as_ref().expect(RUNTIME);
        let _ = runtime.block_on(async { timeout(time, self.notified.recv()).await });
    }
}

const RUNTIME: &str = "only dropping takes it away";

impl Drop for Session {
    fn drop(&mut self) {
        // Without waiting, which is not allowed everywhere.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
