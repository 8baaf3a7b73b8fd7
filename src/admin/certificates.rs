//! Certificates and their keys, as Kong checks them (kong/db/schema/typedefs.lua, kong/db/schema/entities/certificates.lua).

use std::time::{SystemTime, UNIX_EPOCH};

use logphase_config::schema::is_vault_reference;
use logphase_net::tls::x509::Certificate;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};

use super::error::{ApiError, ApiResult};
use super::kind::Kind;
use super::schema;
use super::tables::{Tables, reference};

const NOT_A_CERTIFICATE: &str = "invalid certificate: not a PEM certificate";

/// Checks the certificates of `entity`, which is of `kind`. A CA certificate gets its digest.
///
/// # Errors
/// A certificate or a key is none, they do not belong together, or one is not of an authority.
pub(super) fn check(kind: &Kind, entity: &mut Map<String, Value>) -> ApiResult<()> {
    match kind.name {
        "certificates" => check_pairs(entity),
        "ca_certificates" => check_authority(entity),
        _ => Ok(()),
    }
}

/// Checks both certificates with their keys: they are in the form of PEM, a key is that of its certificate, and the two are of
/// different kinds.
fn check_pairs(entity: &Map<String, Value>) -> ApiResult<()> {
    let mut fields = Map::new();
    let is_set = |name: &str| entity.get(name).is_some_and(|value| !value.is_null());
    let mut texts: Vec<&str> = Vec::new();
    if is_set("cert_alt") != is_set("key_alt") {
        texts.push("all or none of these fields must be set: 'cert_alt', 'key_alt'");
    }
    let main = Pair::read(entity, ["cert", "key"], &mut fields);
    let other = Pair::read(entity, ["cert_alt", "key_alt"], &mut fields);
    if fields.is_empty() {
        let mismatches = [
            (main.mismatches(), "certificate does not match key"),
            (other.mismatches(), "alternative certificate does not match key"),
        ];
        texts.extend(mismatches.into_iter().filter(|(mismatches, _)| *mismatches).map(|(_, text)| text));
        let kind = |pair: &Pair| Some(Certificate::read(pair.certificate.as_ref()?)?.key_kind.to_owned());
        if kind(&main).is_some_and(|one| kind(&other) == Some(one)) {
            texts.push(
                "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), the provided \
                 certificates were both of the same type",
            );
        }
    }
    if !texts.is_empty() {
        fields.insert("@entity".to_owned(), texts.into());
    }
    if fields.is_empty() { Ok(()) } else { Err(ApiError::schema(Value::Object(fields))) }
}

/// A certificate and its key, those of them that can be read.
struct Pair {
    certificate: Option<CertificateDer<'static>>,
    key: Option<PrivateKeyDer<'static>>,
}

impl Pair {
    /// Reads the fields `names` of `entity`, and writes what is wrong to `fields`. References to vaults are not read here.
    fn read(entity: &Map<String, Value>, names: [&str; 2], fields: &mut Map<String, Value>) -> Self {
        let pem = |name: &str| entity.get(name).and_then(Value::as_str).filter(|text| !is_vault_reference(text));
        let certificate = pem(names[0]).map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()));
        // A key with a passphrase cannot be read without it.
        let readable = entity.get("passphrase").is_none_or(Value::is_null);
        let key = pem(names[1]).filter(|_| readable).map(|pem| PrivateKeyDer::from_pem_slice(pem.as_bytes()));
        let is_certificate = |certificate: &Result<CertificateDer<'_>, _>| {
            certificate.as_ref().is_ok_and(|der| Certificate::read(der).is_some())
        };
        if certificate.as_ref().is_some_and(|certificate| !is_certificate(certificate)) {
            fields.insert(names[0].to_owned(), NOT_A_CERTIFICATE.into());
        }
        if matches!(key, Some(Err(_))) {
            fields.insert(names[1].to_owned(), "invalid key: not a PEM private key".into());
        }
        Self { certificate: certificate.and_then(Result::ok), key: key.and_then(Result::ok) }
    }

    /// Whether the key is that of another certificate. Keys of kinds that TLS does not use here are not compared.
    fn mismatches(&self) -> bool {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return false };
        let (Some(certificate), Ok(key)) = (Certificate::read(certificate), any_supported_type(key)) else {
            return false;
        };
        key.public_key().is_some_and(|key| key.as_ref() != certificate.public_key)
    }
}

/// Checks a certificate of an authority, and adds its SHA-256 as Kong computes it.
fn check_authority(entity: &mut Map<String, Value>) -> ApiResult<()> {
    let pem = entity.get("cert").and_then(Value::as_str).unwrap_or_default();
    let refused = |text: &str| Err(ApiError::schema(json!({"@entity": [text]})));
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let Some(certificate) = der.as_ref().and_then(|der| Certificate::read(der)) else {
        return Err(ApiError::schema(json!({ "cert": NOT_A_CERTIFICATE })));
    };
    if pem.matches("-----BEGIN CERTIFICATE-----").count() > 1 {
        return refused("please submit only one certificate at a time");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
    if certificate.not_after < now {
        return refused("certificate expired, \"Not After\" time is in the past");
    }
    if !certificate.is_authority {
        return refused("certificate does not appear to be a CA because it is missing the \"CA\" basic constraint");
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der.as_deref().unwrap_or_default());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    entity.insert("cert_digest".to_owned(), digest.into());
    Ok(())
}

/// Checks that `names` are names.
///
/// # Errors
/// One is none.
pub(super) fn check_names(names: &[Value]) -> ApiResult<()> {
    let judged = names.iter().map(|name| match name.is_string() {
        true => schema::sni(name).err(),
        false => Some("expected a string".to_owned()),
    });
    let mut judged: Vec<Value> = judged.map(Value::from).collect();
    while judged.last().is_some_and(Value::is_null) {
        judged.pop();
    }
    if judged.is_empty() { Ok(()) } else { Err(ApiError::schema(json!({ "snis": judged }))) }
}

/// Checks the names of a new certificate, or of the certificate `id` (kong/db/dao/certificates.lua).
///
/// # Errors
/// A name is there twice, or is one of another certificate.
pub(super) fn check_snis(names: &[Value], id: &str, tables: &Tables) -> ApiResult<()> {
    check_names(names)?;
    let refused = |text: String| Err(ApiError::schema(json!({ "snis": text })));
    let mut sorted: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return refused(format!("{} is duplicated", pair[0]));
    }
    let kind = super::kind::find("snis").expect("SNIs are a kind");
    for name in sorted {
        let owner = tables.by_value(kind, "name", name).and_then(|sni| reference(sni, "certificate"));
        if let Some(owner) = owner.filter(|owner| *owner != id) {
            return refused(format!("{name} already associated with existing certificate '{owner}'"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::kind;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn refused(name: &str, entity: Value) -> Value {
        let Value::Object(mut entity) = entity else { panic!("no object") };
        let kind = kind::find(name).expect("a kind");
        check(kind, &mut entity).map_or_else(|error| error.body["fields"].clone(), |()| Value::Null)
    }

    /// Scenario: a certificate with its key, with another one's, with no PEM, with references to vaults. Guarantees: each is judged as
    /// Kong does.
    #[test]
    fn judges_pairs() {
        let ((cert, key), (_, other)) = (pair(), pair());
        assert_eq!(refused("certificates", json!({"cert": cert, "key": key})), Value::Null);
        let mismatch = json!({"@entity": ["certificate does not match key"]});
        assert_eq!(refused("certificates", json!({"cert": cert, "key": other})), mismatch);
        let fields = refused("certificates", json!({"cert": "x", "key": "y"}));
        assert_eq!(fields, json!({"cert": NOT_A_CERTIFICATE, "key": "invalid key: not a PEM private key"}));
        let reference = json!({"cert": "{vault://env/cert}", "key": "{vault://env/key}", "cert_alt": null});
        assert_eq!(refused("certificates", reference), Value::Null);
        assert_eq!(refused("ca_certificates", json!({"cert": "x"})), json!({"cert": NOT_A_CERTIFICATE}));
    }
}
