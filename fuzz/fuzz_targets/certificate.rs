//! Certificates: any bytes in place of one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logphase_net::tls::x509::Certificate;

fuzz_target!(|data: &[u8]| {
    let Some(read) = Certificate::read(data) else { return };
    // What is read is a part of the certificate.
    assert!(read.public_key.len() < data.len());
    assert!(read.key_kind.len() < read.public_key.len());
});
