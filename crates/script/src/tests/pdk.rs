use super::*;

/// Scenario: every function of `kong.request` on a complete transaction.
/// Guarantees: each returns the value of the log object or of the context, as in Kong.
#[test]
fn request() {
    Bench::on(&sample()).gives(&[
        ("return kong.request.get_method()", r#""POST""#),
        ("return kong.request.get_scheme()", r#""https""#),
        ("return kong.request.get_host()", r#""shop.example""#),
        ("return kong.request.get_port()", "8443"),
        ("return kong.request.get_forwarded_scheme()", r#""http""#),
        ("return kong.request.get_forwarded_host()", r#""front""#),
        ("return kong.request.get_forwarded_port()", "80"),
        ("return kong.request.get_forwarded_path()", r#""/front""#),
        ("return kong.request.get_forwarded_prefix()", r#""/api""#),
        ("return kong.request.get_http_version()", "2"),
        ("return kong.request.get_path()", r#""/c/d/~x""#),
        ("return kong.request.get_raw_path()", r#""/a%2fb/../c//d/%7Ex""#),
        ("return kong.request.get_path_with_query()", r#""/a%2fb/../c//d/%7Ex?x=1&y=&flag&x=2""#),
        ("return kong.request.get_raw_query()", r#""x=1&y=&flag&x=2""#),
        ("return kong.request.get_query_arg('x')", r#""1""#),
        ("return kong.request.get_query_arg('y')", r#""""#),
        ("return kong.request.get_query_arg('flag')", "true"),
        ("return kong.request.get_query_arg('none')", "nothing"),
        ("return kong.request.get_query().x", r#"["1","2"]"#),
        ("return table.nkeys(kong.request.get_query(1))", "1"),
        ("return kong.request.get_header('User-Agent')", r#""curl/8""#),
        ("return kong.request.get_header('user_agent')", r#""curl/8""#),
        ("return kong.request.get_header('x-many')", r#""one""#),
        ("return kong.request.get_header('x_b')", r#""under""#),
        ("return kong.request.get_header('none')", "nothing"),
        ("return kong.request.get_header('authorization')", r#""Bearer s""#),
        ("return kong.request.get_headers()['X-MANY']", r#"["one","two"]"#),
        ("return kong.request.get_headers().user_agent", r#""curl/8""#),
        ("return kong.request.get_headers()[1]", "nothing"),
        ("return table.nkeys(kong.request.get_headers(2))", "2"),
        ("return select(2, kong.request.get_headers(2))", r#""truncated""#),
        ("return select(2, kong.request.get_headers())", "nothing"),
        ("return kong.request.get_start_time()", "1700000000123"),
        ("return kong.request.get_raw_body()", r#""hello""#),
        ("return kong.request.get_uri_captures().named", r#"{"id":"7"}"#),
        ("return kong.request.get_uri_captures().unnamed", r#"["7"]"#),
    ]);
    let whole = json!({"_context": {"uri_captures": {"whole": "/a/7", "unnamed": ["7"]}}});
    Bench::on(&whole).gives(&[
        ("local c = kong.request.get_uri_captures() return {c.unnamed[0], c.unnamed[1], c.whole}", r#"["/a/7","7"]"#),
        ("return kong.request.get_uri_captures().unnamed", r#"["7"]"#),
    ]);
}

/// Scenario: `kong.response`, `kong.service`, `kong.client`, `kong.router` and `kong.node` on a complete transaction.
/// Guarantees: each returns the value of the log object or of the context, as in Kong.
#[test]
fn other_modules() {
    let mut bench = Bench::on(&sample());
    bench.gives(&[
        ("return kong.response.get_status()", "503"),
        ("return kong.response.get_header('X-R')", r#""p""#),
        ("return kong.response.get_headers()['Content-Type']", r#""text/html""#),
        ("return kong.response.get_source()", r#""service""#),
        ("return kong.service.response.get_status()", "200"),
        ("return kong.service.response.get_header('content-type')", r#""text/html""#),
        ("return kong.service.response.get_header('x-r')", r#""p""#),
        ("return kong.service.response.get_headers().x_r", r#"["p","q"]"#),
        ("return kong.client.get_ip()", r#""10.0.0.9""#),
        ("return kong.client.get_forwarded_ip()", r#""1.2.3.4""#),
        ("return kong.client.get_port()", "5555"),
        ("return kong.client.get_forwarded_port()", "5555"),
        ("return kong.client.get_consumer().username", r#""bob""#),
        ("return kong.client.get_credential().consumer_id", r#""cu""#),
        ("return kong.client.get_protocol()", r#""https""#),
        ("return kong.router.get_route().name", r#""list""#),
        ("return kong.router.get_route().paths", "[]"),
        ("return kong.router.get_service().name", r#""orders""#),
        ("kong.router.get_route().name = 'M' return kong.router.get_route().name", r#""list""#),
        ("return kong.node.get_id()", r#""n1""#),
        ("return kong.node.get_hostname()", r#""kong-1""#),
        ("return ngx.status", "503"),
        ("return ngx.encode_base64('a?>')", r#""YT8+""#),
        ("return ngx.encode_base64('a')", r#""YQ==""#),
        ("return ngx.encode_base64('a', true)", r#""YQ""#),
        ("return ngx.decode_base64('YQ==') .. ngx.decode_base64('YQ')", r#""aa""#),
        ("return ngx.decode_base64('\\1')", "nothing"),
        ("return ngx.encode_base64(1) == ngx.encode_base64('1')", "true"),
        ("return ngx.now() > 1.7e9 and ngx.time() <= ngx.now()", "true"),
        ("return type(ngx.null)", r#""userdata""#),
        ("return ngx.get_phase()", r#""log""#),
    ]);
    let groups = bench.shown("return kong.client.get_consumer_groups()");
    assert_eq!(groups, r#"[{"name":"gold","id":"292e2838-e71a-5766-868d-840f7af2afa2"}]"#);
}

/// Scenario: every readable function on an empty transaction, on one with members of wrong types, and on an L4 session.
/// Guarantees: each returns nil or a default, or raises Kong's error at the call's line; none panics.
#[test]
fn missing_and_odd_members() {
    let odd = json!({
        "client_ip": 7, "started_at": "x", "latencies": [], "upstream_status": {}, "source": 1, "route": [], "service": "s",
        "consumer": false, "authenticated_entity": null, "tries": 1,
        "request": {"uri": 1, "url": "://:", "method": [], "querystring": [], "headers": [1], "tls": 3, "size": null},
        "response": {"status": "x", "headers": "y"},
        "_context": {
            "vars": [], "shared": [], "uri_captures": 1, "http_version": "z", "client_port": {}, "node": 1,
            "service_response": {"headers": [], "status": "q", "body": 1}, "consumer_groups": 1, "request_body": 3,
            "forwarded_port": "x", "forwarded_host": 1
        }
    });
    let session = json!({
        "session": {"received": 10, "sent": 20, "status": 200, "server_port": 9000, "tls": {"version": "TLSv1.2"}},
        "upstream": {"received": 1, "sent": 2}, "latencies": {"kong": 0, "session": 7}, "client_ip": "10.1.1.1",
        "route": {"name": "l4", "protocols": ["tcp", "tls"]}, "started_at": 1
    });
    let calls = [
        "kong.request.get_method",
        "kong.request.get_scheme",
        "kong.request.get_host",
        "kong.request.get_port",
        "kong.request.get_forwarded_scheme",
        "kong.request.get_forwarded_host",
        "kong.request.get_forwarded_port",
        "kong.request.get_forwarded_path",
        "kong.request.get_forwarded_prefix",
        "kong.request.get_http_version",
        "kong.request.get_path",
        "kong.request.get_raw_path",
        "kong.request.get_path_with_query",
        "kong.request.get_raw_query",
        "kong.request.get_query",
        "kong.request.get_headers",
        "kong.request.get_start_time",
        "kong.request.get_uri_captures",
        "kong.response.get_status",
        "kong.response.get_headers",
        "kong.response.get_source",
        "kong.service.response.get_status",
        "kong.service.response.get_headers",
        "kong.client.get_ip",
        "kong.client.get_forwarded_ip",
        "kong.client.get_port",
        "kong.client.get_forwarded_port",
        "kong.client.get_consumer",
        "kong.client.get_credential",
        "kong.client.get_consumer_groups",
        "kong.router.get_route",
        "kong.router.get_service",
        "kong.node.get_id",
        "kong.node.get_hostname",
        "ngx.now",
        "kong.log.serialize",
    ];
    for transaction in [json!({}), odd, session] {
        let mut bench = Bench::on(&transaction);
        for call in calls {
            let result = bench.shown(&format!("return ({call}())"));
            assert!(!result.starts_with("error"), "{call}: {result}");
        }
        for code in [
            "kong.request.get_header('a')",
            "kong.request.get_query_arg('a')",
            "kong.response.get_header('a')",
            "kong.service.response.get_header('a')",
            "ngx.status",
            "ngx.var.uri",
            "ngx.var.request_uri",
            "ngx.var.args",
            "ngx.var.http_host",
            "ngx.var.arg_a",
            "ngx.var.cookie_a",
            "ngx.var.request_time",
            "ngx.var.scheme",
            "ngx.var.server_port",
            "ngx.var.ssl_protocol",
            "kong.ctx.shared.x",
            "ngx.ctx.x",
            "kong.client.get_protocol()",
        ] {
            let result = bench.shown(&format!("return ({code})"));
            assert!(!result.starts_with("error") || code.contains("get_protocol"), "{code}: {result}");
        }
    }
    Bench::on(&json!({})).gives(&[
        ("return kong.request.get_http_version()", "1.1"),
        ("return kong.request.get_raw_query()", r#""""#),
        ("return kong.request.get_query()", "{}"),
        ("return kong.request.get_uri_captures().named", "{}"),
        ("return kong.request.get_uri_captures().unnamed", "[]"),
        ("return kong.response.get_source()", r#""exit""#),
        ("return #kong.node.get_id()", "36"),
        ("return kong.client.get_consumer()", "nothing"),
    ]);
}

/// Scenario: an L4 session instead of a request.
/// Guarantees: the values of a session are present, and the others are nil.
#[test]
fn sessions() {
    let session = |protocols: Value| {
        json!({"session": {"received": 1}, "client_ip": "10.1.1.1", "route": {"name": "l4", "protocols": protocols},
               "latencies": {"session": 7}})
    };
    Bench::on(&session(json!(["tcp"]))).gives(&[
        ("return kong.client.get_protocol()", r#""tcp""#),
        ("return kong.client.get_ip()", r#""10.1.1.1""#),
        ("return kong.router.get_route().name", r#""l4""#),
        ("return kong.request.get_method()", "nothing"),
        ("return kong.response.get_status()", "nothing"),
        ("return ngx.status", "nothing"),
        ("return kong.log.serialize().session.received", "1"),
    ]);
}

/// Scenario: wrong arguments, and functions that Kong has only in other phases.
/// Guarantees: the errors have Kong's text and the position of the call in the snippet.
#[test]
fn errors_are_kongs() {
    let mut bench = Bench::on(&json!({}));
    let body = "function cannot be called in log phase (only in: rewrite, access, response, error, admin_api)";
    let header = "function cannot be called in log phase \
                  (only in: rewrite, access, balancer, response, header_filter, error, admin_api)";
    for (call, message) in [
        ("kong.request.get_header(1)", "header name must be a string"),
        ("kong.request.get_header()", "header name must be a string"),
        ("kong.response.get_header({})", "header name must be a string"),
        ("kong.service.response.get_header(nil)", "name must be a string"),
        ("kong.request.get_query_arg(nil)", "query argument name must be a string"),
        ("kong.request.get_headers('x')", "max_headers must be a number"),
        ("kong.request.get_headers(0)", "max_headers must be >= 1"),
        ("kong.request.get_headers(1001)", "max_headers must be <= 1000"),
        ("kong.response.get_headers(-1)", "max_headers must be >= 1"),
        ("kong.request.get_query('x')", "max_args must be a number"),
        ("kong.request.get_query(0)", "max_args must be >= 1"),
        ("kong.request.get_raw_body()", body),
        ("kong.request.get_body()", body),
        ("kong.request.get_body('application/json')", body),
        ("kong.response.get_raw_body()", "function cannot be called in log phase (only in: body_filter)"),
        ("kong.response.set_header('a', 'b')", header),
        ("kong.response.exit(200)", header),
        (
            "kong.service.request.set_header('a', 'b')",
            "function cannot be called in log phase (only in: rewrite, access, balancer)",
        ),
        ("kong.client.authenticate({}, {})", "function cannot be called in log phase (only in: access)"),
        (
            "kong.service.response.get_raw_body()",
            "service body is only available with buffered proxying (see: kong.service.request.enable_buffering function)",
        ),
        ("ngx.decode_base64(1)", "string argument only"),
    ] {
        let error = bench.eval(&format!("local a = 1\n\nlocal b = {call}")).expect_err(call);
        assert_eq!(error.message, format!("[string \"local a = 1...\"]:3: {message}"), "{call}");
        assert_eq!(error.line, Some(3), "{call}");
    }
    let nan = bench.shown("return kong.request.get_headers(0/0)");
    assert!(nan.starts_with("error: ") && nan.contains("max_headers"), "{nan}");
}

/// Scenario: `ngx.var` names that the proxy sent, that are derived from the transaction, and that are unknown.
/// Guarantees: known variables are strings as in nginx, and unknown ones are nil.
#[test]
fn variables() {
    Bench::on(&sample()).gives(&[
        ("return ngx.var.hostname", r#""h1""#),
        ("return ngx.var.status", r#""200""#),
        ("return ngx.var.nothing", "nothing"),
        ("return ngx.var.list", r#""a, b""#),
        ("return ngx.var.remote_addr", r#""10.0.0.9""#),
        ("return ngx.var.remote_port", r#""5555""#),
        ("return ngx.var.request_method", r#""POST""#),
        ("return ngx.var.request_uri", r#""/a%2fb/../c//d/%7Ex?x=1&y=&flag&x=2""#),
        ("return ngx.var.args", r#""x=1&y=&flag&x=2""#),
        ("return ngx.var.query_string", r#""x=1&y=&flag&x=2""#),
        ("return ngx.var.is_args", r#""?""#),
        ("return ngx.var.bytes_sent", r#""99""#),
        ("return ngx.var.request_length", r#""321""#),
        ("return ngx.var.request_id", r#""r-1""#),
        ("return ngx.var.request_time", r#""1.043""#),
        ("return ngx.var.upstream_status", r#""502, 200""#),
        ("return ngx.var.upstream_uri", r#""/up?x=1""#),
        ("return ngx.var.scheme", r#""https""#),
        ("return ngx.var.https", r#""on""#),
        ("return ngx.var.host", r#""shop.example""#),
        ("return ngx.var.server_port", r#""8443""#),
        ("return ngx.var.server_protocol", r#""HTTP/2.0""#),
        ("return ngx.var.ssl_protocol", r#""TLSv1.3""#),
        ("return ngx.var.ssl_cipher", r#""TLS_AES_128_GCM_SHA256""#),
        ("return ngx.var.ssl_client_verify", r#""NONE""#),
        ("return ngx.var.request_body", r#""hello""#),
        ("return ngx.var.http_user_agent", r#""curl/8""#),
        ("return ngx.var.http_authorization", r#""Bearer s""#),
        ("return ngx.var.sent_http_content_type", r#""text/html""#),
        ("return ngx.var.http_x_many", r#""one, two""#),
        ("return ngx.var.arg_x", r#""1""#),
        ("return ngx.var.arg_y", r#""""#),
        ("return ngx.var.cookie_session", r#""s3""#),
        ("return ngx.var.cookie_none", "nothing"),
        ("return ngx.var.no_such_variable", "nothing"),
        ("return ngx.var[1]", "nothing"),
    ]);
}

/// Scenario: snippets that are loaded before any transaction and run for several different ones.
/// Guarantees: each run sees its own transaction, and nothing from loading or from the previous transaction.
#[test]
fn nothing_is_remembered_between_transactions() {
    let mut bench = Bench::on(&json!({}));
    bench.vm.end();
    let codes = [
        "return ngx.var.server_protocol",
        "return ngx.var.is_args",
        "return ngx.var.https",
        "return ngx.status",
        "return kong.ctx.shared.a",
        "return kong.request.get_http_version()",
        "return kong.node.get_id()",
    ];
    let loaded: Vec<_> = codes.iter().map(|code| bench.load(code)).collect();
    let version = |version: f64, scheme: &str| {
        json!({
            "request": {"uri": if version > 1.0 { "/?a" } else { "/" }, "url": format!("{scheme}://h/")},
            "response": {"status": version},
            "_context": {"http_version": version, "shared": {"a": version}, "node": {"id": format!("n{version}")}}
        })
    };
    for (transaction, expected) in [
        (version(2.0, "http"), [r#""HTTP/2.0""#, r#""?""#, r#""""#, "2", "2", "2", r#""n2""#]),
        (version(1.0, "https"), [r#""HTTP/1.0""#, r#""""#, r#""on""#, "1", "1", "1", r#""n1""#]),
    ] {
        bench.transaction = parse(&transaction);
        for ((code, snippet), expected) in codes.iter().zip(&loaded).zip(expected) {
            bench.begin();
            bench.vm.run_field(*snippet, &KeyPath::parse("v", false)).expect(code);
            assert_eq!(bench.members().get("v").map(String::as_str), Some(expected), "{code}");
        }
    }
}

/// Scenario: bodies and context members in their alternative forms.
/// Guarantees: base64 is decoded, and the upstream's response is distinguished from the client's.
#[test]
fn context_members() {
    Bench::on(&json!({
        "request": {"uri": "/x"}, "upstream_status": 201,
        "_context": {
            "request_body": "AP8=", "request_body_base64": true, "raw_path": "/%78", "start_time": 5,
            "service_response": {"status": 418, "headers": {"x-up": ["a", "b"]}, "body": "tea"},
        }
    }))
    .gives(&[
        ("return #kong.request.get_raw_body()", "2"),
        ("return kong.request.get_raw_body():byte(2)", "255"),
        ("return kong.request.get_raw_path()", r#""/%78""#),
        ("return kong.request.get_path()", r#""/x""#),
        ("return kong.request.get_start_time()", "5"),
        ("return kong.service.response.get_status()", "418"),
        ("return kong.service.response.get_header('X-Up')", r#""a""#),
        ("return kong.service.response.get_headers()['x_up']", r#"["a","b"]"#),
        ("return kong.service.response.get_raw_body()", r#""tea""#),
    ]);
    let given = json!({"upstream_status": "201", "request": {"headers": {"host": "a:99"}}});
    Bench::on(&given).gives(&[
        ("return kong.service.response.get_status()", "201"),
        ("return kong.request.get_port()", "99"),
        ("return kong.request.get_host()", r#""a""#),
    ]);
    let address = json!({"request": {"url": "HTTP://[::1]:81/p"}});
    Bench::on(&address)
        .gives(&[("return kong.request.get_host()", r#""[::1]""#), ("return kong.request.get_port()", "81")]);
    let address = json!({"request": {"url": "http://[::1]/p"}});
    Bench::on(&address)
        .gives(&[("return kong.request.get_host()", r#""[::1]""#), ("return kong.request.get_port()", "80")]);
}

/// Scenario: every logging function with every type of value, with many values, with long ones, and more often than the
/// budget allows.
/// Guarantees: no panic and no error.
#[test]
fn logging_takes_anything() {
    let mut bench = Bench::on(&sample());
    for function in [
        "kong.log",
        "kong.log.emerg",
        "kong.log.err",
        "kong.log.warn",
        "kong.log.notice",
        "kong.log.info",
        "kong.log.debug",
        "kong.log.inspect",
        "print",
    ] {
        let code = format!(
            "{function}() {function}(nil) {function}(nil, 1, 1.5, 0/0, 'x', {{}}, print, ngx.null, coroutine.create(print))
            {function}('\\255\\0\\27[31m\\n\\r') local s = 'x\u{e9}' for i = 1, 16 do s = s .. s end {function}(s, s)
            {function}(unpack({{}}, 1, 7000)) for i = 1, 300 do {function}(i) end return 1"
        );
        assert_eq!(bench.shown(&code), "1", "{function}");
    }
}

/// Scenario: members of the context for `ngx.ctx`, the client's credential and the body of the response, and without them.
/// Guarantees: snippets read them through Kong's functions, and can add to `ngx.ctx`; without them the log object answers.
#[test]
fn more_of_the_context() {
    let given = json!({
        "authenticated_entity": {"id": "k", "consumer_id": "c"},
        "_context": {"ngx_ctx": {"a": {"b": 1}}, "credential": {"username": "ann", "id": "k"}, "response_body": "yes"},
    });
    Bench::on(&given).gives(&[
        ("ngx.ctx.c = 2 return {ngx.ctx.a.b, ngx.ctx.c, ngx.ctx.d}", "[1,2]"),
        ("local c = kong.client.get_credential() return {c.id, c.consumer_id, c.username}", r#"["k","c","ann"]"#),
        ("return kong.response.get_raw_body()", r#""yes""#),
    ]);
    Bench::on(&json!({"_context": {"credential": {"username": "ann"}, "ngx_ctx": 1}})).gives(&[
        ("return kong.client.get_credential()", r#"{"username":"ann"}"#),
        ("return next(ngx.ctx)", "nothing"),
        (
            "return select(2, pcall(kong.response.get_raw_body))",
            r#""function cannot be called in log phase (only in: body_filter)""#,
        ),
    ]);
}
