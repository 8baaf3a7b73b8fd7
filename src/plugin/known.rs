//! The names of Kong's plugins that do not run here, for diagnostics.

/// A plugin of Kong's that does not run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPlugin {
    /// Its name.
    pub name: &'static str,
    /// Its priority in Kong.
    pub priority: i32,
    /// Whether it sends or counts something in Kong's log phase.
    pub logs: bool,
}

/// All such plugins, highest priority first (Kong Gateway 3.15).
#[rustfmt::skip]
pub const KNOWN: &[KnownPlugin] = &[
    logging("app-dynamics", 999_999),
    plugin("correlation-id", 100_001),
    logging("zipkin", 100_000),
    plugin("exit-transformer", 9_999),
    plugin("bot-detection", 2_500),
    plugin("cors", 2_000),
    plugin("jwe-decrypt", 1_999),
    plugin("session", 1_900),
    plugin("acme", 1_705),
    plugin("oauth2-introspection", 1_700),
    plugin("mtls-auth", 1_600),
    plugin("degraphql", 1_500),
    plugin("jwt", 1_450),
    plugin("oauth2", 1_400),
    plugin("vault-auth", 1_350),
    plugin("key-auth-enc", 1_250),
    plugin("key-auth", 1_250),
    plugin("ldap-auth-advanced", 1_200),
    plugin("ldap-auth", 1_200),
    plugin("basic-auth", 1_100),
    plugin("openid-connect", 1_050),
    plugin("hmac-auth", 1_030),
    plugin("jwt-signer", 1_020),
    plugin("ai-mcp-oauth2", 1_015),
    plugin("saml", 1_010),
    plugin("json-threat-protection", 1_009),
    plugin("header-cert-auth", 1_009),
    plugin("xml-threat-protection", 1_008),
    plugin("injection-protection", 1_007),
    plugin("websocket-validator", 1_006),
    plugin("websocket-size-limit", 1_003),
    plugin("request-validator", 999),
    plugin("grpc-gateway", 998),
    plugin("tls-handshake-modifier", 997),
    plugin("tls-metadata-headers", 996),
    plugin("ip-restriction", 990),
    plugin("konnect-application-auth", 960),
    plugin("ace", 955),
    plugin("request-size-limiting", 951),
    plugin("acl", 950),
    plugin("opa", 920),
    plugin("rate-limiting-advanced", 910),
    plugin("rate-limiting", 910),
    plugin("ai-rate-limiting-advanced", 905),
    plugin("graphql-rate-limiting-advanced", 902),
    plugin("service-protection", 901),
    plugin("response-ratelimiting", 900),
    plugin("route-by-header", 850),
    plugin("oas-validation", 840),
    plugin("ai-mcp-proxy", 820),
    plugin("ai-a2a-proxy", 819),
    plugin("request-callout", 812),
    plugin("jq", 811),
    plugin("datakit", 810),
    plugin("request-transformer-advanced", 802),
    plugin("request-transformer", 801),
    plugin("response-transformer-advanced", 800),
    plugin("response-transformer", 800),
    plugin("ai-custom-guardrail", 785),
    plugin("ai-lakera-guard", 784),
    plugin("ai-gcp-model-armor", 783),
    plugin("ai-semantic-response-guard", 782),
    plugin("ai-aws-guardrails", 781),
    plugin("route-transformer-advanced", 780),
    plugin("redirect", 779),
    plugin("ai-rag-injector", 778),
    plugin("ai-request-transformer", 777),
    plugin("ai-sanitizer", 776),
    plugin("ai-semantic-prompt-guard", 775),
    plugin("ai-azure-content-safety", 774),
    plugin("ai-prompt-template", 773),
    plugin("ai-prompt-decorator", 772),
    plugin("ai-prompt-guard", 771),
    plugin("ai-proxy-advanced", 770),
    plugin("ai-proxy", 770),
    plugin("ai-prompt-compressor", 769),
    plugin("ai-response-transformer", 768),
    plugin("ai-llm-as-judge", 767),
    plugin("ai-semantic-cache", 765),
    plugin("upstream-oauth", 760),
    plugin("standard-webhooks", 759),
    plugin("solace-consume", 756),
    plugin("solace-upstream", 755),
    plugin("confluent-consume", 754),
    plugin("kafka-consume", 753),
    plugin("confluent", 752),
    plugin("kafka-upstream", 751),
    plugin("aws-lambda", 750),
    plugin("azure-functions", 749),
    plugin("upstream-timeout", 400),
    plugin("proxy-cache-advanced", 100),
    plugin("proxy-cache", 100),
    plugin("graphql-proxy-cache-advanced", 99),
    plugin("forward-proxy", 50),
    plugin("canary", 20),
    logging("metering-and-billing", 16),
    logging("solace-log", 15),
    logging("prometheus", 13),
    logging("statsd-advanced", 11),
    plugin("grpc-web", 3),
    plugin("request-termination", 2),
    plugin("mocking", -1),
];

const fn plugin(name: &'static str, priority: i32) -> KnownPlugin {
    KnownPlugin { name, priority, logs: false }
}

const fn logging(name: &'static str, priority: i32) -> KnownPlugin {
    KnownPlugin { name, priority, logs: true }
}

/// The known plugin with the name `name`.
pub fn find_known(name: &str) -> Option<&'static KnownPlugin> {
    KNOWN.iter().find(|known| known.name == name)
}
