//! Tests of what is printed.

use proptest::prelude::*;

use super::*;
use logphase_script::{SourceLimits, compile};

fn forwarder(needs: impl IntoIterator<Item = Need>) -> Forwarder {
    Forwarder {
        needs: needs.into_iter().collect(),
        endpoint: "http://127.0.0.1:9080/".to_owned(),
        token: false,
        version: None,
        max_body_bytes: 65536,
        max_request_bytes: 8 << 20,
    }
    .reduced()
}

/// Scenario: a body, a value of another plugin, a variable, a credential and an upstream's header.
/// Guarantees: the text that users read.
#[test]
fn the_text() {
    let members = [
        "_context.request_body",
        "_context.shared.user.name",
        "_context.shared.two words",
        "_context.vars.server_name",
        "_context.service_response.headers.x-a",
        "request.headers.authorization",
    ];
    let needs = members.map(|member| Need::of_member(member).expect("a member"));
    insta::assert_snapshot!(forwarder(needs).to_yaml(&["A note.".to_owned()]));
}

/// Scenario: a whole table with one of its members; an upstream's body with one of its headers.
/// Guarantees: a part of what is sent is not sent twice; the type that a parsed body depends on is sent.
#[test]
fn needs_are_reduced() {
    let members = |needs: &[&str]| {
        let needs = needs.iter().map(|member| Need::of_member(member).expect("a member"));
        forwarder(needs).needs.iter().map(Need::member).collect::<Vec<_>>()
    };
    assert_eq!(
        members(&["_context.shared.a.b", "_context.shared.a", "_context.shared.ab"]),
        ["_context.shared.a", "_context.shared.ab",]
    );
    assert_eq!(
        members(&["_context.service_response.body", "_context.service_response.headers.x"]),
        [
            "_context.service_response.body",
            "_context.service_response.headers.content-type",
            "_context.service_response.headers.x",
        ]
    );
}

/// Scenario: bodies up to very large ones, and Logphase's limit on a request.
/// Guarantees: a batch of the largest entries fits a request, and at least one entry is sent at once.
#[test]
fn batches_fit_a_request() {
    for max_body_bytes in [0, 1024, 65536, 1 << 20, 1 << 30] {
        let bodies = [Need::RequestBody, Need::ServiceResponseBody];
        let forwarder = Forwarder { max_body_bytes, ..forwarder(bodies) };
        let queue = forwarder.sender()["queue"].clone();
        let batch = usize::try_from(queue["max_batch_size"].as_u64().expect("a number")).expect("a small one");
        assert!((1..=MAX_BATCH).contains(&batch));
        assert!(
            batch == 1 || batch * (2 * max_body_bytes * 4 / 3 + lua::ROOM) < 8 << 20,
            "{batch} of {max_body_bytes}"
        );
    }
}

/// Scenario: what differs between releases.
/// Guarantees: it is said for the releases that it concerns, and for all without one.
#[test]
fn releases_differ() {
    let said = |version: Option<&str>, text: &str| {
        let version = version.map(|version| version.parse().expect("a release"));
        let forwarder =
            Forwarder { version, endpoint: "https://logphase/".to_owned(), ..forwarder([Need::RequestBody]) };
        forwarder.remarks().iter().any(|remark| remark.contains(text))
    };
    for (version, old_files, verifies) in
        [(None, true, false), (Some("3.4"), true, false), (Some("3.8.1"), false, false), (Some("3.15"), false, true)]
    {
        assert_eq!(said(version, "Kong before 3.8"), old_files, "{version:?}");
        assert_eq!(said(version, "Kong from 3.14 on verifies"), verifies, "{version:?}");
    }
    assert!(
        !Forwarder { needs: BTreeSet::new(), ..forwarder([]) }
            .remarks()
            .iter()
            .any(|remark| remark.contains("_context"))
    );
}

/// Names as other plugins may use them.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{1,8}", "[ -~]{1,12}", "\\PC{1,6}", Just("end".to_owned()), Just("\n\"]\\".to_owned())]
}

fn need() -> impl Strategy<Value = Need> {
    let path = || prop::collection::vec(name(), 1..4);
    prop_oneof![
        path().prop_map(Need::Shared),
        path().prop_map(Need::NgxCtx),
        name().prop_map(Need::Var),
        name().prop_map(Need::Credential),
        name().prop_map(|name| Need::ServiceHeader(Some(name))),
        prop::sample::select(vec![
            Need::RequestBody,
            Need::ResponseBody,
            Need::ServiceResponseBody,
            Need::Shared(Vec::new()),
            Need::ServiceHeader(None),
            Need::Header("authorization".to_owned()),
            Need::Fact(Fact::UriCaptures),
            Need::Fact(Fact::ConsumerGroups),
            Need::Fact(Fact::ClientCertificateChain),
        ]),
    ]
}

proptest! {
    /// Scenario: any set of needs, with names of any text.
    /// Guarantees: every function compiles, and YAML and JSON are read as the same configuration.
    #[test]
    fn any_needs_give_valid_lua(needs in prop::collection::btree_set(need(), 0..8)) {
        let forwarder = forwarder(needs);
        for (_, lua) in lua::pre_function(&forwarder).into_iter().chain(lua::post_function(&forwarder)) {
            // A placeholder that is left is no Lua.
            let compiled = compile(&lua, &SourceLimits::default());
            prop_assert!(compiled.is_ok(), "{:?} in {}", compiled, lua);
        }
    }
}
