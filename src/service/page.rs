//! What the page in a browser needs of a service: its listeners, and the parts that it shows.

use std::sync::Arc;
use std::time::Duration;

use logphase_config::diagnostic::{Diagnostic, codes};
use tokio::task::JoinSet;

use super::launch::LaunchError;
use super::listeners::{Listeners, Wanted};
use super::{Reloader, Service, admin};
use crate::admin::Admin;
use crate::api::ServiceState;
use crate::connections::AllowedHosts;
use crate::input::{self, INPUTS};
use crate::page::playground::{Keeper, Playground};
use crate::page::{Page, ServiceParts};
use crate::phase::LastTransactions;
use crate::settings::Settings;

/// What the settings say of its addresses.
fn wanted(settings: &Settings) -> Wanted<'_> {
    Wanted {
        setting: "page",
        everyone_could: "read messages and change the configuration",
        listen: &settings.page.listen,
        tls: &settings.page.tls,
        has_token: settings.admin.token.is_some(),
        default: "",
        without: "no page",
    }
}

/// What is wrong with how the page is protected, found without opening anything.
pub(super) fn check(settings: &Settings) -> Vec<Diagnostic> {
    let (listen, tls, admin) = (&settings.page.listen, &settings.page.tls, &settings.admin);
    let mut found = wanted(settings).check();
    if listen.is_empty() {
        return found;
    }
    found.extend(bypasses_certificates(settings));
    if let Some(address) = input::beyond_loopback(listen).filter(|_| admin.token.is_some() && !tls.is_on()) {
        let message = format!(
            "the page listens beyond this machine ({address}) and does not encrypt: tokens and messages can be read on the way"
        );
        let help = "set page.tls.certificate and page.tls.private_key";
        found.push(Diagnostic::warning(codes::EXPOSED, message).path("page.listen").help(help));
    }
    found
}

/// The error of a page that asks for nothing, beside an Admin API that asks for certificates: it would let everyone do what the Admin
/// API refuses.
fn bypasses_certificates(settings: &Settings) -> Option<Diagnostic> {
    let (tls, admin) = (&settings.page.tls, &settings.admin);
    if admin.token.is_some() || tls.asks_for_certificate() || !admin.tls.asks_for_certificate() {
        return None;
    }
    let message = "the Admin API asks for certificates, and the page, which can do the same, asks for none";
    let help = "set admin.token, or page.tls with client_ca";
    Some(Diagnostic::error(codes::SETTING, message).path("page.listen").help(help))
}

/// Takes the addresses of the page.
///
/// # Errors
/// As [`Wanted::take`]; or the page would let in whom the Admin API refuses.
pub(super) async fn listen(settings: &Settings) -> Result<Listeners, LaunchError> {
    if let Some(error) = bypasses_certificates(settings).filter(|_| !settings.page.listen.is_empty()) {
        return Err(LaunchError::Configuration(vec![error]));
    }
    wanted(settings).take().await
}

/// Serves the page on `listeners` until the returned tasks are dropped. Does nothing without an address.
pub(super) fn serve(
    listeners: Listeners,
    service: &Service,
    state: &ServiceState,
    admin: &Arc<Admin>,
    reloader: &Reloader,
    of_files: bool,
    keeper: Option<Keeper>,
) -> JoinSet<()> {
    if listeners.is_empty() {
        return JoinSet::new();
    }
    let last_transactions = Arc::new(LastTransactions::new(INPUTS.iter().map(|input| input.name)));
    service.intake().keep_last(&last_transactions);
    let (reloader, settings) = (reloader.clone(), reloader.settings());
    let page = Arc::new(Page::new(ServiceParts {
        state: state.clone(),
        taps: service.taps().clone(),
        delivery: service.delivery().clone(),
        admin: admin.clone(),
        access: admin::access(&settings.admin, &settings.page.tls),
        hosts: AllowedHosts::new(&settings.page.allowed_hosts, "page.allowed_hosts"),
        encrypted: listeners.is_encrypted(),
        of_files,
        last_transactions: last_transactions.clone(),
        playground: keeper.and_then(playground),
        settings: Box::new(move || reloader.settings()),
    }));
    let mut tasks = listeners.serve(&page, None);
    tasks.spawn(page.watch());
    tasks.spawn(async move {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            last_transactions.want();
        }
    });
    tasks
}

/// Starts the process that starts those of the playground, if there is a page. Must be called before this process is confined.
pub(super) fn keeper(settings: &Settings) -> std::io::Result<Option<Keeper>> {
    if settings.page.listen.is_empty() { Ok(None) } else { Keeper::start().map(Some) }
}

fn playground(keeper: Keeper) -> Option<Playground> {
    Playground::new(keeper).inspect_err(|error| tracing::warn!("the page has no playground: {error}")).ok()
}
