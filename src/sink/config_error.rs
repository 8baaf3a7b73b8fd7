//! Errors for fields of a plugin's `config` that its sink cannot use.

pub use logphase_net::ConfigError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Makes an error about `field` from a library error with the text `PROBLEM; HELP`.
pub(super) fn refused(field: &str, error: impl std::fmt::Display) -> ConfigError {
    let text = error.to_string();
    match text.split_once("; ") {
        Some((problem, help)) => ConfigError::new(field, problem).with_help(help),
        None => ConfigError::new(field, text),
    }
}

/// The error for a vault reference in `field`.
pub(super) fn vault_reference(field: impl Into<String>) -> ConfigError {
    ConfigError::new(field, "a vault reference, which only Kong resolves")
        .with_help("give the value itself, for example as an environment variable: ${{ env \"DECK_NAME\" }}")
}

/// Reads a sink's settings from a validated `config`.
///
/// # Errors
/// The field that is missing or that the sink cannot represent, like a fraction of a millisecond.
pub fn parse<C: DeserializeOwned>(config: &Value) -> Result<C, Vec<ConfigError>> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        let field = if path == "." { flattened_field::<C>(config, &problem).unwrap_or_default() } else { path };
        vec![ConfigError::new(field, problem)]
    })
}

/// Finds the field for which reading `config` fails with `problem` when `#[serde(flatten)]` hides the path: a field whose
/// errors never have a path, and without which `problem` does not occur.
fn flattened_field<C: DeserializeOwned>(config: &Value, problem: &str) -> Option<String> {
    let members = config.as_object().filter(|_| !problem.starts_with("missing field"))?;
    let is_hidden = |name: &&String| {
        let mut probe = members.clone();
        probe.insert((*name).clone(), json!({"": {}}));
        let read: Result<C, _> = serde_path_to_error::deserialize(Value::Object(probe));
        read.err().is_none_or(|error| error.path().to_string() == ".")
    };
    let is_at_fault = |name: &&String| {
        let mut rest = members.clone();
        rest.remove(*name);
        C::deserialize(Value::Object(rest)).err().is_none_or(|other| other.to_string() != problem)
    };
    members.keys().filter(is_hidden).find(is_at_fault).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Config {
        brokers: Vec<Broker>,
        name: String,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Flattened {
        #[serde(flatten)]
        _broker: Broker,
        #[serde(rename = "name")]
        _name: String,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Broker {
        port: u16,
    }

    /// Scenario: values of wrong types at the top level, inside a list and in a flattened struct; a missing field.
    /// Guarantees: the error has the path of the field (none for a missing one) and says what does not match.
    #[test]
    fn errors_name_the_field() {
        let error = |config: Value| parse::<Config>(&config).expect_err("refused")[0].to_string();
        assert_eq!(error(json!({"brokers": [], "name": 7})), "name: invalid type: integer `7`, expected a string");
        let text = error(json!({"brokers": [{"port": 1}, {"port": 70000}], "name": "x"}));
        assert_eq!(text, "brokers[1].port: invalid value: integer `70000`, expected u16");
        assert_eq!(error(json!({"brokers": []})), "missing field `name`");
        let errors = parse::<Flattened>(&json!({"host": "h", "name": "n", "port": 70000})).expect_err("refused");
        assert_eq!(errors[0].to_string(), "port: invalid value: integer `70000`, expected u16");
        let errors = parse::<Flattened>(&json!({"name": "n"})).expect_err("refused");
        assert_eq!(errors[0].to_string(), "missing field `port`");
    }

    /// Scenario: the text of a library's error, with and without advice.
    /// Guarantees: the problem and the advice are separated.
    #[test]
    fn texts_are_divided() {
        assert_eq!(refused("tls_sni", "not a name"), ConfigError::new("tls_sni", "not a name"));
        let error = refused("tls_sni", "not a name; set another");
        assert_eq!(error, ConfigError::new("tls_sni", "not a name").with_help("set another"));
    }
}
