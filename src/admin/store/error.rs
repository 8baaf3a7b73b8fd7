//! What can be wrong with a store.

use thiserror::Error;

/// Why a store cannot be opened, read or written. `store` is its file.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "the store {store} is in use by another process: stop that one, or give each service a data_dir of its own \
        (LOGPHASE_DATA_DIR)"
    )]
    Locked { store: String },
    /// There is no file to read.
    #[error("there is no store at {store}: name the file of one, or start the service once, which creates it")]
    Missing { store: String },
    /// The file is something else.
    #[error("{store} is no store of Logphase: {why}; move it away, or name another file")]
    Foreign { store: String, why: String },
    /// A later version of the program wrote it.
    #[error(
        "the store {store} has format {found}, and this version of Logphase knows formats up to {known}: run the version \
        that wrote it, or a later one"
    )]
    Newer { store: String, found: i64, known: i64 },
    /// It has an older format, and is opened for reading alone.
    #[error(
        "the store {store} has format {found}, and this version of Logphase reads {known}: start the service once, which converts it"
    )]
    Older { store: String, found: i64, known: i64 },
    /// Its content is not what was written.
    #[error(
        "the store {store} is damaged: {why}; restore a copy of it, or move it away and import what `logphase config export` \
        wrote"
    )]
    Damaged { store: String, why: String },
    /// It is encrypted, and no key is given.
    #[error("the store {store} is encrypted with the key {stored}, and no key is given: set the key")]
    MissingKey { store: String, stored: String },
    /// It is encrypted with another key.
    #[error(
        "the store {store} is encrypted with the key {stored}, and the key {given} is given: set the key {stored}, or set it \
        as the old one to replace it"
    )]
    WrongKey { store: String, stored: String, given: String },
    /// It is plain, a key is given, and it is opened for reading alone.
    #[error(
        "the store {store} is not encrypted, and a key is given: start the service once with the key, which encrypts it"
    )]
    PlainStore { store: String },
    /// The server of it does not answer, or is about to start or to stop.
    #[error("the database {store} is away: {why}")]
    Away { store: String, why: String },
    /// The server of it refuses something.
    #[error("cannot use the database {store}: {why}; {help}")]
    Refused { store: String, why: String, help: &'static str },
    /// Another node has changed it since it was read.
    #[error("another node has changed the database {store}")]
    Outdated { store: String },
    /// There is no room for the change.
    #[error("cannot write the store {store}: the disk is full; free some space. Nothing of the change is stored")]
    Full { store: String },
    /// It, or its folder, cannot be written.
    #[error("cannot write the store {store}: {why}; make the file and its folder writable")]
    ReadOnly { store: String, why: String },
    /// The file system refuses something else.
    #[error("cannot use the store {store}: {why}; see that its disk is sound and is a local one")]
    Io { store: String, why: String },
}
