use std::rc::Rc;

use super::*;

/// A transaction whose request has `body` with the content type `kind`.
fn with_body(kind: Option<&str>, body: &str) -> Value {
    let mut transaction = json!({"request": {"uri": "/x", "headers": {}}, "_context": {"request_body": body}});
    if let Some(kind) = kind {
        transaction["request"]["headers"]["content-type"] = json!(kind);
    }
    transaction
}

/// Scenario: `kong.request.get_body` on forms, JSON, multipart, other types and no type, with and without a type passed
/// by the script.
/// Guarantees: the three results equal Kong's.
#[test]
fn request_bodies_are_parsed() {
    let all = "local t, err, kind = kong.request.get_body() return {t or ngx.null, err or ngx.null, kind or ngx.null}";
    let form = "application/x-www-form-urlencoded";
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\n\
                     Content-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n--B\r\n\
                     Content-Disposition: form-data; name=\"b\"\r\n\r\n3\r\n--B--";
    for (kind, body, expected) in [
        (Some(form), "a=1+%41%zz&=x", r#"[{"a":"1 A%zz"},null,"application/x-www-form-urlencoded"]"#),
        (Some(form), "b&b=&b=2", r#"[{"b":[true,"","2"]},null,"application/x-www-form-urlencoded"]"#),
        (Some(form), "", r#"[{},null,"application/x-www-form-urlencoded"]"#),
        (Some("Application/JSON; charset=utf-8"), r#"[1,{"a":[]}]"#, r#"[[1,{"a":[]}],null,"application/json"]"#),
        (Some("application/json"), r#"[null, -1.5, "\u00e9"]"#, r#"[[null,-1.5,"é"],null,"application/json"]"#),
        (Some("application/json"), "5", r#"[null,"invalid json body","application/json"]"#),
        (Some("application/json"), "{} x", r#"[null,"invalid json body","application/json"]"#),
        (Some("multipart/form-data; boundary=B"), multipart, r#"[{"a":"1","b":["2","3"]},null,"multipart/form-data"]"#),
        (Some("multipart/form-data"), multipart, r#"[{},null,"multipart/form-data"]"#),
        (Some("Text/Plain; x"), "hi", r#"[null,"unsupported content type 'Text/Plain; x'","text/plain"]"#),
        (None, "hi", r#"[null,"missing content type",null]"#),
    ] {
        Bench::on(&with_body(kind, body)).gives(&[(all, expected)]);
    }
    let mut bench = Bench::on(&with_body(Some("text/plain"), "a=1&b=2"));
    bench.gives(&[
        ("return kong.request.get_body('application/x-www-form-urlencoded').b", r#""2""#),
        ("return table.nkeys(kong.request.get_body('application/x-www-form-urlencoded', 1))", "1"),
        ("return kong.request.get_body('text/plain', 0)", "nothing"),
    ]);
    for (arguments, message) in [
        ("'application/x-www-form-urlencoded', 'x'", "max_args must be a number"),
        ("'application/x-www-form-urlencoded', 0", "max_args must be >= 1"),
        ("'application/x-www-form-urlencoded', 1001", "max_args must be <= 1000"),
    ] {
        let error = bench.shown(&format!("return kong.request.get_body({arguments})"));
        assert!(error.starts_with("error: [string \"return kong") && error.ends_with(message), "{error}");
    }
    let deep = "[".repeat(100_000);
    Bench::on(&with_body(Some("application/json"), &deep))
        .gives(&[("return select(2, kong.request.get_body())", r#""invalid json body""#)]);
}

/// Scenario: `kong.service.response` on a response that the proxy buffered.
/// Guarantees: it returns the upstream's body, headers and status; header names are case-insensitive, and `max_headers`
/// applies.
#[test]
fn service_responses_are_parsed() {
    let given = json!({"upstream_status": "502, 201", "response": {"headers": {"a": "b"}}, "_context": {
        "service_response": {"headers": {"Content-Type": "application/json", "x-b": "c"}, "body": "eyJhIjoxfQ==",
                             "body_base64": true}}});
    Bench::on(&given).gives(&[
        ("return kong.service.response.get_body()", r#"{"a":1}"#),
        ("return select(3, kong.service.response.get_body())", r#""application/json""#),
        ("return kong.service.response.get_raw_body()", r#""{\"a\":1}""#),
        ("return kong.service.response.get_header('content_type')", r#""application/json""#),
        ("return kong.service.response.get_header('a')", "nothing"),
        ("return table.nkeys(kong.service.response.get_headers(1))", "1"),
        ("return select(2, kong.service.response.get_headers(1))", r#""truncated""#),
        ("return kong.service.response.get_status()", "201"),
    ]);
    let capitals = json!({"request": {"headers": {"X-Some": "1"}}});
    Bench::on(&capitals).gives(&[
        ("return kong.request.get_headers()", r#"{"x-some":"1"}"#),
        ("return kong.request.get_headers().X_Some", r#""1""#),
        ("return kong.request.get_header('x-some')", r#""1""#),
    ]);
    let error = Bench::on(&sample()).shown("return kong.service.response.get_body()");
    assert!(error.contains("service body is only available with buffered proxying"), "{error}");
}

/// Scenario: forwarding headers of a client inside and outside `trusted_ips`, without `_context`.
/// Guarantees: they are used only if the client is trusted, and are split as in Kong.
#[test]
fn forwarding_headers_count_if_trusted() {
    let given = |ip: &str| {
        json!({"client_ip": ip, "request": {"uri": "/a//b?x", "url": "http://own:8000/a", "headers": {
            "x-forwarded-proto": "HTTPS", "x-forwarded-host": "u@Front:444", "x-forwarded-path": "/f",
            "x-forwarded-prefix": "/p"}}, "route": {"protocols": ["http", "https"]}})
    };
    let options = || Options { trusted_ips: vec!["10.0.0.0/8".parse().expect("a network")], ..Options::default() };
    let all = "local r = kong.request return {r.get_forwarded_scheme(), r.get_forwarded_host(), \
               r.get_forwarded_port(), r.get_forwarded_path(), r.get_forwarded_prefix() or '-', \
               (kong.client.get_protocol()), (kong.client.get_protocol(true))}";
    Bench::with(&given("10.1.2.3"), options()).gives(&[(all, r#"["https","front",444,"/f","/p","http","https"]"#)]);
    Bench::with(&given("11.1.2.3"), options()).gives(&[(all, r#"["http","own",8000,"/a/b","-","http","http"]"#)]);
    let mut several = given("10.1.2.3");
    several["request"]["headers"]["x-forwarded-proto"] = json!(["http", "https"]);
    Bench::with(&several, options()).gives(&[(
        "return select(2, kong.client.get_protocol(true))",
        r#""Only one X-Forwarded-Proto header allowed""#,
    )]);
    Bench::with(&given("10.1.2.3"), options()).gives(&[
        ("return kong.ip.is_trusted('10.9.9.9')", "true"),
        ("return kong.ip.is_trusted('11.9.9.9')", "false"),
        ("return kong.ip.is_trusted('no address')", "false"),
        ("return kong.ip.is_trusted('::1')", "false"),
        ("return kong.configuration.trusted_ips", r#"["10.0.0.0/8"]"#),
    ]);
    Bench::on(&json!({})).gives(&[
        ("return kong.ip.is_trusted('10.9.9.9')", "false"),
        (
            "return kong.ip.is_trusted(1)",
            "error: [string \"return kong.ip.is_trusted(1)\"]:1: address must be a string",
        ),
    ]);
}

/// Scenario: context members about the client, the response and the node, and a query that only the URI has.
/// Guarantees: the functions return them.
#[test]
fn more_context_members() {
    Bench::on(&json!({
        "client_ip": "1.1.1.1", "source": "kong", "workspace": "ws-1", "request": {"uri": "/x?a=1&b&a=2&c=%20"},
        "consumer": {"id": "35b03bfc-7a5b-4a23-a594-aa350c585fa8", "username": "bob"},
        "_context": {
            "response_source": "error", "client_certificate_chain": "PEM", "consumer_groups": ["gold", "all"],
            "node": {"cluster_id": "c-1", "statistics": {"total_requests": 7}},
            "vars": {"realip_remote_addr": "2.2.2.2", "realip_remote_port": "99", "remote_port": "98"}
        }
    }))
    .gives(&[
        ("return kong.client.get_ip()", r#""2.2.2.2""#),
        ("return kong.client.get_forwarded_ip()", r#""1.1.1.1""#),
        ("return {kong.client.get_port(), kong.client.get_forwarded_port()}", "[99,98]"),
        ("return kong.client.get_consumer_group().name", r#""gold""#),
        ("return #kong.client.get_consumer_groups()", "2"),
        ("return #kong.client.get_consumer_groups()[2].id", "36"),
        ("return kong.client.tls.get_full_client_certificate_chain()", r#""PEM""#),
        ("return kong.client.load_consumer('35b03bfc-7a5b-4a23-a594-aa350c585fa8').username", r#""bob""#),
        ("return kong.client.load_consumer('bob', true).username", r#""bob""#),
        ("return (kong.client.load_consumer('eve', true))", "nothing"),
        ("return select(2, kong.client.load_consumer('eve', true)):find('out of reach') ~= nil", "true"),
        ("return select(2, kong.client.get_protocol())", r#""No active route found""#),
        ("return kong.response.get_source()", r#""error""#),
        ("return kong.cluster.get_id()", r#""c-1""#),
        ("return kong.nginx.get_statistics().total_requests", "7"),
        ("return kong.nginx.get_statistics().connections_active", "0"),
        ("local q = kong.request.get_query() return {q.a, q.b, q.c}", r#"[["1","2"],true," "]"#),
        ("return kong.request.get_query_arg('a')", r#""1""#),
        ("return select(2, kong.request.get_query(1))", r#""truncated""#),
        ("return kong.default_workspace", r#""ws-1""#),
    ]);
}

/// Scenario: the small modules on an HTTP transaction and an L4 session.
/// Guarantees: results have Kong's structure, each call returns a new copy, and arguments are checked with Kong's
/// errors.
#[test]
fn small_modules() {
    let mut bench = Bench::on(&sample());
    bench.gives(&[
        ("return {kong.version, kong.version_num}", r#"["3.14.0",3014000]"#),
        ("return kong.nginx.get_subsystem()", r#""http""#),
        ("return kong.table.merge({a = 1, b = 2}, {b = 3})", r#"{"a":1,"b":3}"#),
        ("return kong.table.merge(nil, nil)", "{}"),
        ("local t = {1} kong.table.clear(t) return t", "{}"),
        ("return type(kong.table.new(1, 1))", r#""table""#),
        ("return kong.configuration.untrusted_lua", r#""sandbox""#),
        ("return kong.configuration.remove_sensitive().lua_max_req_headers", "100"),
        ("return kong.configuration.pg_password", "nothing"),
        ("return kong.configuration.untrusted_lua_sandbox_requires", "{}"),
        ("return kong.node.get_memory_stats().workers_lua_vms[1].http_allocated_gc > 1000", "true"),
        ("return kong.node.get_memory_stats('k', 0).workers_lua_vms[1].http_allocated_gc:find('^%d+ KiB$')", "1"),
        ("return kong.node.get_memory_stats('M').workers_lua_vms[1].http_allocated_gc:find('^%d+%.%d%d MiB$')", "1"),
        ("return kong.node.get_memory_stats().lua_shared_dicts", "{}"),
        ("return (kong.cluster.get_id())", "nothing"),
        ("return select(2, kong.telemetry.log(1))", r#""plugin_name must be a string""#),
        ("return select(2, kong.telemetry.log('p', 1))", r#""plugin_config must be a table""#),
        ("return select(2, kong.telemetry.log('p', {}, 1))", r#""message_type must be a string""#),
        ("return select(2, kong.telemetry.log('p', {}, 't', 1))", r#""message must be a string""#),
        ("return select(2, kong.telemetry.log('p', {}, 't', 'm', 1))", r#""attributes must be a table""#),
        ("return select(2, kong.telemetry.log('p', {}, 't')):sub(1, 30)", r#""Telemetry logging is disabled:""#),
        ("return kong.tracing.name", r#""noop""#),
        ("return kong.tracing.active_span()", "nothing"),
        ("local s = kong.tracing.start_span('x') s.a = 1 s:set_attribute('k', 1) s:finish() return s.a", "nothing"),
        ("return kong.tracing.create_span().is_recording", "false"),
        ("return kong.tracing.new('x') == kong.tracing and kong.tracing('y') == kong.tracing", "true"),
        ("kong.ctx.core.x = 1 return kong.ctx.core.x", "1"),
        ("return kong.ctx.nope", "nothing"),
        ("return kong.plugin.get_id()", "nothing"),
    ]);
    bench.vm.enter_plugin(3, &Rc::from("file-log"));
    bench.vm.set_plugin_id(&Rc::from("id-3"));
    bench.gives(&[("return kong.plugin.get_id()", r#""id-3""#)]);
    for (call, message) in [
        ("kong.node.get_memory_stats('x')", "invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')"),
        ("kong.node.get_memory_stats('k', -1)", "scale must be equal or greater than 0"),
        ("kong.node.get_memory_stats('k', 'x')", "scale must be equal or greater than 0"),
        ("kong.table.merge(1)", "bad argument #1 to 'for iterator' (table expected, got number)"),
        ("kong.client.load_consumer()", "consumer_id must be a string"),
        ("kong.client.load_consumer('bob')", "cannot load a consumer with an id that is not a uuid"),
        ("kong.log.serialize(1)", "attempt to index local 'options' (a number value)"),
        ("kong.log.set_format(1)", "format must be a string"),
        ("kong.log.new()", "namespace must be a string"),
        ("kong.log.new('')", "namespace cannot be an empty string"),
        ("kong.log.new('x', 1)", "format must be a string if specified"),
        ("kong.log.new('x', '')", "format cannot be an empty string if specified"),
    ] {
        let error = bench.shown(&format!("\nlocal x = {call}"));
        assert_eq!(error, format!("error: [string \"...\"]:2: {message}"), "{call}");
    }
    Bench::on(&json!({"session": {"tls": {"version": "TLSv1.3"}}, "route": {"protocols": ["tcp", "tls"]}})).gives(&[
        ("return kong.nginx.get_subsystem()", r#""stream""#),
        ("return (kong.client.get_protocol())", r#""tls""#),
    ]);
}

/// Scenario: `kong.cache` across transactions, with callbacks that return, fail, decline caching, or return values that
/// cannot be cached.
/// Guarantees: values and hit levels equal mlcache's; only copies are kept, and none beyond its lifetime.
#[test]
fn the_cache_keeps_copies() {
    let mut bench = Bench::on(&json!({}));
    let get = |arguments: &str| {
        format!("local v, e, l = kong.cache:get({arguments}) return {{v == nil and 0 or v, e or 0, l or 0}}")
    };
    for (arguments, expected) in [
        ("'a'", "[0,0,-1]"),
        ("'a', nil, function(x, y) return {x + y} end, 1, 2", "[[3],0,3]"),
        ("'a', nil, error", "[[3],0,1]"),
        ("'n', {neg_ttl = 5}, function() end", "[0,0,3]"),
        ("'n', nil, error", "[0,0,1]"),
        ("'t', nil, function() return 1, nil, -1 end", "[1,0,3]"),
        ("'t'", "[0,0,-1]"),
        ("'e', nil, function() return nil, 'no' end", r#"[0,"failed to get from node cache: no",0]"#),
        (
            "'e', nil, function() error('bad', 0) end",
            r#"[0,"failed to get from node cache: callback threw an error: bad",0]"#,
        ),
        (
            "'e', nil, function() error({}) end",
            r#"[0,"failed to get from node cache: callback threw an error: table",0]"#,
        ),
        (
            "'f', nil, function() return {print} end",
            r#"[0,"failed to get from node cache: cannot cache value of type function",0]"#,
        ),
        ("'big', nil, function() local t = {} for i = 1, 9999 do t[i] = i end return t[9999] and #t end", "[9999,0,3]"),
    ] {
        assert_eq!(bench.shown(&get(arguments)), expected, "{arguments}");
    }
    bench.gives(&[
        ("kong.cache:get('a')[1] = 9 return kong.cache:get('a')", "[3]"),
        ("return select(3, kong.cache:probe('a'))", "[3]"),
        ("return kong.cache:probe('a') > 3000", "true"),
        ("return (kong.cache:probe('none'))", "nothing"),
        ("return kong.cache:renew('a', nil, function() return 'new' end)", r#""new""#),
        ("return kong.cache:get('a')", r#""new""#),
        ("kong.cache:invalidate('a') return kong.cache:get('a')", "nothing"),
        ("return kong.cache:safe_set('s', {[1.5] = ngx.null, x = {}})", "true"),
        ("return kong.cache:get('s')", r#"{"1.5":null,"x":{}}"#),
        ("kong.cache:invalidate_local('s') return kong.cache:get('s')", "nothing"),
        ("kong.cache:get('s', nil, function() return 1 end) kong.cache:purge() return kong.cache:get('s')", "nothing"),
        (
            "local f = function(x) return x end local b = {'x', nil, f, 1, 'y', nil, f, 2, 'x', nil, nil, nil, n = 3}
            local r = kong.cache:get_bulk(b) return {r[1], r[3], r[4], r[6], r[7], r[9], r.n}",
            "[1,3,2,3,1,1,9]",
        ),
        ("kong.cache:get('q', {ttl = 1e-9}, function() return 1 end) return kong.cache:get('q')", "nothing"),
        ("kong.cache:get('q', {ttl = 1e300}, function() return 1 end) return kong.cache:get('q')", "1"),
    ]);
    for (call, message) in [
        ("kong.cache:get(1)", "key must be a string"),
        ("kong.cache:get('a', 1)", "opts must be a table"),
        ("kong.cache:get('a', {ttl = 'x'})", "opts.ttl must be a number"),
        ("kong.cache:get('a', {neg_ttl = -1})", "opts.neg_ttl must be >= 0"),
        ("kong.cache:get('a', nil, 1)", "callback must be nil or a function"),
        ("kong.cache:renew('a')", "callback must be a function"),
        ("kong.cache:get('a', nil, function() return print end)", "cannot cache value of type function"),
        ("kong.cache:get_bulk(1)", "bulk must be a table"),
        ("kong.cache:get_bulk({})", "bulk must have n field"),
        ("kong.cache:get_bulk({n = 1}, 1)", "opts must be a table"),
        ("kong.cache:get_bulk({n = 1e9})", "key at index 1 must be a string for operation 1 (got nil)"),
        (
            "kong.cache:get_bulk({'k', nil, 1, n = 1})",
            "callback at index 3 must be a function for operation 1 (got number)",
        ),
        ("kong.cache:probe()", "key must be a string"),
        ("kong.cache:invalidate({})", "key must be a string"),
    ] {
        let error = bench.shown(&format!("\nlocal x = {call}"));
        assert_eq!(error, format!("error: [string \"...\"]:2: {message}"), "{call}");
    }
}

/// Scenario: far more entries and bytes than the cache may hold, deep and large values, and a callback that never ends.
/// Guarantees: recently used entries are present, too large ones are not, and the deadline ends the callback.
#[test]
fn the_cache_is_bounded() {
    in_time(|| {
        let mut bench = Bench::on(&json!({}));
        bench.gives(&[
            ("for i = 1, 1500 do kong.cache:safe_set('k' .. i, i) end return kong.cache:get('k1500')", "1500"),
            ("return kong.cache:get('k1')", "nothing"),
            ("kong.cache:purge() kong.cache:safe_set('first', 1) return 1", "1"),
            (
                "local s = 'x' for i = 1, 16 do s = s .. s end for i = 1, 40 do kong.cache:safe_set('b' .. i, s) end
                return kong.cache:get('first') == nil and #kong.cache:get('b40')",
                "65536",
            ),
            (
                "local s = 'x' for i = 1, 18 do s = s .. s end kong.cache:safe_set('large', s)
                return kong.cache:get('large')",
                "nothing",
            ),
            ("local t = {} t.t = t kong.cache:safe_set('loop', t) return kong.cache:get('loop')", "nothing"),
        ]);
        let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
        let mut bench = Bench::with(&json!({}), Options { limits, ..Options::default() });
        let endless = "while true do kong.cache:get('a', nil, function() while true do end end) end";
        let error = bench.eval(endless).expect_err("endless");
        assert_eq!(error.stop, Some(Stop::Deadline), "{error}");
    });
}

/// Scenario: every use of the names that would reach outside the sandbox.
/// Guarantees: each raises one error with the name and the call's line.
#[test]
fn names_outside_the_sandbox_raise_errors() {
    let mut bench = Bench::on(&sample());
    let closed = "async cluster_events clustering core_cache db dns enterprise_edition jwe keyring licensing rpc sync \
                  timer websocket worker_events";
    for name in closed.split_whitespace() {
        for code in [
            format!("\nlocal x = kong.{name}.x.y()"),
            format!("\nkong.{name}.x = 1"),
            format!("\nkong.{name}('x')"),
            format!("\nfor k in kong.{name} do end"),
        ] {
            let expected = format!(
                "error: [string \"...\"]:2: kong.{name} is not available in the sandbox: it would reach out of it"
            );
            assert_eq!(bench.shown(&code), expected, "{code}");
        }
        assert_eq!(bench.shown(&format!("return type(kong.{name})")), r#""table""#);
    }
    let error = bench.shown("kong.tracing.set_global_tracer({})");
    assert!(
        error.ends_with("kong.tracing.set_global_tracer is not available in the sandbox: it would reach out of it")
    );
}

/// Scenario: every function that Kong has only in other phases.
/// Guarantees: the error equals Kong's, with its list of phases.
#[test]
fn other_phases_are_named() {
    let mut bench = Bench::on(&sample());
    let header = "rewrite, access, balancer, response, header_filter, error, admin_api";
    for (module, names, phases) in [
        ("response", "set_status set_header add_header clear_header set_headers exit error", header),
        ("response", "get_raw_body set_raw_body", "body_filter"),
        ("service", "set_upstream set_target_retry_callback set_retries set_timeouts", "access"),
        (
            "service",
            "set_target set_tls_cert_key set_tls_verify set_tls_verify_depth set_tls_verify_store",
            "rewrite, access, balancer, preread",
        ),
        (
            "service.request",
            "enable_buffering set_scheme set_path set_header set_raw_body",
            "rewrite, access, balancer",
        ),
        (
            "service.request",
            "set_raw_query set_method set_query clear_query_arg add_header clear_header set_headers set_body",
            "rewrite, access",
        ),
        ("service.request", "enable_tls disable_tls", "balancer, preread"),
        (
            "client",
            "authenticate authenticate_consumer_group_by_consumer_id set_authenticated_consumer_group \
             set_authenticated_consumer_groups",
            "access",
        ),
        ("client.tls", "request_client_certificate disable_session_reuse", "certificate"),
        ("client.tls", "set_client_verify", "rewrite, access, balancer, response"),
    ] {
        for name in names.split_whitespace() {
            let error = bench.shown(&format!("\n\nkong.{module}.{name}('a', 'b')"));
            let expected =
                format!("error: [string \"...\"]:3: function cannot be called in log phase (only in: {phases})");
            assert_eq!(error, expected, "{module}.{name}");
        }
    }
}

/// Scenario: `kong.log` facilities, deprecations, inspection enabled and disabled, and `serialize` with its option.
/// Guarantees: logging never raises an error; header names of the serialized message are case-insensitive, and the
/// message is a copy.
#[test]
fn log_facilities() {
    let mut bench = Bench::on(&sample());
    for code in [
        "kong.log.new('mine').err('x', {}, nil)",
        "kong.log.new('mine', '%message')('x')",
        "kong.log.new('a').new('b').inspect({1, a = {print}}, 'x', nil)",
        "kong.log.inspect.off() kong.log.inspect({}) kong.log.inspect.on() kong.log.inspect.print({})",
        "local t = {} t.t = t kong.log.inspect(t)",
        "kong.log.deprecation('old', {after = '1.0', removal = '2.0'})",
        "kong.log.deprecation.write('old') kong.log.deprecation({}, {after = {}})",
        "kong.log.trace('x') kong.log.set_format() kong.log.set_format('%message')",
    ] {
        assert_eq!(bench.shown(&format!("{code} return 1")), "1", "{code}");
    }
    bench.gives(&[
        ("return kong.log.serialize().request.headers['User_Agent']", r#""curl/8""#),
        ("return kong.log.serialize().request.headers.authorization", r#""REDACTED""#),
        ("return kong.log.serialize({__skip_fetch_headers__ = true}).request.headers", "nothing"),
        ("return kong.log.serialize({__skip_fetch_headers__ = true}).response.status", "503"),
        ("kong.log.serialize().route.name = 'M' return kong.log.serialize().route.name", r#""list""#),
    ]);
}

/// The functions of `kong` by module: those of Kong's lists for its sandbox and for strict snippets, and the others of
/// its PDK.
const FUNCTIONS: [(&str, &str); 21] = [
    ("cache", "get get_bulk probe invalidate invalidate_local safe_set renew purge"),
    (
        "client",
        "authenticate authenticate_consumer_group_by_consumer_id get_consumer get_consumer_group get_consumer_groups \
         get_credential get_forwarded_ip get_forwarded_port get_ip get_port get_token get_jwt_token_payload get_protocol load_consumer \
         set_authenticated_consumer_group set_authenticated_consumer_groups",
    ),
    (
        "client.tls",
        "disable_session_reuse get_full_client_certificate_chain request_client_certificate set_client_verify",
    ),
    ("cluster", "get_id"),
    ("configuration", "remove_sensitive"),
    ("ip", "is_trusted"),
    ("log", "alert crit debug emerg err info notice serialize set_serialize_value warn new set_format trace"),
    ("log.deprecation", "write"),
    ("log.inspect", "on off print"),
    ("nginx", "get_statistics get_subsystem"),
    ("node", "get_hostname get_id get_memory_stats"),
    ("plugin", "get_id"),
    (
        "request",
        "get_body get_forwarded_host get_forwarded_path get_forwarded_port get_forwarded_prefix get_forwarded_scheme \
         get_header get_headers get_host get_http_version get_id get_method get_path get_path_with_query get_port get_query \
         get_query_arg get_raw_body get_raw_forwarded_path get_raw_path get_raw_query get_scheme get_start_time get_uri_captures",
    ),
    (
        "response",
        "add_header clear_header error exit get_header get_headers get_raw_body get_source get_status set_header \
         set_headers set_raw_body set_status",
    ),
    ("router", "get_route get_service"),
    (
        "service",
        "set_retries set_target set_target_retry_callback set_timeouts set_tls_cert_key set_tls_verify \
         set_tls_verify_depth set_tls_verify_store set_upstream",
    ),
    (
        "service.request",
        "add_header clear_header clear_query_arg enable_buffering set_body set_header set_headers set_method set_path \
         set_query set_raw_body set_raw_query set_scheme enable_tls disable_tls",
    ),
    ("service.response", "get_body get_header get_headers get_raw_body get_status"),
    ("table", "clear merge new"),
    ("telemetry", "log"),
    (
        "tracing",
        "create_span get_sampling_decision link_span process_span set_active_span set_should_sample start_span \
         active_span get_spans get_root_span init_spans new set_global_tracer",
    ),
];

/// Scenario: every function of Kong's lists and its PDK, and the members of each module.
/// Guarantees: each is a function, no module has others, and all are read-only.
#[test]
fn kongs_functions_and_no_others() {
    let mut bench = Bench::on(&sample());
    for (module, names) in FUNCTIONS {
        let listed = format!(
            "local t = {{}} for name, value in pairs(kong.{module}) do
                if type(value) == 'function' then table.insert(t, name) end
            end table.sort(t) return t"
        );
        let mut wanted: Vec<_> = names.split_whitespace().collect();
        wanted.sort_unstable();
        assert_eq!(bench.shown(&listed), json!(wanted).to_string(), "{module}");
        let error = bench.shown(&format!("kong.{module}.x = 1"));
        assert!(error.contains("attempt to modify a readonly table"), "{module}: {error}");
    }
}

/// Scenario: a large body parsed repeatedly and a large table merged, under a small limit.
/// Guarantees: the deadline ends both.
#[test]
fn parsing_ends_with_the_deadline() {
    in_time(|| {
        let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
        let json = format!("[{}1]", "1,".repeat(200_000));
        let form = "a=1&b=2&".repeat(50_000);
        for (kind, body) in [("application/json", json), ("application/x-www-form-urlencoded", form)] {
            let mut bench = Bench::with(&with_body(Some(kind), &body), Options { limits, ..Options::default() });
            let error = bench.eval("while true do kong.request.get_body(nil, nil) end").expect_err(kind);
            assert_eq!(error.stop, Some(Stop::Deadline), "{kind}: {error}");
        }
        let mut bench = Bench::with(&json!({}), Options { limits, ..Options::default() });
        let error = bench
            .eval("local t = {} for i = 1, 1e4 do t[i] = i end while true do pcall(kong.table.merge, t, t) end")
            .expect_err("endless");
        assert_eq!(error.stop, Some(Stop::Deadline), "{error}");
    });
}
