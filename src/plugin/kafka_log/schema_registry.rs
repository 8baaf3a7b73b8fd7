//! kafka-log's `schema_registry`.

use serde_json::{Map, Value};

use logphase_config::schema::{Check, Default, Field, Problem, Record};

/// The registries that kafka-log supports.
pub(crate) static SCHEMA_REGISTRY: Record =
    Record::new(&[Field::record("confluent", &CONFLUENT).about("Confluent-compatible registry.")]);

static CONFLUENT: Record = Record::new(&[
    Field::string("url").about("URL of the registry."),
    Field::boolean("ssl_verify").default(Default::Boolean(true)).about("Verify the registry's certificate."),
    Field::number("ttl").checks(&[Check::Between(0.0, 3600.0)]).about("Seconds that a schema is cached."),
    Field::record("authentication", &AUTHENTICATION).required().about("Authentication with the registry."),
    Field::record("key_schema", &NAMED).about("Schema of record keys."),
    Field::record("value_schema", &NAMED).about("Schema of record values."),
]);

static NAMED: Record = Record::new(&[
    Field::string("subject_name").about("Subject of the schema."),
    Field::string("schema_version").about("Version of the schema, or `latest`."),
]);

static AUTHENTICATION: Record = Record {
    fields: &[
        Field::string("mode")
            .default(Default::String("none"))
            .checks(&[Check::OneOf(&["none", "basic", "oauth2"])])
            .about("Authentication mode."),
        Field::record("basic", &BASIC).about("User and password."),
        Field::record("oauth2", &OAUTH2).about("OAuth 2.0 token endpoint and grant."),
        Field::record("oauth2_client", &OAUTH2_CLIENT).about("The client that requests tokens."),
    ],
    checks: &[mode_block],
};

static BASIC: Record = Record::new(&[
    Field::string("username").required().referenceable().about("User."),
    Field::string("password").required().referenceable().secret().about("Password."),
]);

static OAUTH2: Record = Record::new(&[
    Field::string("token_endpoint").required().about("URL of the token endpoint."),
    Field::string("grant_type")
        .default(Default::String("client_credentials"))
        .checks(&[Check::OneOf(&["client_credentials", "password"])])
        .about("Grant type."),
    Field::string("client_id").referenceable().about("Client id."),
    Field::string("client_secret").referenceable().secret().about("Client secret."),
    Field::string("username").referenceable().about("User."),
    Field::string("password").referenceable().secret().about("Password."),
    Field::array("scopes", &Field::string("")).default(Default::Strings(&["openid"])).about("Scopes to request."),
    Field::array("audience", &Field::string("")).default(Default::Strings(&[])).about("Audiences to request."),
    Field::map("token_headers", &Field::string(""), &Field::string("").referenceable().secret())
        .about("Additional headers of a token request."),
    Field::map("token_post_args", &Field::string(""), &Field::string("").referenceable().secret())
        .about("Additional arguments of a token request."),
]);

static OAUTH2_CLIENT: Record = Record::new(&[
    Field::string("auth_method")
        .default(Default::String("client_secret_post"))
        .checks(&[Check::OneOf(&["client_secret_basic", "client_secret_jwt", "client_secret_post", "none"])])
        .about("Client authentication method."),
    Field::string("client_secret_jwt_alg")
        .default(Default::String("HS512"))
        .checks(&[Check::OneOf(&["HS256", "HS512"])])
        .about("Signature algorithm of the JWT."),
    Field::string("http_proxy").about("Proxy for HTTP."),
    Field::string("http_proxy_authorization").about("Proxy-Authorization header for `http_proxy`."),
    Field::string("https_proxy").about("Proxy for HTTPS."),
    Field::string("https_proxy_authorization").about("Proxy-Authorization header for `https_proxy`."),
    Field::string("no_proxy").about("Hosts to reach without a proxy."),
    Field::number("http_version")
        .default(Default::Number(1.1))
        .checks(&[Check::OneOfNumbers(&[1.1, 1.0])])
        .about("HTTP version."),
    Field::boolean("keep_alive").default(Default::Boolean(true)).about("Keep connections open."),
    Field::boolean("ssl_verify").default(Default::Boolean(true)).about("Verify the certificate of the token endpoint."),
    Field::integer("timeout")
        .default(Default::Integer(10_000))
        .checks(&[Check::Between(0.0, 2_147_483_646.0)])
        .about("Socket timeout in milliseconds."),
]);

/// An authentication mode requires the block of its name.
fn mode_block(authentication: &Map<String, Value>) -> Result<(), Problem> {
    let mode = authentication.get("mode").and_then(Value::as_str).unwrap_or("none");
    let present = authentication.get(mode).is_some_and(|block| !block.is_null());
    if present || !["basic", "oauth2"].contains(&mode) {
        return Ok(());
    }
    Err(Problem {
        field: "mode",
        message: format!("the mode `{mode}` without a block `{mode}`"),
        kong: "failed conditional validation given value of field 'mode'".into(),
    })
}
