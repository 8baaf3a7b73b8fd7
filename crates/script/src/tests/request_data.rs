//! Where snippets find the data of requests, sessions and their entities.

use super::*;

/// Scenario: the request's headers, method and arguments, changed in the log phase, with a credential among them.
/// Guarantees: later reads and the message show the change, the message hides the credential, and the next transaction has none
/// of it.
#[test]
fn changes_to_the_request_are_seen() {
    let mut bench = Bench::on(&sample());
    bench.gives(&[
        ("ngx.req.set_header('X-New', 'v') return kong.request.get_header('x-new')", r#""v""#),
        ("ngx.req.set_header('x-new', {'1', '2'}) return ngx.req.get_headers()['X_New']", r#"["1","2"]"#),
        ("ngx.req.clear_header('User-Agent') return tostring(ngx.var.http_user_agent)", r#""nil""#),
        ("ngx.req.set_method(ngx.HTTP_PUT) return ngx.req.get_method() .. ngx.var.request_method", r#""PUTPUT""#),
        ("ngx.req.set_uri_args({q = 5}) return ngx.var.args .. kong.request.get_query_arg('q')", r#""q=55""#),
        ("ngx.req.set_uri_args('z=9') return kong.request.get_query()", r#"{"z":"9"}"#),
        ("return kong.request.get_method()", r#""POST""#),
        ("return tostring(kong.request.get_header('x-new'))", r#""nil""#),
        ("ngx.req.set_method(3)", "error: [string \"ngx.req.set_method(3)\"]:1: unsupported HTTP method: 3"),
    ]);
    bench.begin();
    let code = "ngx.req.set_header('x-a.b', 'v') ngx.req.set_header('Authorization', 'secret') \
                ngx.req.clear_header('cookie') ngx.req.set_method(ngx.HTTP_GET)";
    assert_eq!(bench.function(code), Ok(()));
    let request: Value = serde_json::from_str(&bench.members()["request"]).expect("JSON");
    let headers = &request["headers"];
    assert_eq!(
        (&headers["x-a.b"], &headers["authorization"], &request["method"]),
        (&json!("v"), &json!("REDACTED"), &json!("GET"))
    );
    assert!(headers.get("cookie").is_none(), "{headers}");
}

/// Scenario: members of `ngx.ctx` that Kong keeps there, those that the proxy sent along, and a snippet's own.
/// Guarantees: each is there; what the transaction lacks is nil.
#[test]
fn the_context_of_nginx_is_kongs() {
    let mut transaction = sample();
    transaction["tries"] = json!([{"ip": "10.0.0.1", "port": 80}, {"ip": "10.0.0.2", "port": 81}]);
    transaction["_context"]["ngx_ctx"] = json!({"own": {"a": 1}});
    Bench::on(&transaction).gives(&[
        ("return ngx.ctx.service.name .. ngx.ctx.route.name", r#""orderslist""#),
        ("return ngx.ctx.authenticated_consumer.username", r#""bob""#),
        ("return ngx.ctx.authenticated_credential.id", r#""cred""#),
        ("return ngx.ctx.authenticated_consumer_groups[1].name", r#""gold""#),
        ("local data = ngx.ctx.balancer_data return {data.ip, data.port, data.try_count}", r#"["10.0.0.2",81,2]"#),
        ("return {ngx.ctx.KONG_PROXIED, ngx.ctx.KONG_WAITING_TIME, ngx.ctx.own.a}", "[true,40,1]"),
        ("ngx.ctx.mine = 5 return ngx.ctx.mine", "5"),
        ("return ngx.ctx.nothing == nil and ngx.ctx.buffered_proxying == nil", "true"),
    ]);
    Bench::on(&json!({})).gives(&[("return ngx.ctx.service == nil and ngx.ctx.balancer_data == nil", "true")]);
}

/// Scenario: `ngx.ctx.serialize_values` before and after edits of fields and snippets, one of which fails, and in the next
/// transaction; in a VM in which no snippet names it, edits as well.
/// Guarantees: it is Kong's list of the edits so far, in their order, with their modes; edits of a snippet that fails are not in
/// it, and nothing of it outlives the transaction.
#[test]
fn the_edits_so_far_are_a_list() {
    let mut bench = Bench::on(&sample());
    let read = bench.load("return ngx.ctx.serialize_values");
    let path = KeyPath::parse("seen", false);
    bench.vm.run_field(read, &path).expect("a field");
    assert!(!bench.members().contains_key("seen"));
    bench.field("a.b", "return {1}").expect("a field");
    bench.field("gone", "return nil").expect("a field");
    bench.function("kong.log.set_serialize_value('c', 'x', {mode = 'add'})").expect("a function");
    bench.function("kong.log.set_serialize_value('d', 1) error('no')").expect_err("it raises");
    bench.begin();
    bench.field("a.b", "return {1}").expect("a field");
    bench.field("gone", "return nil").expect("a field");
    bench.function("kong.log.set_serialize_value('c', 'x', {mode = 'add'})").expect("a function");
    bench.function("kong.log.set_serialize_value('d', 1) error('no')").expect_err("it raises");
    bench.vm.run_field(read, &path).expect("a field");
    let seen: Value = serde_json::from_str(&bench.members()["seen"]).expect("JSON");
    let expected = json!([
        {"key": "a.b", "value": [1], "mode": "set"},
        {"key": "gone", "mode": "set"},
        {"key": "c", "value": "x", "mode": "add"},
    ]);
    assert_eq!(seen, expected);
    bench.begin();
    bench.vm.run_field(read, &path).expect("a field");
    assert!(!bench.members().contains_key("seen"));
}

/// Scenario: the other members that Kong keeps in `ngx.ctx`, in each phase, with and without the data.
/// Guarantees: a member is there from the phase on in which Kong fills it; the transaction's own `_context.ngx_ctx` is there in
/// every phase and comes first.
#[test]
fn members_of_the_context_appear_with_their_phase() {
    let mut transaction = sample();
    transaction["tries"] = json!([{"ip": "10.0.0.1", "port": 80}]);
    transaction["_context"]["service_response"] = json!({"status": 201, "headers": {"x": "y"}, "body": "b"});
    transaction["_context"]["ngx_ctx"] = json!({"own": 1, "workspace": "mine"});
    transaction["_context"]["uri_captures"]["whole"] = json!("/orders/7");
    let mut bench = Bench::on(&transaction);
    let phases = Phase::REPLAYED.into_iter().chain([Phase::Log]);
    for (at, phase) in phases.enumerate() {
        for (code, from, expected) in [
            ("own", 0, "1"),
            ("workspace", 0, "\"mine\""),
            ("KONG_PROCESSING_START", 0, "1700000000123"),
            ("host_port", 0, "8443"),
            ("is_proxy_request", 0, "true"),
            ("request_uri", 0, "\"/a%2fb/../c//d/%7Ex?x=1&y=&flag&x=2\""),
            ("client_ip", 0, "\"10.0.0.9\""),
            ("KONG_PHASE", 0, ["16", "32", "512", "1024", "8192"][at]),
            ("route and ngx.ctx.route.name", 1, "\"list\""),
            ("service and ngx.ctx.service.name", 1, "\"orders\""),
            ("authenticated_consumer and ngx.ctx.authenticated_consumer.id", 1, "\"cu\""),
            ("authenticated_credential and ngx.ctx.authenticated_credential.id", 1, "\"cred\""),
            ("router_matches and ngx.ctx.router_matches.uri_captures.id", 1, "\"7\""),
            ("router_matches and ngx.ctx.router_matches.uri_captures[0]", 1, "\"/orders/7\""),
            ("balancer_data and ngx.ctx.balancer_data.ip", 2, "\"10.0.0.1\""),
            ("buffered_proxying", 2, "true"),
            ("buffered_status", 2, "201"),
            ("buffered_headers and ngx.ctx.buffered_headers.x", 2, "\"y\""),
            ("KONG_PROXIED", 2, "true"),
        ] {
            bench.begin();
            bench.vm.enter_phase(phase);
            bench.field("v", &format!("return ngx.ctx.{code}")).expect("a field");
            let value = bench.members().remove("v");
            let expected = (at >= from).then_some(expected);
            assert_eq!(value.as_deref(), expected, "{code} in {phase}");
        }
    }
    Bench::on(&json!({})).gives(&[(
        "local names = {} for _, name in ipairs({'route', 'service', 'balancer_data', 'buffered_status', 'router_matches', \
         'host_port', 'serialize_values', 'KONG_PROXIED'}) do names[#names + 1] = tostring(ngx.ctx[name]) end \
         return table.concat(names, ' ')",
        "\"nil nil nil nil nil nil nil nil\"",
    )]);
}

/// Scenario: consumer groups as names, as objects, and none; a header with `_` of the request and of the response, asked for
/// in each way.
/// Guarantees: groups have a name and an id in every form; such a header is found under each of its names, on both sides, and
/// one that is not there under none.
#[test]
fn groups_and_headers_are_found_in_every_form() {
    let id = "\"string\"";
    let names = Bench::on(&json!({"_context": {"consumer_groups": ["gold", "silver"]}}));
    let objects = Bench::on(
        &json!({"_context": {"consumer_groups": [{"name": "gold", "id": "1"}, {"name": "silver", "id": "2"}]}}),
    );
    for mut bench in [names, objects] {
        bench.gives(&[
            ("return kong.client.get_consumer_groups()[1].name", "\"gold\""),
            ("return kong.client.get_consumer_groups()[2].name", "\"silver\""),
            ("return type(kong.client.get_consumer_groups()[1].id)", id),
            ("return kong.client.get_consumer_group().name", "\"gold\""),
            ("return type(kong.client.get_consumer_group().id)", id),
        ]);
    }
    Bench::on(&json!({})).gives(&[(
        "return kong.client.get_consumer_groups() == nil and kong.client.get_consumer_group() == nil",
        "true",
    )]);
    let headers = json!({"x_client_id": "7", "x-other-id": "8"});
    let mut bench = Bench::on(&json!({"request": {"headers": headers}, "response": {"headers": headers}}));
    for name in ["x_client_id", "X_Client_Id", "x-client-id", "X-Client-Id"] {
        for lookup in [
            "kong.request.get_header('@')",
            "kong.request.get_headers()['@']",
            "ngx.req.get_headers()['@']",
            "kong.response.get_header('@')",
            "kong.response.get_headers()['@']",
            "kong.service.response.get_header('@')",
            "kong.service.response.get_headers()['@']",
            "ngx.resp.get_headers()['@']",
            "ngx.header['@']",
        ] {
            let found = |name: &str| format!("return {}", lookup.replace('@', name));
            assert_eq!(bench.shown(&found(name)), "\"7\"", "{lookup} {name}");
            assert_eq!(bench.shown(&found(&name.replace("client", "other").replace("Client", "Other"))), "\"8\"");
            assert_eq!(bench.shown(&found("x-absent-id")), "nothing", "{lookup}");
        }
    }
    bench.gives(&[
        ("return ngx.var.http_x_client_id .. ngx.var.HTTP_X_OTHER_ID", "\"78\""),
        ("return ngx.var.sent_http_x_client_id .. ngx.var.upstream_http_x_other_id", "\"78\""),
    ]);
}

/// Scenario: variables of a request without an upstream, and all that a request has, in an L4 session; the same with the
/// variables handed over.
/// Guarantees: what does not exist there is nil, and what the proxy hands over is always there.
#[test]
fn variables_that_do_not_exist_are_nil() {
    let nils = |names: &[&str]| {
        let tests: Vec<_> = names.iter().map(|name| format!("ngx.var.{name} == nil")).collect();
        format!("return {}", tests.join(" and "))
    };
    let upstream = [
        "upstream_response_time",
        "upstream_connect_time",
        "upstream_header_time",
        "upstream_status",
        "upstream_addr",
        "UPSTREAM_RESPONSE_TIME",
    ];
    let unproxied =
        json!({"upstream_status": "", "latencies": {"proxy": -1, "kong": 1}, "tries": [], "request": {"uri": "/"}});
    Bench::on(&unproxied).gives(&[(&nils(&upstream), "true")]);
    let mut given = unproxied;
    given["_context"] = json!({"vars": {"upstream_connect_time": "0.001", "upstream_response_time": "0.002"}});
    Bench::on(&given)
        .gives(&[("return ngx.var.upstream_connect_time .. ngx.var.Upstream_Response_Time", "\"0.0010.002\"")]);
    let session = json!({
        "session": {"received": 1, "sent": 2, "status": 200, "server_port": 9, "tls": {"version": "TLSv1.3", "cipher": "c"}},
        "client_ip": "10.0.0.9", "latencies": {"session": 5}, "tries": [{"ip": "10.0.0.1", "port": 80}],
    });
    let of_requests =
        ["request_method", "uri", "server_protocol", "request_completion", "http_host", "body_bytes_sent", "args"];
    Bench::on(&session).gives(&[
        (&nils(&of_requests), "true"),
        (
            "return ngx.var.remote_addr .. ' ' .. ngx.var.upstream_addr .. ' ' .. ngx.var.ssl_protocol",
            "\"10.0.0.9 10.0.0.1:80 TLSv1.3\"",
        ),
        ("return ngx.var.protocol .. ngx.var.session_time .. ngx.var.server_port", "\"TCP0.0059\""),
        ("return ngx.status .. ngx.config.subsystem", "\"200stream\""),
    ]);
}

/// Scenario: variables in other case, headers with `_`, requests with and without an upstream, and an L4 session.
/// Guarantees: names are found as nginx finds them, and what an upstream or a session alone has is nil for others.
#[test]
fn variables_are_found_as_in_nginx() {
    Bench::on(&sample()).gives(&[
        ("return ngx.var.HTTP_HOST", r#""shop.example:8443""#),
        ("return ngx.var.Request_Method .. ngx.var.ARG_X", r#""POST1""#),
        (
            "return kong.request.get_header('X-B') .. kong.request.get_header('x_b') .. ngx.var.http_x_b",
            r#""underunderunder""#,
        ),
        ("local h = kong.request.get_headers() return h.X_B .. h['x-b'] .. h.x_b", r#""underunderunder""#),
        ("return ngx.var.upstream_response_time .. ngx.var.upstream_status", r#""0.040502, 200""#),
        ("return ngx.config.subsystem", r#""http""#),
        ("return kong.request.get_path()", r#""/c/d/~x""#),
    ]);
    let unproxied =
        json!({"upstream_status": "", "latencies": {"proxy": -1}, "request": {"uri": "/caf%C3%A9/a%20b%2Fc"}});
    Bench::on(&unproxied).gives(&[
        ("return ngx.var.upstream_response_time == nil and ngx.var.upstream_status == nil", "true"),
        ("return kong.request.get_path()", "\"/caf\u{e9}/a b%2Fc\""),
        ("return kong.request.get_forwarded_path() == kong.request.get_path()", "true"),
        ("return kong.request.get_raw_forwarded_path()", r#""/caf%C3%A9/a%20b%2Fc""#),
    ]);
    let session = json!({"session": {"received": 10, "sent": 20, "status": 200, "server_port": 9000}, "upstream": {"received": 5},
        "latencies": {"session": 1500}});
    Bench::on(&session).gives(&[
        ("return {ngx.var.bytes_received, ngx.var.bytes_sent, ngx.var.session_time}", r#"["10","20","1.500"]"#),
        ("return {ngx.status, ngx.var.server_port, ngx.var.upstream_bytes_received}", r#"[200,"9000","5"]"#),
        ("return ngx.config.subsystem", r#""stream""#),
    ]);
}

/// Scenario: bodies of responses that only `_context.response_body` has, and a field below a list of headers.
/// Guarantees: every function of the body finds it; the list becomes an object, as in Kong, and another list stays as it is.
#[test]
fn bodies_and_lists() {
    let transaction = json!({
        "response": {"headers": {"content-type": "application/json"}}, "tries": [{"ip": "1"}],
        "request": {"headers": {"x-multi": ["a", "b"]}},
        "_context": {"response_body": "{\"a\":1}"}
    });
    let mut bench = Bench::on(&transaction);
    bench.gives(&[
        ("return kong.service.response.get_raw_body() == kong.response.get_raw_body()", "true"),
        ("return kong.service.response.get_body().a", "1"),
    ]);
    bench.begin();
    assert_eq!(bench.field("request.headers.x-multi.note", "return 'n'"), Ok(()));
    assert_eq!(bench.field("tries.note", "return 'n'"), Ok(()));
    let members = bench.members();
    assert_eq!(members["request"], r#"{"headers":{"x-multi":{"1":"a","2":"b","note":"n"}}}"#);
    assert_eq!(members["tries"], r#"[{"ip":"1"}]"#);
    let lists = json!({"route": {"tags": [], "other": []}, "tries": []});
    assert_eq!(Bench::quirky(&lists).members()["route"], r#"{"tags":[],"other":{}}"#);
    assert_eq!(Bench::quirky(&lists).members()["tries"], "[]");
    assert_eq!(Bench::on(&lists).members()["route"], r#"{"tags":[],"other":[]}"#);
}
