//! References to secrets, `{vault://env/NAME}`: Kong's vaults, of which the one that reads environment variables is offered.
//!
//! The form of references and the names of variables are those of Kong's documentation ("Secrets management", "Environment
//! variables vault").

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

/// Kong's name of the vault that reads environment variables.
pub const ENV: &str = "env";

/// Why a reference has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct VaultError {
    /// What is wrong, without any secret.
    pub problem: String,
    /// What to do.
    pub help: String,
    /// Whether it is only that an allowed variable has no value.
    pub unset: bool,
}

impl VaultError {
    fn new(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { problem: problem.into(), help: help.into(), unset: false }
    }
}

/// A reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The kind of vault, or the prefix of a `vaults` entity.
    pub vault: String,
    /// The secret's name.
    pub resource: String,
    /// The member of the secret, which is a JSON object then.
    pub key: Option<String>,
    /// `?name=value` of the reference: configuration of the vault.
    pub config: BTreeMap<String, String>,
    /// The version of the secret.
    pub version: Option<u32>,
}

/// Whether `text` is a reference, well-formed or not.
pub fn is_reference(text: &str) -> bool {
    text.starts_with("{vault://") && text.ends_with('}')
}

impl Reference {
    /// Reads `{vault://VAULT/RESOURCE[/KEY][?CONFIG][#VERSION]}`.
    ///
    /// # Errors
    /// What is malformed.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let malformed = |what: &str| {
            VaultError::new(
                format!("the reference is malformed: {what}"),
                "write it as {vault://env/NAME} or {vault://env/NAME/KEY}",
            )
        };
        let inner = text.strip_prefix("{vault://").and_then(|rest| rest.strip_suffix('}'));
        let inner = inner.ok_or_else(|| malformed("it has no {vault://...}"))?;
        let (inner, version) = match inner.split_once('#') {
            Some((rest, version)) => (rest, Some(version)),
            None => (inner, None),
        };
        let (inner, query) = inner.split_once('?').unwrap_or((inner, ""));
        let (vault, path) = inner.split_once('/').unwrap_or((inner, ""));
        if vault.is_empty() {
            return Err(malformed("it names no vault"));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let mut parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
        let key = if parts.len() > 1 { parts.pop() } else { None };
        if parts.is_empty() {
            return Err(malformed("it names no secret"));
        }
        let version = match version.map(str::parse::<u32>) {
            None => None,
            Some(Ok(version)) => Some(version),
            Some(Err(_)) => return Err(malformed("its version is no number")),
        };
        let config = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { vault: vault.to_owned(), resource: parts.join("/"), key, config, version })
    }
}

/// A `vaults` entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VaultEntity {
    /// Its kind: `env`, `aws`, ...
    pub kind: String,
    /// The name that references have for it.
    pub prefix: String,
    /// What names of variables begin with (`config.prefix`), for the kind `env`.
    pub variable_prefix: String,
    /// Whether values are Base64 (`config.base64_decode`).
    pub base64: bool,
}

/// The environment variables that references may name, and the `vaults` entities.
#[derive(Clone, Default)]
pub struct Vault {
    allowed: Vec<String>,
    variables: BTreeMap<String, String>,
    entities: Vec<VaultEntity>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without values: they are secret.
        f.debug_struct("Vault")
            .field("allowed", &self.allowed)
            .field("entities", &self.entities)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// The variables of `environment` that `allowed` names; a name may end with `*`.
    pub fn new(
        allowed: &[String],
        environment: impl IntoIterator<Item = (String, String)>,
        entities: Vec<VaultEntity>,
    ) -> Self {
        let mut vault = Self { allowed: allowed.to_vec(), variables: BTreeMap::new(), entities };
        if !allowed.is_empty() {
            vault.variables = environment.into_iter().filter(|(name, _)| vault.allows(name)).collect();
        }
        vault
    }

    fn allows(&self, name: &str) -> bool {
        self.allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => allowed == name,
        })
    }

    /// The value that `reference` refers to.
    ///
    /// # Errors
    /// It is malformed, of a vault that is not offered, not allowed, or without a value.
    pub fn resolve(&self, reference: &str) -> Result<String, VaultError> {
        let reference = Reference::parse(reference)?;
        let (name, base64) = self.variable(&reference)?;
        if !self.allows(&name) {
            return Err(VaultError::new(
                format!("the setting vault.env.allow does not name the environment variable {name}"),
                format!("add it: `vault: {{env: {{allow: [{name}]}}}}` (LOGPHASE_VAULT_ENV_ALLOW={name})"),
            ));
        }
        let Some(value) = self.variables.get(&name) else {
            let error = VaultError::new(format!("the environment variable {name} is not set"), format!("set {name}"));
            return Err(VaultError { unset: true, ..error });
        };
        let value = match base64 {
            true => from_base64(value).ok_or_else(|| {
                VaultError::new(
                    format!("the environment variable {name} is not Base64"),
                    "encode it, or remove base64_decode from the vault",
                )
            })?,
            false => value.clone(),
        };
        match &reference.key {
            Some(key) => member(&value, key).ok_or_else(|| {
                VaultError::new(
                    format!("the environment variable {name} is not a JSON object with a text or number at `{key}`"),
                    format!("set it to {{\"{key}\": \"...\"}}, or name the variable alone"),
                )
            }),
            None => Ok(value),
        }
    }

    /// The name of the environment variable, and whether its value is Base64.
    fn variable(&self, reference: &Reference) -> Result<(String, bool), VaultError> {
        let entity = self.entities.iter().find(|entity| entity.prefix == reference.vault);
        let kind = entity.map_or(&*reference.vault, |entity| &entity.kind);
        if kind != ENV {
            let problem = match entity {
                Some(_) => format!("the vault `{}` is of the kind `{kind}`, which only Kong reaches", reference.vault),
                None if KINDS.contains(&kind) => format!("the vault `{kind}` is one that only Kong reaches"),
                None => format!("there is no vault `{}`", reference.vault),
            };
            let help =
                "secrets come from environment variables: {vault://env/NAME}, or a `vaults` entity of the name `env`";
            return Err(VaultError::new(problem, help));
        }
        let (mut prefix, mut base64) = entity.map_or(("", false), |entity| (&*entity.variable_prefix, entity.base64));
        for (name, value) in &reference.config {
            match &**name {
                "prefix" => prefix = value,
                "base64_decode" => base64 = value == "true",
                // How long Kong keeps a value; those of this process stay.
                "ttl" | "neg_ttl" | "resurrect_ttl" => {}
                _ => {
                    let problem = format!("the vault `env` has no option `{name}`");
                    return Err(VaultError::new(problem, "its options are prefix and base64_decode"));
                }
            }
        }
        let previous = match reference.version {
            None | Some(1) => "",
            Some(2) => "_PREVIOUS",
            Some(version) => {
                let problem = format!("the vault `env` has no version {version} of a secret");
                return Err(VaultError::new(problem, "1 is the variable itself, 2 the one with _PREVIOUS"));
            }
        };
        let name = format!("{prefix}{}{previous}", reference.resource).replace('-', "_").to_ascii_uppercase();
        Ok((name, base64))
    }
}

/// Kong's kinds of vaults beside `env`.
const KINDS: [&str; 6] = ["aws", "azure", "conjur", "gcp", "hcv", "konnect"];

fn from_base64(value: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()
}

/// The member `key` of the JSON object `text`, as text.
fn member(text: &str, key: &str) -> Option<String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    match object.get(key)? {
        serde_json::Value::String(text) => Some(text.clone()),
        value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Reference, Vault, VaultEntity, is_reference};

    fn vault() -> Vault {
        let variables = [
            ("PASSWORD", "s3cret"),
            ("MY_SECRET_KEY", "with-dash"),
            ("SECURE_TOKEN", "prefixed"),
            ("TOKEN", "bare"),
            ("TOKEN_PREVIOUS", "old"),
            ("PG", r#"{"user": "ann", "port": 5432, "tls": true, "deep": {"a": 1}}"#),
            ("ENCODED", "aGVsbG8="),
            ("TEAM_A", "a"),
            ("FORBIDDEN", "never"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let allowed = ["PASSWORD", "MY_SECRET_KEY", "SECURE_*", "TOKEN*", "PG", "ENCODED", "TEAM_A", "UNSET"];
        let entity = |kind: &str, prefix: &str, variable_prefix: &str, base64| VaultEntity {
            kind: kind.to_owned(),
            prefix: prefix.to_owned(),
            variable_prefix: variable_prefix.to_owned(),
            base64,
        };
        let entities = vec![
            entity("env", "my-env", "secure_", false),
            entity("env", "plain", "", false),
            entity("env", "coded", "", true),
            entity("aws", "my-aws", "", false),
        ];
        Vault::new(&allowed.map(str::to_owned), variables, entities)
    }

    /// Scenario: references of every form, with and without `vaults` entities, to variables that are allowed, not allowed,
    /// and unset, and to other vaults.
    /// Guarantees: exactly the allowed variables are read, under the names that Kong's documentation gives them; each other
    /// reference has an error that says why, and no error and no debug text shows a value.
    #[test]
    fn references_are_resolved_or_refused() {
        let vault = vault();
        for (reference, expected) in [
            ("{vault://env/password}", Ok("s3cret")),
            ("{vault://env/PASSWORD}", Ok("s3cret")),
            ("{vault://env/my-secret-key}", Ok("with-dash")),
            ("{vault://env/My_Secret-Key}", Ok("with-dash")),
            ("{vault://env/token?prefix=secure_}", Ok("prefixed")),
            ("{vault://env/token?ttl=30}", Ok("bare")),
            ("{vault://env/token#1}", Ok("bare")),
            ("{vault://env/token#2}", Ok("old")),
            ("{vault://env/pg/user}", Ok("ann")),
            ("{vault://env/pg/port}", Ok("5432")),
            ("{vault://env/pg/tls}", Ok("true")),
            ("{vault://my-env/token}", Ok("prefixed")),
            ("{vault://plain/token}", Ok("bare")),
            ("{vault://coded/encoded}", Ok("hello")),
            ("{vault://env/encoded?base64_decode=true}", Ok("hello")),
            ("{vault://env/team%5Fa}", Ok("a")),
            ("{vault://env/forbidden}", Err("vault.env.allow does not name the environment variable FORBIDDEN")),
            // Allowed by its start.
            ("{vault://my-env/forbidden}", Err("the environment variable SECURE_FORBIDDEN is not set")),
            ("{vault://env/unset}", Err("the environment variable UNSET is not set")),
            ("{vault://env/pg/none}", Err("PG is not a JSON object with a text or number at `none`")),
            ("{vault://env/pg/deep}", Err("at `deep`")),
            ("{vault://env/password/key}", Err("PASSWORD is not a JSON object")),
            ("{vault://coded/password}", Err("PASSWORD is not Base64")),
            ("{vault://aws/password}", Err("the vault `aws` is one that only Kong reaches")),
            ("{vault://my-aws/password}", Err("the vault `my-aws` is of the kind `aws`")),
            ("{vault://nobody/password}", Err("there is no vault `nobody`")),
            ("{vault://env/token#3}", Err("no version 3")),
            ("{vault://env/token#x}", Err("its version is no number")),
            ("{vault://env/token?region=eu}", Err("has no option `region`")),
            ("{vault://env}", Err("it names no secret")),
            ("{vault://env/}", Err("it names no secret")),
            ("{vault:///password}", Err("it names no vault")),
            ("{vault://}", Err("it names no vault")),
        ] {
            match (vault.resolve(reference), expected) {
                (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{reference}"),
                (Err(error), Err(part)) => {
                    assert!(error.problem.contains(part), "{reference}: {error}");
                    let text = format!("{error:?}");
                    assert!(!text.contains("s3cret") && !text.contains("never"), "{text}");
                }
                (result, expected) => panic!("{reference}: {result:?}, not {expected:?}"),
            }
        }
        assert!(!format!("{vault:?}").contains("s3cret"));
        let closed = Vault::new(&[], [("PASSWORD".to_owned(), "s3cret".to_owned())], Vec::new());
        assert!(closed.resolve("{vault://env/password}").is_err());
    }

    proptest! {
        /// Scenario: any text, and any text as the inside of a reference.
        /// Guarantees: reading it never panics, and nothing is resolved that is not allowed.
        #[test]
        fn any_text_is_read(text in ".{0,40}", inside in "[a-zA-Z0-9/?#%&=_.-]{0,40}") {
            let closed = Vault::new(&[], [("A".to_owned(), "x".to_owned())], Vec::new());
            for reference in [text.clone(), format!("{{vault://{inside}}}")] {
                let _ = (is_reference(&reference), Reference::parse(&reference));
                prop_assert!(closed.resolve(&reference).is_err());
            }
        }
    }
}
