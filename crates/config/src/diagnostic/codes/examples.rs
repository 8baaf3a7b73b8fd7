//! For each code that a short file shows: the file with the mistake, and without it.

use super::*;

/// A file with a mistake, and the same file without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// The code of the mistake.
    pub code: &'static str,
    /// The file's name, which says what kind it is: `kong.yml`, `logphase.yml` or `tests.yml`.
    pub file: &'static str,
    /// Another file that the mistake depends on, and its name.
    pub beside: Option<(&'static str, &'static str)>,
    /// The text with the mistake.
    pub wrong: &'static str,
    /// The text without it.
    pub right: &'static str,
}

/// The example of `code`, if it has one.
pub fn example(code: &str) -> Option<&'static Example> {
    EXAMPLES.iter().find(|example| example.code == code)
}

const fn of(code: &'static str, file: &'static str, wrong: &'static str, right: &'static str) -> Example {
    Example { code, file, beside: None, wrong, right }
}

const fn kong(code: &'static str, wrong: &'static str, right: &'static str) -> Example {
    of(code, "kong.yml", wrong, right)
}

/// The examples, in the order of the codes.
pub const EXAMPLES: &[Example] = &[
    kong(
        SYNTAX,
        r#"_format_version: "3.0"
services:
- name: orders
 host: orders.internal
"#,
        r#"_format_version: "3.0"
services:
- name: orders
  host: orders.internal
"#,
    ),
    kong(
        DUPLICATE_KEY,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/one.log
    path: /var/log/two.log
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/two.log
"#,
    ),
    kong(
        BAD_NODE,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: !path /var/log/all.log
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
"#,
    ),
    kong(
        ENVIRONMENT,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: ${{ env "LOG_PATH" }}
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: ${{ env "DECK_LOG_PATH" }}
"#,
    ),
    kong(
        DOCUMENTS,
        r#"_format_version: "3.0"
services: [{name: orders, host: orders.internal}]
---
_format_version: "3.0"
services: [{name: users, host: users.internal}]
"#,
        r#"_format_version: "3.0"
services:
- {name: orders, host: orders.internal}
- {name: users, host: users.internal}
"#,
    ),
    kong(
        TYPE,
        r#"_format_version: "3.0"
plugins:
- name: udp-log
  config:
    host: logs.internal
    port: "9999"
"#,
        r#"_format_version: "3.0"
plugins:
- name: udp-log
  config:
    host: logs.internal
    port: 9999
"#,
    ),
    kong(
        UNKNOWN_FIELD,
        r#"_format_version: "3.0"
plugins:
- name: tcp-log
  config:
    host: logs.internal
    port: 9999
    timeoutt: 1000
"#,
        r#"_format_version: "3.0"
plugins:
- name: tcp-log
  config:
    host: logs.internal
    port: 9999
    timeout: 1000
"#,
    ),
    kong(
        REQUIRED,
        r#"_format_version: "3.0"
plugins:
- name: udp-log
  config:
    port: 9999
"#,
        r#"_format_version: "3.0"
plugins:
- name: udp-log
  config:
    host: logs.internal
    port: 9999
"#,
    ),
    kong(
        VALUE,
        r#"_format_version: "3.0"
plugins:
- name: udp-log
  config:
    host: logs.internal
    port: 99999
"#,
        r#"_format_version: "3.0"
plugins:
- name: udp-log
  config:
    host: logs.internal
    port: 9999
"#,
    ),
    kong(
        ENTITY_CHECK,
        r#"_format_version: "3.0"
plugins:
- name: kafka-log
  config:
    bootstrap_servers: [{host: kafka.internal, port: 9092}]
    topic: kong
    security: {ssl: false, certificate_id: 0a1b2c3d-0000-4000-8000-000000000000}
certificates:
- {id: 0a1b2c3d-0000-4000-8000-000000000000, cert: CERT, key: KEY}
"#,
        r#"_format_version: "3.0"
plugins:
- name: kafka-log
  config:
    bootstrap_servers: [{host: kafka.internal, port: 9092}]
    topic: kong
"#,
    ),
    kong(
        FORMAT_VERSION,
        r#"services:
- name: orders
  host: orders.internal
"#,
        r#"_format_version: "3.0"
services:
- name: orders
  host: orders.internal
"#,
    ),
    kong(
        UNKNOWN_PLUGIN,
        r#"_format_version: "3.0"
plugins:
- name: fil-log
  config:
    path: /var/log/all.log
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
"#,
    ),
    kong(
        REFERENCE,
        r#"_format_version: "3.0"
services:
- name: orders
  host: orders.internal
routes:
- name: list
  paths: [/orders]
  service: {name: order}
"#,
        r#"_format_version: "3.0"
services:
- name: orders
  host: orders.internal
routes:
- name: list
  paths: [/orders]
  service: {name: orders}
"#,
    ),
    kong(
        UNIQUE,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config: {path: /var/log/one.log}
- name: file-log
  config: {path: /var/log/two.log}
"#,
        r#"_format_version: "3.0"
services:
- name: orders
  host: orders.internal
  plugins:
  - name: file-log
    config: {path: /var/log/orders.log}
plugins:
- name: file-log
  config: {path: /var/log/others.log}
"#,
    ),
    kong(
        SCOPE,
        r#"_format_version: "3.0"
consumers:
- username: alice
  plugins:
  - name: post-function
    config: {log: ["kong.log('done')"]}
"#,
        r#"_format_version: "3.0"
consumers:
- username: alice
plugins:
- name: post-function
  config: {log: ["kong.log('done')"]}
"#,
    ),
    kong(
        NOT_RUN,
        r#"_format_version: "3.0"
plugins:
- name: rate-limiting
  config: {minute: 5}
- name: file-log
  config: {path: /var/log/all.log}
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config: {path: /var/log/all.log}
"#,
    ),
    kong(
        UNKNOWN_ENTITY,
        r#"_format_version: "3.0"
plugin:
- name: file-log
  config: {path: /var/log/all.log}
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config: {path: /var/log/all.log}
"#,
    ),
    kong(
        DEPRECATED,
        r#"_format_version: "3.0"
plugins:
- name: filelog
  config: {path: /var/log/all.log}
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config: {path: /var/log/all.log}
"#,
    ),
    kong(
        EXPRESSION,
        r#"_format_version: "3.0"
routes:
- name: orders
  paths: ["~/orders/(\\d+"]
"#,
        r#"_format_version: "3.0"
routes:
- name: orders
  paths: ["~/orders/(\\d+)"]
"#,
    ),
    Example {
        beside: Some((
            "kong.yml",
            r#"_format_version: "3.0"
plugins:
- name: http-log
  config: {http_endpoint: "{vault://env/log-url}"}
"#,
        )),
        ..of(VAULT, "logphase.yml", "vault: {env: {allow: []}}\n", "vault: {env: {allow: [LOG_URL]}}\n")
    },
    kong(
        CONDITION,
        r#"_format_version: "3.0"
plugins:
- name: syslog
  condition: 'principal.id == "alice"'
"#,
        r#"_format_version: "3.0"
plugins:
- name: syslog
  condition: 'http.method == "GET"'
"#,
    ),
    kong(
        LUA,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua:
      size: return tonumber(kong.request.get_header("content-length")
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua:
      size: return tonumber(kong.request.get_header("content-length"))
"#,
    ),
    Example {
        beside: Some((
            "kong.yml",
            r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua: {host: return kong.request.get_host()}
"#,
        )),
        ..of(NO_LUA, "logphase.yml", "untrusted_lua: off\n", "untrusted_lua: sandbox\n")
    },
    kong(
        DIALECT,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua:
      half: return 5 // 2
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua:
      half: return math.floor(5 / 2)
"#,
    ),
    kong(
        REFUSED_NAME,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua:
      day: return os.date("%F")
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua:
      day: return ngx.today()
"#,
    ),
    kong(
        EARLIER_PHASE,
        r#"_format_version: "3.0"
plugins:
- name: post-function
  config:
    access: ["kong.log.set_serialize_value('team', 'orders')"]
"#,
        r#"_format_version: "3.0"
plugins:
- name: post-function
  config:
    log: ["kong.log.set_serialize_value('team', 'orders')"]
"#,
    ),
    kong(
        UNKNOWN_NAME,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua:
      agent: return kong.request.get_heder("user-agent")
"#,
        r#"_format_version: "3.0"
plugins:
- name: file-log
  config:
    path: /var/log/all.log
    custom_fields_by_lua:
      agent: return kong.request.get_header("user-agent")
"#,
    ),
    of(UNKNOWN_SETTING, "logphase.yml", "worker: 4\n", "workers: 4\n"),
    of(SETTING, "logphase.yml", "shutdown_timeout: a minute\n", "shutdown_timeout: 1m\n"),
    of(
        EXPOSED,
        "logphase.yml",
        r#"inputs:
  tcp:
    listen: ["0.0.0.0:9081"]
"#,
        r#"inputs:
  tcp:
    listen: ["127.0.0.1:9081"]
"#,
    ),
    of(UNREADABLE, "logphase.yml", "config: [absent.yml]\n", "config: [kong.yml]\n"),
    of(
        TEST_SUBJECT,
        "tests.yml",
        r#"tests:
- name: the agent is logged
  transaction: {request: {headers: {user-agent: curl}}}
  expect: {fields: {agent: curl}}
"#,
        r#"fields:
  agent: return kong.request.get_header("user-agent")
tests:
- name: the agent is logged
  transaction: {request: {headers: {user-agent: curl}}}
  expect: {fields: {agent: curl}}
"#,
    ),
    of(
        TEST_TRANSACTION,
        "tests.yml",
        r#"fields:
  agent: return kong.request.get_header("user-agent")
tests:
- name: the agent is logged
  expect: {fields: {agent: curl}}
"#,
        r#"fields:
  agent: return kong.request.get_header("user-agent")
tests:
- name: the agent is logged
  transaction: {request: {headers: {user-agent: curl}}}
  expect: {fields: {agent: curl}}
"#,
    ),
    of(
        TEST_PLUGIN,
        "tests.yml",
        r#"plugins:
- name: file-log
  config: {path: /var/log/all.log}
transaction: {request: {uri: /orders}}
tests:
- name: the path is logged
  expect: {tcp-log: {fields: {request: {uri: /orders}}}}
"#,
        r#"plugins:
- name: file-log
  config: {path: /var/log/all.log}
transaction: {request: {uri: /orders}}
tests:
- name: the path is logged
  expect: {file-log: {fields: {request: {uri: /orders}}}}
"#,
    ),
    of(
        TEST_MATCHER,
        "tests.yml",
        r#"fields:
  agent: return kong.request.get_header("user-agent")
tests:
- name: the agent is logged
  transaction: {request: {headers: {user-agent: curl/8.5.0}}}
  expect: {fields: {agent: {$startswith: curl}}}
"#,
        r#"fields:
  agent: return kong.request.get_header("user-agent")
tests:
- name: the agent is logged
  transaction: {request: {headers: {user-agent: curl/8.5.0}}}
  expect: {fields: {agent: {$matches: "^curl"}}}
"#,
    ),
    kong(
        TEMPLATE,
        r#"type: MeshAccessLog
name: all
mesh: default
spec:
  rules:
  - default:
      backends:
      - type: File
        file:
          path: /tmp/access.log
          format: {type: Plain, plain: '%RESPONSE_CODES%'}
"#,
        r#"type: MeshAccessLog
name: all
mesh: default
spec:
  rules:
  - default:
      backends:
      - type: File
        file:
          path: /tmp/access.log
          format: {type: Plain, plain: '%RESPONSE_CODE%'}
"#,
    ),
];
