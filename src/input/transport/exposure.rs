//! What is wrong with how an input is protected, found without opening anything: for `check`, and before a start.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Tls, TransportSettings};
use logphase_config::diagnostic::{Diagnostic, codes};
use logphase_net::ConfigError;

/// Permissions of users who are neither the owner of a file nor in its group.
const OTHERS: u32 = 0o007;

/// An error about a setting of `input`.
pub(in crate::input) fn refusal(input: &str, error: ConfigError) -> Diagnostic {
    unusable(&format!("inputs.{input}"), error)
}

/// An error about a setting below `record`.
fn unusable(record: &str, error: ConfigError) -> Diagnostic {
    let ConfigError { field, problem, help } = error;
    let path = format!("{record}.{field}");
    let diagnostic = Diagnostic::error(codes::SETTING, format!("the setting `{path}`: {problem}")).path(path);
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// What is wrong with the files of `tls`, the setting `setting`: those that cannot be used, and a key that others can read.
pub fn tls_findings(setting: &str, tls: &Tls) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let Err(problem) = tls.server(&[]).and_then(|server| server.map(|server| server.load()).transpose()) {
        found.push(unusable(setting, problem));
    }
    found.extend(readable_by_others(format!("{setting}.private_key"), tls.private_key.as_deref()));
    found
}

/// A warning if every user can read the secret file `path`, which `setting` names.
fn readable_by_others(setting: String, path: Option<&Path>) -> Option<Diagnostic> {
    let path = path.filter(|path| std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & OTHERS != 0))?;
    let message = format!("every user of this machine can read {}, which is secret", path.display());
    let help = format!("chmod o= {}", path.display());
    Some(Diagnostic::warning(codes::EXPOSED, message).path(setting).help(help))
}

/// Errors of the files of an input that listens on `listen`, and a warning if anyone who reaches it can write to it.
pub(in crate::input) fn findings(settings: &TransportSettings<'_>, listen: &[String]) -> Vec<Diagnostic> {
    let TransportSettings { input, tls, auth, .. } = *settings;
    let mut found = tls_findings(&format!("inputs.{input}.tls"), tls);
    if let Some(Err(problem)) = auth.map(|auth| auth.read().map(drop)) {
        found.push(refusal(input, problem.within("auth")));
    }
    let token_file = auth.and_then(|auth| auth.token_file.as_deref());
    found.extend(readable_by_others(format!("inputs.{input}.auth.token_file"), token_file));
    let has_tokens = auth.is_some_and(super::Auth::is_on);
    let Some(address) = beyond_loopback(listen) else { return found };
    let (problem, help) = if tls.requires_certificate() || (has_tokens && tls.is_on()) {
        return found;
    } else if has_tokens {
        (
            "does not encrypt: tokens can be read on the way, and used by others",
            "set tls.certificate and tls.private_key",
        )
    } else if auth.is_some() {
        (
            "asks senders for no token and no certificate: whoever reaches it can write to the log",
            "set auth.tokens, or tls with client_ca; or listen on 127.0.0.1, behind a proxy that decides",
        )
    } else {
        (
            "asks senders for no certificate: whoever reaches it can write to the log",
            "set tls with client_ca; or listen on 127.0.0.1, behind a proxy that decides",
        )
    };
    found.push(exposed(input, address, problem, help));
    found
}

/// A warning if an input of datagrams listens beyond this machine.
pub(in crate::input) fn of_datagrams(input: &str, listen: &[String]) -> Vec<Diagnostic> {
    let warning = |address| {
        let problem = "cannot ask senders who they are: whoever reaches it can write to the log, under any address";
        exposed(input, address, problem, "let a firewall choose the senders, or use an input with TLS")
    };
    beyond_loopback(listen).map(warning).into_iter().collect()
}

fn exposed(input: &str, address: &str, problem: &str, help: &str) -> Diagnostic {
    let message = format!("inputs.{input} listens beyond this machine ({address}) and {problem}");
    Diagnostic::warning(codes::EXPOSED, message).path(format!("inputs.{input}.listen")).help(help)
}

/// The first address that is not of this machine alone. A name other than `localhost` counts as one.
pub fn beyond_loopback(listen: &[String]) -> Option<&str> {
    let is_local = |address: &&String| match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_canonical().is_loopback(),
        Err(_) => address.rsplit_once(':').is_some_and(|(host, _)| host.eq_ignore_ascii_case("localhost")),
    };
    listen.iter().find(|address| !is_local(address)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: addresses of this machine alone, and others, in every form.
    /// Guarantees: only the others are found, the first of them.
    #[test]
    fn addresses_beyond_this_machine() {
        let find = |listen: &[&str]| {
            let listen: Vec<_> = listen.iter().map(|&address| address.to_owned()).collect();
            beyond_loopback(&listen).map(str::to_owned)
        };
        assert_eq!(find(&["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"]), None);
        for other in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "logs.example:1", "localhost.example:1"] {
            assert_eq!(find(&["127.0.0.1:1", other, "10.0.0.1:1"]).as_deref(), Some(other));
        }
    }
}
