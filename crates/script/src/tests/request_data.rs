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
