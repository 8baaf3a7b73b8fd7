//! kafka-log's `schema_registry`.

use serde_json::{Map, Value};

use logphase_config::schema::{Check, Default, Field, Problem, Record};

/// Registries by maker.
pub(crate) static SCHEMA_REGISTRY: Record =
    Record::new(&[Field::record("confluent", &CONFLUENT).about("A registry like Confluent's.")]);

static CONFLUENT: Record = Record::new(&[
    Field::string("url").about("The registry's URL."),
    Field::boolean("ssl_verify").default(Default::Boolean(true)).about("Verify its certificate."),
    Field::number("ttl").checks(&[Check::Between(0.0, 3600.0)]).about("Seconds that a schema is kept."),
    Field::record("authentication", &AUTHENTICATION).required().about("How to log in to the registry."),
    Field::record("key_schema", &NAMED).about("Schema of the keys."),
    Field::record("value_schema", &NAMED).about("Schema of the values."),
]);

static NAMED: Record = Record::new(&[
    Field::string("subject_name").about("Subject of the schema."),
    Field::string("schema_version").about("Its version, or `latest`."),
]);

static AUTHENTICATION: Record = Record {
    fields: &[
        Field::string("mode")
            .default(Default::String("none"))
            .checks(&[Check::OneOf(&["none", "basic", "oauth2"])])
            .about("The sort of login."),
        Field::record("basic", &BASIC).about("User and password."),
        Field::record("oauth2", &OAUTH2).about("OAuth 2."),
        Field::record("oauth2_client", &OAUTH2_CLIENT).about("How to ask for tokens."),
    ],
    checks: &[login_block],
};

static BASIC: Record = Record::new(&[
    Field::string("username").required().about("User."),
    Field::string("password").required().about("Password."),
]);

static OAUTH2: Record = Record::new(&[
    Field::string("token_endpoint").required().about("Where to ask for a token."),
    Field::string("grant_type")
        .default(Default::String("client_credentials"))
        .checks(&[Check::OneOf(&["client_credentials", "password"])])
        .about("The grant."),
    Field::string("client_id").about("Client id."),
    Field::string("client_secret").about("Client secret."),
    Field::string("username").about("User."),
    Field::string("password").about("Password."),
    Field::array("scopes", &Field::string("")).default(Default::Strings(&["openid"])).about("Scopes to ask for."),
    Field::array("audience", &Field::string("")).default(Default::Strings(&[])).about("Audiences to ask for."),
    Field::map("token_headers", &Field::string(""), &Field::string("")).about("Headers of the request."),
    Field::map("token_post_args", &Field::string(""), &Field::string("")).about("Arguments of the request."),
]);

static OAUTH2_CLIENT: Record = Record::new(&[
    Field::string("auth_method")
        .default(Default::String("client_secret_post"))
        .checks(&[Check::OneOf(&["client_secret_basic", "client_secret_jwt", "client_secret_post", "none"])])
        .about("How the client shows who it is."),
    Field::string("client_secret_jwt_alg")
        .default(Default::String("HS512"))
        .checks(&[Check::OneOf(&["HS256", "HS512"])])
        .about("Signature of the JWT."),
    Field::string("http_proxy").about("Proxy for HTTP."),
    Field::string("http_proxy_authorization").about("Its authorization."),
    Field::string("https_proxy").about("Proxy for HTTPS."),
    Field::string("https_proxy_authorization").about("Its authorization."),
    Field::string("no_proxy").about("Hosts to reach without a proxy."),
    Field::number("http_version")
        .default(Default::Number(1.1))
        .checks(&[Check::OneOfNumbers(&[1.1, 1.0])])
        .about("Version of HTTP."),
    Field::boolean("keep_alive").default(Default::Boolean(true)).about("Keep connections."),
    Field::boolean("ssl_verify").default(Default::Boolean(true)).about("Verify certificates."),
    Field::integer("timeout")
        .default(Default::Integer(10_000))
        .checks(&[Check::Between(0.0, 2_147_483_646.0)])
        .about("Milliseconds of the socket timeout."),
]);

/// The mode of login requires the block of its name.
fn login_block(authentication: &Map<String, Value>) -> Result<(), Problem> {
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
