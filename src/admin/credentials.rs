//! Credentials of consumers, which Kong's authentication plugins use (kong/plugins/*/daos.lua). Nothing here checks requests by them: they
//! are kept for clients that manage all of Kong.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use logphase_config::schema::{Check, Default, Field, Problem, Record, Violation, is_vault_reference};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};

use super::kind::Kind;
use super::tables::reference;
use crate::entity::schema::{CREATED_AT, ID, TAGS};

const CONSUMER: Field = Field::foreign("consumer", "consumers").required();

/// A text that Kong makes up if it is not given.
const fn random(name: &'static str) -> Field {
    Field::string(name).auto().secret()
}

pub(super) static KEY_AUTH: Record =
    Record::new(&[ID, CREATED_AT, CONSUMER, random("key").unique(), TAGS, Field::integer("ttl")]);

pub(super) static BASIC_AUTH: Record = Record::new(&[
    ID,
    CREATED_AT,
    CONSUMER,
    Field::string("username").required().unique(),
    Field::string("password").required().secret(),
    TAGS,
]);

pub(super) static HMAC_AUTH: Record =
    Record::new(&[ID, CREATED_AT, CONSUMER, Field::string("username").required().unique(), random("secret"), TAGS]);

const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA",
];

/// Algorithms whose signatures a public key checks. Kong demands none for those of elliptic curves.
const OF_PUBLIC_KEYS: &[&str] = &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"];

pub(super) static JWT: Record = Record {
    fields: &[
        ID,
        CREATED_AT,
        CONSUMER,
        Field::string("key").auto().unique(),
        random("secret"),
        Field::string("rsa_public_key"),
        Field::string("algorithm").default(Default::String("HS256")).checks(&[Check::OneOf(ALGORITHMS)]),
        TAGS,
    ],
    checks: &[public_key],
};

pub(super) static OAUTH2: Record = Record::new(&[
    ID,
    CREATED_AT,
    CONSUMER,
    Field::string("name").required(),
    Field::string("client_id").auto().unique(),
    random("client_secret"),
    Field::boolean("hash_secret").required().default(Default::Boolean(false)),
    Field::array("redirect_uris", &Field::string("").checks(&[Check::Custom(redirect_uri)])),
    TAGS,
    Field::string("client_type")
        .required()
        .default(Default::String("confidential"))
        .checks(&[Check::OneOf(&["confidential", "public"])]),
]);

pub(super) static MTLS_AUTH: Record = Record::new(&[
    ID,
    CREATED_AT,
    CONSUMER,
    Field::string("subject_name").required(),
    Field::foreign("ca_certificate", "ca_certificates"),
    TAGS,
]);

fn public_key(credential: &Map<String, Value>) -> Result<(), Problem> {
    let text = |name: &str| credential.get(name).and_then(Value::as_str);
    if !text("algorithm").is_some_and(|algorithm| OF_PUBLIC_KEYS.contains(&algorithm)) {
        return Ok(());
    }
    let wording = match text("rsa_public_key") {
        None => "required field missing",
        Some(key) if SubjectPublicKeyInfoDer::from_pem_slice(key.as_bytes()).is_err() => "invalid key",
        Some(_) => return Ok(()),
    };
    let kong = Violation::conditional("algorithm", "rsa_public_key", wording);
    Err(Problem { field: "rsa_public_key", message: "no public key for the algorithm".to_owned(), kong })
}

fn redirect_uri(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let rest = text.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map(|(_, rest)| rest);
    if rest.is_none_or(|rest| rest.split(['/', '?', '#']).next().is_none_or(str::is_empty)) {
        return Err(format!("cannot parse '{text}'"));
    }
    if text.contains('#') { Err(format!("fragment not allowed in '{text}'")) } else { Ok(()) }
}

/// Replaces a new password in `credential` by its hash, as Kong keeps it (kong/plugins/basic-auth/crypto.lua). The password of `existing` is
/// a hash already.
pub(super) fn hash_password(kind: &Kind, credential: &mut Map<String, Value>, existing: Option<&Map<String, Value>>) {
    if kind.name != "basicauth_credentials" {
        return;
    }
    let Some(password) = credential.get("password").and_then(Value::as_str) else { return };
    let is_kept = existing.is_some_and(|existing| existing.get("password").is_some_and(|old| old == password));
    if is_kept || is_vault_reference(password) {
        return;
    }
    let salted = format!("{password}{}", reference(credential, "consumer").unwrap_or_default());
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    credential.insert("password".to_owned(), hash.into());
}
