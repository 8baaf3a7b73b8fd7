//! The queues of the running service.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::store::{folder_name, name_of};
use super::super::{Delivery, Output};
use super::{
    InventoryError, Moved, Page, QueueInfo, QueueName, QueueState, Salvage, Selection, SetAsideLevel, Shown, info,
    messages, page, salvage,
};
use logphase_queue::{Receipt, RecordStore, ReserveError};

/// Maximum time that a replay waits for room in a queue.
const FULL_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time that a replay waits until messages are synced.
const SYNC_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the messages of a queue are.
enum Place {
    /// In the queue of a running plugin.
    Plugin(Arc<Output>),
    /// In an orphaned folder.
    Orphan,
}

impl Delivery {
    /// All queues, including orphaned ones, and all dead letters. Blocks on the disk.
    pub fn inventory(&self) -> Vec<QueueInfo> {
        let mut all: Vec<QueueInfo> =
            self.outputs().iter().map(|(output, folder)| self.plugin_info(output, folder)).collect();
        let store = &self.inner.store;
        for folder in store.orphans() {
            let Some(name) = name_of(&folder).map(|folder| QueueName { dead: false, folder }) else { continue };
            let found = self.with_orphan(&name, |records| Ok(info(&name, records, QueueState::Orphaned)));
            all.extend(found.ok().filter(QueueInfo::has_something));
        }
        for (folder, dead_letters) in store.all_dead_letters() {
            let queue = all.iter().find(|info| info.name == folder);
            let (id, instance_name) =
                queue.map_or((None, None), |queue| (queue.id.clone(), queue.instance_name.clone()));
            let name = QueueName { dead: true, folder };
            let found = dead_letters.with(|records| Ok(info(&name, records, QueueState::DeadLetters)));
            let found = found.ok().filter(QueueInfo::has_something);
            all.extend(found.map(|info| QueueInfo { id, instance_name, ..info }));
        }
        all.sort_by(|a, b| {
            (a.state == QueueState::DeadLetters, &a.name).cmp(&(b.state == QueueState::DeadLetters, &b.name))
        });
        all
    }

    /// Reads messages of a queue.
    ///
    /// # Errors
    /// There is no such queue, or the disk fails.
    pub async fn show_queue(&self, name: QueueName, wanted: Page) -> Result<Vec<Shown>, InventoryError> {
        if let (false, Place::Plugin(output)) = (name.dead, self.place(&name)?) {
            let (skip, limit) = (to_usize(wanted.offset), to_usize(wanted.limit));
            let found = output.reader().peek(skip, limit).await?;
            return Ok(found.iter().map(|(number, message)| Shown::of(*number, None, message)).collect());
        }
        let this = self.clone();
        blocking(move || this.with_records(&name, |records| page(records, wanted, name.dead))).await
    }

    /// Replays messages: moves dead letters to the queue of their plugin or of `to`, and messages of an orphaned queue to that
    /// of `to`.
    ///
    /// # Errors
    /// There is no such queue or plugin, its queue is full, or the disk fails. Messages that were moved before stay moved.
    pub async fn replay_queue(
        &self,
        name: QueueName,
        selection: Selection,
        to: Option<String>,
    ) -> Result<Moved, InventoryError> {
        if let (false, Place::Plugin(output)) = (name.dead, self.place(&name)?) {
            let message = format!(
                "{name} is delivered by {}: to send its messages elsewhere, change the plugin's configuration",
                output.label()
            );
            return Err(InventoryError::Refused(message));
        }
        let target = self.target(&name, to.as_deref())?;
        let this = self.clone();
        blocking(move || {
            this.with_records(&name, |records| {
                let moved = records.extract(&mut selection.decide(name.dead), &mut |records| {
                    refill(&target, messages(records, name.dead))
                })?;
                Ok(Moved { messages: moved, left: records.len() })
            })
        })
        .await
    }

    /// Drops messages. Of a queue that is being delivered, only all waiting messages can be dropped.
    ///
    /// # Errors
    /// There is no such queue, or the disk fails.
    pub async fn drop_from_queue(&self, name: QueueName, selection: Selection) -> Result<Moved, InventoryError> {
        if let (false, Place::Plugin(output)) = (name.dead, self.place(&name)?) {
            if selection != Selection::default() {
                let message = format!(
                    "{name} is being delivered: only all of its waiting messages can be dropped, not single ones"
                );
                return Err(InventoryError::Refused(message));
            }
            let messages = output.drop_all().await;
            tracing::warn!(plugin = output.label(), messages, "dropped by `logphase queue drop`");
            return Ok(Moved { messages, left: output.counters().depth as u64 });
        }
        let this = self.clone();
        blocking(move || {
            this.with_records(&name, |records| {
                let moved = records.extract(&mut selection.decide(name.dead), &mut |_| Ok(()))?;
                tracing::warn!(queue = %name, messages = moved, "dropped by `logphase queue drop`");
                Ok(Moved { messages: moved, left: records.len() })
            })
        })
        .await
    }

    /// The outputs that have not ended, each with the folder name of its queue.
    fn outputs(&self) -> Vec<(Arc<Output>, String)> {
        // A plugin whose queue was on disk and is now in memory may have an orphaned folder of the same name.
        let orphans: Vec<String> = self.inner.store.orphans().iter().filter_map(|folder| name_of(folder)).collect();
        let running = self.inner.running.lock();
        let tasks = running.tasks.iter().filter(|task| !task.has_ended());
        let folder = |task: &super::super::Task| {
            let stored = task.stored.as_ref().and_then(|stored| name_of(&stored.folder));
            stored.unwrap_or_else(|| {
                let name = folder_name(&task.output.spec());
                if orphans.contains(&name) { format!("{name}.memory") } else { name }
            })
        };
        tasks.map(|task| (task.output.clone(), folder(task))).collect()
    }

    /// Puts what is intact in files that were set aside back into their queue.
    ///
    /// # Errors
    /// There is no such queue, it is full, or the disk fails.
    pub async fn salvage_queue(&self, name: QueueName) -> Result<Vec<Salvage>, InventoryError> {
        let this = self.clone();
        if let (false, Place::Plugin(output)) = (name.dead, self.place(&name)?) {
            let folder = self.inner.store.folder_of(&name.folder);
            return blocking(move || Ok(salvage::put_back(&folder, &mut |messages| refill(&output, messages))?)).await;
        }
        blocking(move || {
            this.with_records(&name, |records| {
                let folder = records.folder().to_owned();
                salvage::put_back(&folder, &mut |messages| records.append(messages))
            })
        })
        .await
    }

    fn plugin_info(&self, output: &Output, folder: &str) -> QueueInfo {
        let set_aside = salvage::level(&self.inner.store.folder_of(folder));
        QueueInfo { set_aside, ..plugin_info(output, folder) }
    }

    fn place(&self, name: &QueueName) -> Result<Place, InventoryError> {
        if let Some((output, _)) = self.outputs().into_iter().find(|(_, folder)| *folder == name.folder) {
            return Ok(Place::Plugin(output));
        }
        if name.is_valid() { Ok(Place::Orphan) } else { Err(missing(name)) }
    }

    /// The output that replayed messages are moved to.
    fn target(&self, name: &QueueName, to: Option<&str>) -> Result<Arc<Output>, InventoryError> {
        let mut open = self.outputs();
        open.retain(|(output, _)| !output.is_closed());
        let (found, otherwise) = match to {
            Some(to) => {
                let infos: Vec<QueueInfo> =
                    open.iter().map(|(output, folder)| self.plugin_info(output, folder)).collect();
                let meant = QueueName::find(to, &infos)?;
                (open.into_iter().find(|(_, folder)| *folder == meant.folder), missing(&meant))
            }
            None => {
                let of_plugin = |output: &Output| name.dead && folder_name(&output.spec()) == name.folder;
                let message = format!("{name} has no plugin in the configuration: name another with --to");
                (open.into_iter().find(|(output, _)| of_plugin(output)), InventoryError::Refused(message))
            }
        };
        found.map(|(output, _)| output).ok_or(otherwise)
    }

    /// Calls `act` with the records of dead letters or of an orphaned queue. Blocks on the disk.
    fn with_records<T>(
        &self,
        name: &QueueName,
        act: impl FnOnce(&mut RecordStore) -> io::Result<T>,
    ) -> Result<T, InventoryError> {
        if !name.dead {
            return self.with_orphan(name, act);
        }
        let dead_letters = name.is_valid().then(|| self.inner.store.dead_letters_named(&name.folder)).flatten();
        Ok(dead_letters.ok_or_else(|| missing(name))?.with(act)?)
    }

    fn with_orphan<T>(
        &self,
        name: &QueueName,
        act: impl FnOnce(&mut RecordStore) -> io::Result<T>,
    ) -> Result<T, InventoryError> {
        let store = &self.inner.store;
        let folder = store.acquire_orphan(&name.folder).ok_or_else(|| missing(name))?;
        let result = RecordStore::open(&folder).and_then(|(mut records, _)| {
            let result = act(&mut records)?;
            if records.is_empty() {
                records.close()?;
            }
            Ok(result)
        });
        store.release_orphan(&folder);
        Ok(result?)
    }
}

fn missing(name: &QueueName) -> InventoryError {
    InventoryError::NotFound(format!("no queue `{name}`; `logphase queue list` lists the queues"))
}

fn plugin_info(output: &Output, folder: &str) -> QueueInfo {
    let (spec, stats, status) = (output.spec(), output.stats(), output.queue_status());
    let state = match (stats.failing, stats.retiring) {
        (true, _) => QueueState::Failing,
        (false, true) => QueueState::Retiring,
        (false, false) => QueueState::Delivering,
    };
    QueueInfo {
        name: QueueName { dead: false, folder: folder.to_owned() }.to_string(),
        plugin: spec.plugin.clone(),
        id: Some(spec.identity.clone()),
        instance_name: spec.instance.clone(),
        state,
        on_disk: status.on_disk,
        messages: stats.counters.depth as u64,
        unconfirmed: stats.counters.unconfirmed as u64,
        bytes: stats.counters.bytes as u64,
        oldest_seconds: status.oldest.as_ref().map(Duration::as_secs_f64),
        last_error: stats.last_error.map(|error| error.message),
        set_aside: SetAsideLevel::default(),
    }
}

/// Appends messages to the queue of a plugin. They are safe when this returns.
fn refill(output: &Output, messages: Vec<Bytes>) -> io::Result<()> {
    let bytes = messages.iter().map(Bytes::len).sum();
    let started = Instant::now();
    loop {
        match output.queue().reserve(messages.len(), bytes) {
            Ok(()) => break,
            Err(ReserveError::Full(_) | ReserveError::Failing)
                if started.elapsed() < FULL_TIMEOUT && !output.is_closed() =>
            {
                // This runs on a thread for blocking work.
                std::thread::sleep(Duration::from_millis(20));
            }
            // The messages do not fit into the queue at once: append them in two parts.
            Err(ReserveError::TooLarge) if messages.len() > 1 => {
                let (first, second) = messages.split_at(messages.len() / 2);
                refill(output, first.to_vec())?;
                return refill(output, second.to_vec());
            }
            Err(_) => {
                let message = format!("the queue of {} is full; try again when it has room", output.label());
                return Err(io::Error::other(message));
            }
        }
    }
    let (synced, wait) = mpsc::channel();
    let receipt = Receipt::new(move || {
        let _ = synced.send(());
    });
    output.queue().append(messages, bytes, &receipt);
    drop(receipt);
    wait.recv_timeout(SYNC_TIMEOUT).map_err(|_| {
        let message = format!("the queue of {} cannot be written; the messages were not moved", output.label());
        io::Error::other(message)
    })
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, InventoryError> + Send + 'static,
) -> Result<T, InventoryError> {
    tokio::task::spawn_blocking(act).await.map_err(|error| io::Error::other(error.to_string()))?
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
