//! The modules that Kong 3.14's strict list has beyond those of its tools for texts.

use super::modules::strict;
use super::ngx::gives;
use super::*;

/// Scenario: gzip with texts of several kinds, and with what is no gzip.
/// Guarantees: what is compressed is what is expanded; a text that expands too far is an error.
#[test]
fn gzip_expands_what_it_compresses() {
    gives(
        &mut strict(&json!({})),
        &[
            ("local g = require('kong.tools.gzip') return g.inflate_gzip(g.deflate_gzip('abc'))", r#""abc""#),
            ("local g = require('kong.tools.gzip') return g.inflate_gzip(g.deflate_gzip('')) == ''", "true"),
            (
                "local g, s = require('kong.tools.gzip'), ('ab\\0'):rep(1e5) return #g.deflate_gzip(s) < 1000 and g.inflate_gzip(g.deflate_gzip(s)) == s",
                "true",
            ),
            (
                "local v, e = require('kong.tools.gzip').inflate_gzip('no') return {v == nil, e}",
                r#"[true,"INFLATE: data error"]"#,
            ),
            ("return pcall(require('kong.tools.gzip').inflate_gzip, {})", "false"),
        ],
    );
}

/// Scenario: digests with a key by every module that has them, with RFC 4231's first and sixth test cases and RFC 2202's.
/// Guarantees: the digests are those of the RFCs; unknown names of digests are nil and an error.
#[test]
fn digests_with_keys_are_those_of_the_rfcs() {
    let hex = "local hex = require('resty.string').to_hex ";
    let cases = [
        (
            "local h = require('resty.openssl.hmac').new(('\\11'):rep(20), 'sha256') h:update('Hi ', 'There') return hex(h:final())",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            "local h = require('resty.openssl.mac').new(('\\11'):rep(20), 'HMAC', nil, 'SHA-512') return hex(h:final('Hi There'))",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        (
            "local m = require('resty.hmac') local h = m:new(('\\170'):rep(131), m.ALGOS.SHA256) return h:final('Test Using Larger Than Block-Size Key - Hash Key First', true)",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            "local h = require('resty.hmac'):new('Jefe') h:update('what do ya want for nothing?') return h:final(nil, true)",
            "750c783e6ab0b503eaa86e310a5db738",
        ),
        (
            "local d = require('resty.openssl.digest').new('sha1') d:update('x') d:reset() d:update('abc') return hex(d:final())",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
        ),
    ];
    let mut bench = strict(&json!({}));
    for (code, expected) in cases {
        gives(&mut bench, &[(&format!("{hex}{code}"), &format!("\"{expected}\""))]);
    }
    gives(
        &mut bench,
        &[
            (
                "local d, e = require('resty.openssl.digest').new('x') return {d == nil, e}",
                r#"[true,"digest.new: invalid digest type \"x\""]"#,
            ),
            ("return (require('resty.openssl.hmac').new('k', 'crc32'))", "nothing"),
            ("return #require('resty.openssl.rand').bytes(7)", "7"),
        ],
    );
}

const RSA: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0/IzW7yWR7QkrmBL7jTKEn5u+qKhbwKfBstIs+bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW/VDL5AaWTg0nLVkjRo9z+40RQzuVaE8AkAFmxZzow3x+VJYKdjykkJ0iT9wCS0DRTXu269V264Vf/3jvredZiKRkgwlL9xNAwxXFg0x/XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC+9aGVd+Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmwIDAQAB\n-----END PUBLIC KEY-----";

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    use ::base64::Engine;
    let encode = |bytes: &[u8]| ::base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let text = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = encode(&sign(text.as_bytes()));
    format!("{text}.{signature}")
}

fn hs256(key: &'static str) -> impl Fn(&[u8]) -> Vec<u8> {
    use aws_lc_rs::hmac;
    move |text| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text).as_ref().to_vec()
}

/// Scenario: tokens that are valid, signed by others, changed, without an algorithm, expired, not valid yet, from others, and
/// texts that are no tokens; claims that functions judge; an elliptic key that the test makes.
/// Guarantees: only what is valid is verified, and every reason is the library's.
#[test]
fn tokens_are_verified() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    let hs = |claims: &Value| token(&json!({"alg": "HS256", "typ": "JWT"}), claims, hs256("secret"));
    let good = hs(&json!({"sub": "1", "iss": "me"}));
    let mut bench = strict(&json!({}));
    let mut verify = |key: &str, token: &str, specs: &str, expected: &str| {
        let code = format!(
            "local t = require('resty.jwt'):verify([[{key}]], '{token}'{specs}) return {{t.verified, t.valid, t.reason}}"
        );
        gives(&mut bench, &[(&code, expected)]);
    };
    let fine = r#"[true,true,"everything is awesome~ :p"]"#;
    verify("secret", &good, "", fine);
    verify("other", &good, "", &format!(r#"[false,true,"signature mismatch: {}"]"#, good.rsplit('.').next().unwrap()));
    verify("secret", "a.b", "", r#"[false,false,"invalid jwt string"]"#);
    verify("secret", "a.b.c", "", r#"[false,false,"invalid header: a"]"#);
    verify(
        "secret",
        &hs(&json!({"exp": 1})),
        "",
        r#"[false,true,"'exp' claim expired at Thu, 01 Jan 1970 00:00:01 GMT"]"#,
    );
    verify("secret", &hs(&json!({"exp": 1e11})), "", fine);
    verify(
        "secret",
        &hs(&json!({"exp": "x"})),
        "",
        r#"[false,true,"'exp' is malformed.  Expected to be a positive numeric value."]"#,
    );
    verify(
        "secret",
        &hs(&json!({"nbf": 99_999_999_999_i64})),
        "",
        r#"[false,true,"'nbf' claim not valid until Wed, 16 Nov 5138 09:46:39 GMT"]"#,
    );
    verify("secret", &good, ", {require_exp_claim = true}", r#"[false,true,"'exp' claim is required."]"#);
    verify("secret", &good, ", {valid_issuers = {'me'}}", fine);
    verify("secret", &good, ", {valid_issuers = {'you'}}", r#"[false,true,"Claim 'iss' ('me') returned failure"]"#);
    verify("secret", &good, ", {sub = function(v) return v == '1' end}", fine);
    verify(
        "secret",
        &good,
        ", {sub = function(v) return false end}",
        r#"[false,true,"Claim 'sub' ('1') returned failure"]"#,
    );
    let none = token(&json!({"alg": "none"}), &json!({}), |_| Vec::new());
    verify("secret", &none, "", r#"[false,true,"unsupported alg: none"]"#);
    let rs = token(&json!({"alg": "RS256"}), &json!({}), |_| vec![1; 256]);
    verify(RSA, &rs, "", &format!(r#"[false,true,"signature mismatch: {}"]"#, rs.rsplit('.').next().unwrap()));
    verify("no key", &rs, "", r#"[false,true,"Decode secret is not a valid cert/public key"]"#);
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key can be made");
    let random = aws_lc_rs::rand::SystemRandom::new();
    let sign = |text: &[u8]| pair.sign(&random, text).expect("the key signs").as_ref().to_vec();
    let es = token(&json!({"alg": "ES256"}), &json!({}), sign);
    // SubjectPublicKeyInfo of an uncompressed point of P-256 (RFC 5480).
    let mut der = vec![
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    der.extend_from_slice(pair.public_key().as_ref());
    let pem = ::base64::Engine::encode(&::base64::engine::general_purpose::STANDARD, der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----");
    verify(&pem, &es, "", fine);
    verify(&pem, &es.replacen("eyJ", "eyK", 1), "", r#"[false,true,"No algorithm supplied"]"#);
    gives(
        &mut bench,
        &[(
            &format!(
                "local t = require('resty.jwt'):load_jwt('{good}') return {{t.header.alg, t.payload.sub, t.verified, t.valid, #t.raw_payload > 0}}"
            ),
            r#"["HS256","1",false,true,true]"#,
        )],
    );
}

/// Scenario: a request with cookies and a bearer token, and one without.
/// Guarantees: cookies are found by name, with their values as they came; the token and its claims are those of the header.
#[test]
fn cookies_and_tokens_of_the_request() {
    let token = token(&json!({"alg": "HS256"}), &json!({"sub": "ann", "n": [1]}), |_| b"x".to_vec());
    let headers = json!({"cookie": "a=1; b=x=y ;c=;  d=2", "authorization": format!("bearer {token}")});
    let ck = "local c = require('resty.cookie'):new() ";
    gives(
        &mut strict(&json!({"request": {"headers": headers}})),
        &[
            (
                &format!("{ck} return {{c:get('a'), c:get('b'), c:get('c'), c:get('d'), c:get('e') == nil}}"),
                r#"["1","x=y","","2",true]"#,
            ),
            (&format!("{ck} local n = 0 for _ in pairs(c:get_all()) do n = n + 1 end return n"), "4"),
            (&format!("{ck} return pcall(c.set, c, {{}})"), "false"),
            ("return kong.client.get_token():sub(1, 3)", r#""eyJ""#),
            ("local p = kong.client.get_jwt_token_payload() return {p.sub, p.n[1]}", r#"["ann",1]"#),
        ],
    );
    for headers in [json!({}), json!({"authorization": "Basic eDp5"}), json!({"authorization": "Bearer a.b"})] {
        gives(
            &mut strict(&json!({"request": {"headers": headers}})),
            &[
                (
                    &format!("{ck} local v, e = c:get('a') return {{v == nil, e}}"),
                    r#"[true,"no cookie found in the current request"]"#,
                ),
                ("return kong.client.get_jwt_token_payload()", "nothing"),
            ],
        );
    }
}

/// Scenario: `kong.tools.ip`, `.timestamp`, `.cjson`, `.json`, `.utils`, `kong.constants` and `kong.meta`.
/// Guarantees: their answers are those of Kong's functions.
#[test]
fn the_other_tools_answer_as_in_kong() {
    let ip = "local ip = require('kong.tools.ip') ";
    let mut bench = strict(&json!({}));
    for (call, expected) in [
        ("ip.is_valid_ipv4('10.0.0.1')", "true"),
        ("ip.is_valid_ipv4('10.0.0.256')", "false"),
        ("ip.is_valid_ipv6('::1')", "true"),
        ("ip.is_valid_ipv6('[::1]')", "true"),
        ("ip.is_valid_ip('x')", "false"),
        ("ip.is_valid_ip(5)", "false"),
        ("ip.is_valid_cidr_v4('10.0.0.0/8')", "true"),
        ("ip.is_valid_cidr_v4('10.0.0.0/33')", "false"),
        ("ip.is_valid_cidr_v4('10.0.0.0/08')", "false"),
        ("ip.is_valid_cidr('fd00::/8')", "true"),
        ("ip.is_valid_ip_or_cidr('10.0.0.1')", "true"),
        ("ip.hostname_type('a.b')", r#""name""#),
        ("ip.hostname_type('1.2.3.4:5')", r#""ipv4""#),
        ("ip.hostname_type('::1')", r#""ipv6""#),
        ("{ip.normalize_ipv4('001.2.3.4:80')}", r#"["1.2.3.4",80]"#),
        ("{ip.normalize_ipv6('[::1]:80')}", r#"["0000:0000:0000:0000:0000:0000:0000:0001",80]"#),
        ("(ip.normalize_ipv6('FD00::a:1'))", r#""fd00:0000:0000:0000:0000:0000:000a:0001""#),
        ("select(2, ip.normalize_ipv6('::g'))", r#""invalid ipv6 address: ::g""#),
        ("{ip.check_hostname('a-b.c:80')}", r#"["a-b.c",80]"#),
        ("select(2, ip.check_hostname('a..b'))", r#""invalid hostname: a..b""#),
        ("ip.normalize_ip('1.2.3.4:99999') == nil", "true"),
        ("ip.normalize_ip('a.b:1').host", r#""a.b""#),
        ("(ip.format_host('::1', 80))", r#""[0000:0000:0000:0000:0000:0000:0000:0001]:80""#),
        ("(ip.format_host('a', 80))", r#""a:80""#),
    ] {
        gives(&mut bench, &[(&format!("{ip} return {call}"), expected)]);
    }
    gives(
        &mut bench,
        &[
            (
                "local t = require('kong.tools.timestamp').get_timestamps(1700000000123) return {t.second, t.minute, t.hour, t.day, t.month, t.year}",
                "[1700000000000,1699999980000,1699999200000,1699920000000,1698796800000,1672531200000]",
            ),
            ("return require('kong.tools.timestamp').get_timestamps(951782400).year", "946684800000"),
            (
                "local t = require('kong.tools.timestamp').get_timetable(951782400) return {t.year, t.month, t.day, t.hour, t.min, t.sec}",
                "[2000,2,29,0,0,0]",
            ),
            ("return require('kong.tools.timestamp').get_utc() % 1000", "0"),
            ("return require('kong.tools.timestamp').timestamp_table_fields[6]", r#""year""#),
            (
                "local c = require('kong.tools.cjson') return c.encode(c.decode_with_array_mt('{\"a\":[]}'))",
                r#""{\"a\":[]}""#,
            ),
            ("local c = require('kong.tools.cjson') return c.encode({c.new_array(), 0.1})", r#""[[],0.1]""#),
            ("return require('kong.tools.json').decode('{\"a\":1}').a", "1"),
            ("return select(2, require('kong.tools.json').decode('{')) ~= nil", "true"),
            (
                "local u = require('kong.tools.utils') return {u.is_valid_uuid('x'), u.split('a,b', ',')[2], u.hostname_type('a')}",
                r#"[false,"b","name"]"#,
            ),
            ("return require('kong.constants').HEADERS.CONSUMER_ID", r#""X-Consumer-ID""#),
            ("return require('kong.constants').LOG_LEVELS[ngx.ERR]", r#""error""#),
            ("return require('kong.meta')._VERSION == kong.version", "true"),
        ],
    );
}

/// Scenario: modules that no setting offers: by exact name, by family, and unknown ones.
/// Guarantees: the error names what to use in their place.
#[test]
fn what_is_not_offered_names_its_substitute() {
    let mut bench = strict(&json!({}));
    for (module, substitute) in [
        ("kong.workspaces", "workspace_name"),
        ("socket", "ngx.now()"),
        ("kong.tools.jose", "resty.jwt"),
        ("kong.plugins.jwt.jwt_parser", "resty.jwt"),
        ("resty.openssl.pkey", "resty.jwt"),
        ("resty.openssl", "resty.openssl.digest"),
        ("resty.ipmatcher", "kong.tools.ip"),
        ("resty.core.time", "ngx has its functions"),
        ("string.buffer", "table.concat"),
        ("kong.db.dao", "kong.client and kong.router"),
    ] {
        let error = super::ngx::shown(&mut bench, &format!("return require('{module}')"));
        assert!(error.contains("no setting offers it: ") && error.contains(substitute), "{module}: {error}");
    }
    let error = super::ngx::shown(&mut bench, "return require('acme')");
    assert!(error.ends_with("(no setting offers it)"), "{error}");
}
