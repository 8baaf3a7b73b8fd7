//! The settings of TLS, with the files that they name.

use std::path::{Path, PathBuf};

use crate::confinement::Files;
use crate::options::kafka::{SSL, SSL_VERIFY};
use crate::options::record::settings_record;
use logphase_config::schema::{Default, Field};
use logphase_io::file::{self, Accept};
use logphase_kafka::config::{self, Certificate};
use logphase_net::ConfigError;

/// Maximum bytes of a file with certificates or a key.
const MAX_FILE_BYTES: u64 = 1 << 20;

settings_record! {
    /// The settings `inputs.kafka.security`.
    #[derive(Eq)]
    pub struct Security {
        /// Use TLS.
        ssl: bool = SSL.required().default(Default::Boolean(false));
        /// Verify the brokers' certificates.
        ssl_verify: bool = SSL_VERIFY.required();
        /// File with certificates to trust in addition to the system's, as PEM.
        ca: Option<PathBuf> = Field::string("");
        /// File with the client's certificate and its chain, as PEM, for mutual TLS.
        certificate: Option<PathBuf> = Field::string("");
        /// File with the key of that certificate, as PEM.
        private_key: Option<PathBuf> = Field::string("");
    }
}

impl Security {
    /// The settings that kafka-log has, too.
    pub(super) fn connection(&self) -> config::Security {
        config::Security { ssl: self.ssl, ssl_verify: self.ssl_verify }
    }

    /// The client's certificate.
    ///
    /// # Errors
    /// A file is missing or cannot be read.
    pub(super) fn certificate(&self) -> Result<Option<Certificate>, ConfigError> {
        let missing = |field: &str, other: &str| {
            let error = ConfigError::new(field, format!("missing, and security.{other} is set"));
            Err(error.with_help("set both, or none"))
        };
        match (&self.certificate, &self.private_key) {
            (None, None) => Ok(None),
            (Some(_), None) => missing("security.private_key", "certificate"),
            (None, Some(_)) => missing("security.certificate", "private_key"),
            (Some(certificate), Some(key)) => Ok(Some(Certificate {
                cert: read("security.certificate", certificate)?,
                key: read("security.private_key", key)?,
            })),
        }
    }

    /// The files that are read.
    pub(super) fn files(&self) -> Files {
        let named = [&self.ca, &self.certificate, &self.private_key].into_iter().flatten();
        // The directories: a file that is replaced must stay readable.
        let directory = |path: &PathBuf| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            parent.unwrap_or(Path::new(".")).to_owned()
        };
        Files { read: named.map(directory).collect(), ..Files::default() }
    }
}

fn read(field: &str, path: &Path) -> Result<String, ConfigError> {
    let read = file::read_to_string(path, Accept::Regular, MAX_FILE_BYTES);
    read.map_err(|error| ConfigError::new(field, format!("cannot read {}: {error}", path.display())))
}
