//! Fields of Kafka's clients, which kafka-log and the input share.

use serde_json::{Map, Value};

use logphase_config::schema::{Check, Default, Field, Problem, Record, Violation};

/// Whether connections use TLS.
pub(crate) const SSL: Field = Field::boolean("ssl").about("Use TLS.");

/// Whether the brokers' certificates must be valid.
pub(crate) const SSL_VERIFY: Field = Field::boolean("ssl_verify")
    .default(Default::Boolean(true))
    .since("3.13")
    .about("Verify the brokers' certificates.");

/// The record `authentication`; [`logphase_kafka::config::Authentication`] holds its values.
pub(crate) static AUTHENTICATION: Record = Record {
    fields: &[
        Field::string("strategy").checks(&[Check::OneOf(&["sasl"])]).about("`sasl`; default: no authentication."),
        Field::string("mechanism")
            .checks(&[Check::OneOf(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])])
            .about("SASL mechanism."),
        Field::string("user").referenceable().about("User or token id."),
        Field::string("password").referenceable().secret().about("Password or token HMAC."),
        Field::boolean("tokenauth").about("Whether the user is a delegation token."),
        Field::record("oauthbearer", &OAUTH_BEARER).since("3.15").about("Token endpoint and client."),
    ],
    checks: &[bearer_block],
};

static OAUTH_BEARER: Record = Record::new(&[
    Field::string("token_endpoint_url").required().referenceable().about("URL of the token endpoint."),
    Field::string("client_id").required().referenceable().about("Client id."),
    Field::string("client_secret").required().referenceable().secret().about("Client secret."),
    Field::array("scopes", &Field::string("")).about("Scopes to request."),
    Field::map("extensions", &Field::string(""), &Field::string("")).about("SASL extensions."),
    Field::boolean("token_endpoint_tls_verify")
        .default(Default::Boolean(true))
        .about("Verify the certificate of the token endpoint."),
]);

fn bearer_block(authentication: &Map<String, Value>) -> Result<(), Problem> {
    let bearer = authentication.get("mechanism").is_some_and(|mechanism| mechanism == "OAUTHBEARER");
    if !bearer || authentication.contains_key("oauthbearer") {
        return Ok(());
    }
    Err(Problem {
        field: "mechanism",
        message: "the mechanism `OAUTHBEARER` without an `oauthbearer` block".into(),
        kong: Violation::conditional("mechanism", "oauthbearer", "required field missing"),
    })
}
