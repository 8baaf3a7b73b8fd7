//! The TLS session of a client.

use std::borrow::Cow;

use crate::envoy::entry::{Certificate, Tls, TlsVersion};
use crate::json::Writer;

impl Tls<'_> {
    /// The version as Envoy's logs print it, like `TLSv1.3`; empty if it is not known.
    pub fn version_name(&self) -> &'static str {
        match TlsVersion::try_from(self.version) {
            Ok(TlsVersion::V1) => "TLSv1",
            Ok(TlsVersion::V1_1) => "TLSv1.1",
            Ok(TlsVersion::V1_2) => "TLSv1.2",
            Ok(TlsVersion::V1_3) => "TLSv1.3",
            Ok(TlsVersion::Unspecified) | Err(_) => "",
        }
    }

    /// The cipher suite by OpenSSL's name, as Envoy's logs print it; as a number in hexadecimal digits if OpenSSL has none.
    pub fn cipher_name(&self) -> Option<Cow<'static, str>> {
        self.cipher_suite.map(cipher)
    }
}

/// Writes the member `tls` of `request` and `session`.
pub(crate) fn write(json: &mut Writer<'_>, tls: &Tls<'_>) {
    json.open_member("tls");
    json.text_member("version", tls.version_name().as_bytes());
    if let Some(cipher) = tls.cipher_name() {
        json.text_member("cipher", cipher.as_bytes());
    }
    // Envoy logs the certificate that the peer presented; a connection whose certificate is refused has no record.
    let presented = tls.peer_certificate.as_ref().is_some_and(|certificate| *certificate != Certificate::default());
    json.text_member("client_verify", if presented { b"SUCCESS" } else { b"NONE" });
    json.close(b'}');
}

/// Writes the member `tls` of `envoy`: what Kong's object has no place for.
pub(crate) fn write_extras(json: &mut Writer<'_>, tls: &Tls<'_>) {
    json.open_member("tls");
    json.text_member("sni", tls.sni_hostname);
    json.text_member("session_id", tls.session_id);
    json.text_member("ja3_fingerprint", tls.ja3_fingerprint);
    for (name, certificate) in [("peer", &tls.peer_certificate), ("local", &tls.local_certificate)] {
        let Some(certificate) = certificate else { continue };
        json.open_member(name);
        json.text_member("subject", certificate.subject);
        json.text_member("issuer", certificate.issuer);
        if !certificate.uri_sans.is_empty() {
            json.list("uri_sans", &certificate.uri_sans, |json, uri| json.text(uri));
        }
        json.close(b'}');
    }
    json.close(b'}');
}

/// OpenSSL's name of a cipher suite by its IANA number, for the suites that Envoy's TLS library has; else the number as
/// nginx prints one that OpenSSL has no name for
/// (<https://www.iana.org/assignments/tls-parameters/tls-parameters.xhtml>, openssl-ciphers(1)).
fn cipher(number: u32) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        0x000a => "DES-CBC3-SHA",
        0x002f => "AES128-SHA",
        0x0035 => "AES256-SHA",
        0x003c => "AES128-SHA256",
        0x008c => "PSK-AES128-CBC-SHA",
        0x008d => "PSK-AES256-CBC-SHA",
        0x009c => "AES128-GCM-SHA256",
        0x009d => "AES256-GCM-SHA384",
        0x1301 => "TLS_AES_128_GCM_SHA256",
        0x1302 => "TLS_AES_256_GCM_SHA384",
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
        0xc009 => "ECDHE-ECDSA-AES128-SHA",
        0xc00a => "ECDHE-ECDSA-AES256-SHA",
        0xc013 => "ECDHE-RSA-AES128-SHA",
        0xc014 => "ECDHE-RSA-AES256-SHA",
        0xc023 => "ECDHE-ECDSA-AES128-SHA256",
        0xc027 => "ECDHE-RSA-AES128-SHA256",
        0xc02b => "ECDHE-ECDSA-AES128-GCM-SHA256",
        0xc02c => "ECDHE-ECDSA-AES256-GCM-SHA384",
        0xc02f => "ECDHE-RSA-AES128-GCM-SHA256",
        0xc030 => "ECDHE-RSA-AES256-GCM-SHA384",
        0xc035 => "ECDHE-PSK-AES128-CBC-SHA",
        0xc036 => "ECDHE-PSK-AES256-CBC-SHA",
        0xcca8 => "ECDHE-RSA-CHACHA20-POLY1305",
        0xcca9 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        0xccac => "ECDHE-PSK-CHACHA20-POLY1305",
        _ => return Cow::Owned(format!("0x{number:04X}")),
    })
}
