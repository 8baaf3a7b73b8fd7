use super::modules::strict;
use super::*;

/// Like [`Bench::shown`], with the chunk name removed from errors.
pub(super) fn shown(bench: &mut Bench, code: &str) -> String {
    let shown = bench.shown(code);
    match shown.strip_prefix("error: [string \"").and_then(|rest| rest.split_once("\"]:")) {
        Some((_, rest)) => format!("error: [string \"...\"]:{rest}"),
        None => shown,
    }
}

/// Like [`Bench::gives`], with the chunk name removed from errors.
#[track_caller]
pub(super) fn gives(bench: &mut Bench, cases: &[(&str, &str)]) {
    for (code, expected) in cases {
        assert_eq!(shown(bench, code), *expected, "{code}");
    }
}

/// The `ngx` names of Kong 3.14's `strict` list without `ngx.re`, and further names of OpenResty's documentation.
const NAMES: [(&str, &str); 11] = [
    (
        "ngx",
        "AGAIN ALERT CRIT DEBUG DECLINED DONE EMERG ERR ERROR INFO NOTICE OK STDERR WARN HTTP_ACCEPTED \
         HTTP_BAD_GATEWAY \
         HTTP_BAD_REQUEST HTTP_CLOSE HTTP_CONFLICT HTTP_CONTINUE HTTP_COPY HTTP_CREATED HTTP_DELETE HTTP_FORBIDDEN \
         HTTP_GATEWAY_TIMEOUT HTTP_GET HTTP_GONE HTTP_HEAD HTTP_ILLEGAL HTTP_INSUFFICIENT_STORAGE \
         HTTP_INTERNAL_SERVER_ERROR HTTP_LOCK HTTP_METHOD_NOT_IMPLEMENTED HTTP_MKCOL HTTP_MOVE HTTP_MOVED_PERMANENTLY \
         HTTP_MOVED_TEMPORARILY HTTP_NOT_ACCEPTABLE HTTP_NOT_ALLOWED HTTP_NOT_FOUND HTTP_NOT_IMPLEMENTED \
         HTTP_NOT_MODIFIED HTTP_NO_CONTENT HTTP_OK HTTP_OPTIONS HTTP_PARTIAL_CONTENT HTTP_PATCH HTTP_PAYMENT_REQUIRED \
         HTTP_PERMANENT_REDIRECT HTTP_POST HTTP_PROPFIND HTTP_PROPPATCH HTTP_PUT HTTP_REQUEST_TIMEOUT HTTP_SEE_OTHER \
         HTTP_SERVICE_UNAVAILABLE HTTP_SPECIAL_RESPONSE HTTP_SWITCHING_PROTOCOLS HTTP_TEMPORARY_REDIRECT \
         HTTP_TOO_MANY_REQUESTS HTTP_TRACE HTTP_UNAUTHORIZED HTTP_UNLOCK HTTP_UPGRADE_REQUIRED \
         HTTP_VERSION_NOT_SUPPORTED",
    ),
    (
        "ngx",
        "arg ctx header headers_sent is_subrequest null status var cookie_time crc32_long crc32_short decode_args \
         decode_base64 decode_base64mime encode_args encode_base64 eof escape_uri exec exit flush get_phase \
         get_raw_phase \
         hmac_sha1 http_time localtime log md5 md5_bin now on_abort parse_http_time print quote_sql_str redirect say \
         send_headers sha1_bin sleep time today unescape_uri update_time utctime run_worker_thread shared semaphore",
    ),
    ("ngx.config", "debug nginx_version ngx_lua_version subsystem prefix nginx_configure"),
    ("ngx.location", "capture capture_multi"),
    (
        "ngx.req",
        "append_body clear_header discard_body finish_body get_body_data get_body_file get_headers get_method \
         get_post_args get_query_args get_uri_args http_version init_body is_internal raw_header read_body \
         set_body_data \
         set_body_file set_header set_method set_uri set_uri_args socket start_time",
    ),
    ("ngx.resp", "get_headers add_header"),
    ("ngx.thread", "kill spawn wait"),
    ("ngx.socket", "connect stream tcp udp"),
    ("ngx.timer", "at every"),
    ("ngx.worker", "count exiting id pid pids"),
    ("ngx.semaphore", "new"),
];

/// Scenario: every `ngx` name of Kong's strict list.
/// Guarantees: the name exists.
#[test]
fn ngx_has_kongs_names() {
    let mut bench = Bench::on(&sample());
    for (library, names) in NAMES {
        for name in names.split_whitespace() {
            let code = format!("return {library}.{name} ~= nil");
            assert_eq!(shown(&mut bench, &code), "true", "{code}");
        }
    }
    gives(
        &mut bench,
        &[
            ("return {ngx.OK, ngx.ERROR, ngx.AGAIN, ngx.DONE, ngx.DECLINED}", "[0,-1,-2,-4,-5]"),
            ("return {ngx.STDERR, ngx.EMERG, ngx.ERR, ngx.DEBUG}", "[0,1,4,8]"),
            (
                "return {ngx.HTTP_GET, ngx.HTTP_HEAD, ngx.HTTP_POST, ngx.HTTP_PATCH, ngx.HTTP_TRACE}",
                "[2,4,8,16384,32768]",
            ),
            ("return {ngx.HTTP_OK, ngx.HTTP_ILLEGAL, ngx.HTTP_INSUFFICIENT_STORAGE}", "[200,451,507]"),
            ("return {ngx.get_phase(), ngx.get_raw_phase()}", r#"["log",16]"#),
            ("return {ngx.is_subrequest, ngx.headers_sent, ngx.status}", "[false,true,503]"),
            ("return {ngx.worker.id(), ngx.worker.count(), ngx.worker.exiting(), #ngx.worker.pids()}", "[0,1,false,1]"),
            ("return {ngx.config.subsystem, ngx.config.debug, ngx.config.nginx_version}", r#"["http",false,1027001]"#),
            ("return tostring(ngx.null)", r#""userdata: NULL""#),
        ],
    );
}

/// Scenario: every use of the names that would reach outside the sandbox or change the response.
/// Guarantees: each raises one error with the name and the snippet's line; loading a snippet that only mentions a name
/// raises nothing.
#[test]
fn unavailable_names_raise_errors() {
    let mut bench = Bench::on(&sample());
    let outside = "is not available in the sandbox: it would reach out of it";
    for (code, name) in [
        ("ngx.timer.at(0, print)", "ngx.timer.at"),
        ("ngx.socket.tcp()", "ngx.socket.tcp"),
        ("ngx.thread.spawn(print)", "ngx.thread.spawn"),
        ("ngx.location.capture('/')", "ngx.location.capture"),
        ("local d = ngx.shared.kong", "ngx.shared.kong"),
        ("ngx.shared.kong = 1", "ngx.shared.kong"),
        ("ngx.shared()", "ngx.shared"),
        ("for _ in ngx.shared do end", "ngx.shared"),
        ("ngx.semaphore.new(1)", "ngx.semaphore.new"),
        ("ngx.run_worker_thread()", "ngx.run_worker_thread"),
        ("ngx.process.signal()", "ngx.process.signal"),
    ] {
        assert_eq!(shown(&mut bench, code), format!("error: [string \"...\"]:1: {name} {outside}"), "{code}");
    }
    for name in [
        "say('x')",
        "print('x')",
        "exit(200)",
        "exec('/')",
        "redirect('/')",
        "flush()",
        "eof()",
        "sleep(1)",
        "send_headers()",
        "on_abort(print)",
        "req.read_body()",
        "req.socket()",
        "resp.add_header('a', 'b')",
    ] {
        let expected = "error: [string \"...\"]:2: API disabled in the context of log_by_lua*";
        assert_eq!(shown(&mut bench, &format!("\nngx.{name}")), expected);
    }
    gives(
        &mut bench,
        &[
            ("if false then ngx.timer.at(0) ngx.shared.x:get('y') end return 1", "1"),
            ("return (pcall(ngx.exit, 200))", "false"),
            (
                "ngx.var.foo = 1",
                "error: [string \"...\"]:1: attempt to write ngx.var.foo: variables are read-only here",
            ),
            ("ngx.header['X-A'] = 1 return ngx.header['X-A'] == nil", "true"),
            (
                "ngx.var[1] = 1",
                "error: [string \"...\"]:1: attempt to write ngx.var.number: variables are read-only here",
            ),
        ],
    );
}

/// Scenario: variables derived from the transaction, and those of its `_context`.
/// Guarantees: they have nginx's texts; unknown names and names that are not strings give nil.
#[test]
fn variables_follow_the_transaction() {
    let mut transaction = sample();
    transaction["tries"] = json!([{"ip": "10.1.0.1", "port": 80}, {"ip": "::1", "port": 8080}]);
    transaction["request"]["headers"]["authorization"] = json!("Basic Ym9iOnM=");
    let mut bench = Bench::on(&transaction);
    for (name, value) in [
        ("remote_addr", "10.0.0.9"),
        ("remote_port", "5555"),
        ("remote_user", "bob"),
        ("request", "POST /a%2fb/../c//d/%7Ex?x=1&y=&flag&x=2 HTTP/2.0"),
        ("request_uri", "/a%2fb/../c//d/%7Ex?x=1&y=&flag&x=2"),
        ("args", "x=1&y=&flag&x=2"),
        ("is_args", "?"),
        ("arg_x", "1"),
        ("arg_Y", ""),
        ("http_user_agent", "curl/8"),
        ("http_x_b", "under"),
        ("http_x_many", "one, two"),
        ("sent_http_content_type", "text/html"),
        ("upstream_http_x_r", "p, q"),
        ("cookie_session", "s3"),
        ("request_method", "POST"),
        ("request_length", "321"),
        ("request_id", "r-1"),
        ("request_body", "hello"),
        ("request_time", "1.043"),
        ("status", "200"),
        ("bytes_sent", "99"),
        ("scheme", "https"),
        ("host", "shop.example"),
        ("server_port", "8443"),
        ("server_protocol", "HTTP/2.0"),
        ("https", "on"),
        ("http2", "h2"),
        ("ssl_protocol", "TLSv1.3"),
        ("upstream_addr", "10.1.0.1:80, [::1]:8080"),
        ("upstream_status", "502, 200"),
        ("upstream_uri", "/up?x=1"),
        ("upstream_response_time", "0.040"),
        ("msec", "1700000001.166"),
        ("hostname", "h1"),
        ("list", "a, b"),
        ("kong_request_id", "r-1"),
    ] {
        let code = format!("return ngx.var.{name}");
        assert_eq!(shown(&mut bench, &code), serde_json::to_string(value).expect("a text"), "{name}");
    }
    gives(
        &mut bench,
        &[
            ("return ngx.var.nothing", "nothing"),
            ("return ngx.var.unknown", "nothing"),
            ("return ngx.var.arg_z", "nothing"),
            ("return ngx.var[1]", "nothing"),
            ("return ngx.var.time_local:find('^%d%d/Nov/2023:%d%d:%d%d:%d%d [+-]%d%d%d%d$')", "1"),
            ("return ngx.var.time_iso8601:find('^2023%-11%-1%dT%d%d:%d%d:%d%d[+-]%d%d:%d%d$')", "1"),
            ("return #ngx.var.binary_remote_addr", "4"),
        ],
    );
}

/// Scenario: the request and the response through `ngx.req`, `ngx.resp` and `ngx.header`.
/// Guarantees: the results and limits equal OpenResty's.
#[test]
fn requests_and_responses() {
    let mut transaction = sample();
    transaction["_context"]["request_body"] = json!("a=1&b&a=%32&=x&c=+");
    let mut bench = Bench::on(&transaction);
    gives(
        &mut bench,
        &[
            ("return ngx.req.get_headers()['User-Agent']", r#""curl/8""#),
            ("return ngx.req.get_headers().user_agent", r#""curl/8""#),
            ("return ngx.req.get_headers(0, true)['User-Agent']", "nothing"),
            ("return ngx.req.get_headers().x_many", r#"["one","two"]"#),
            (
                "local h, e = ngx.req.get_headers(2) local n = 0 for _ in pairs(h) do n = n + 1 end return {n, e}",
                r#"[2,"truncated"]"#,
            ),
            ("return select('#', ngx.req.get_headers(0)) + select('#', ngx.req.get_uri_args())", "2"),
            ("return ngx.req.get_method()", r#""POST""#),
            ("local t = ngx.req.get_uri_args() return {t.x, t.y, t.flag}", r#"[["1","2"],"",true]"#),
            ("return {ngx.req.get_uri_args(1)}", r#"[{"x":"1"},"truncated"]"#),
            ("local t = ngx.req.get_post_args() return {t.a, t.b, t.c}", r#"[["1","2"],true," "]"#),
            ("return ngx.req.get_body_data()", r#""a=1&b&a=%32&=x&c=+""#),
            ("return ngx.req.get_body_file()", "nothing"),
            ("return ngx.req.start_time()", "1700000000.123"),
            ("return ngx.req.http_version()", "2"),
            ("return ngx.req.is_internal()", "false"),
            ("return ngx.req.raw_header():sub(1, 51)", r#""POST /a%2fb/../c//d/%7Ex?x=1&y=&flag&x=2 HTTP/2.0\r\n""#),
            ("return ngx.req.raw_header(true):find('x-many: one\\r\\nx-many: two\\r\\n', 1, true) ~= nil", "true"),
            ("return ngx.resp.get_headers().content_type", r#""text/html""#),
            ("return ngx.header.content_type", r#""text/html""#),
            ("return ngx.header['Content-Type']", r#""text/html""#),
            ("return ngx.header.x_r", r#"["p","q"]"#),
            ("return ngx.header.missing", "nothing"),
            (
                "ngx.req.get_headers('x')",
                "error: [string \"...\"]:1: bad argument #1 to 'get_headers' (number expected, got string)",
            ),
        ],
    );
    gives(
        &mut Bench::on(&json!({})),
        &[
            ("return ngx.req.get_headers()", "{}"),
            ("return ngx.req.get_uri_args()", "{}"),
            ("return select(2, ngx.req.get_post_args()):sub(1, 21)", r#""no request body found""#),
            ("return ngx.req.raw_header()", "nothing"),
            ("return ngx.header.x", "nothing"),
        ],
    );
}

/// Scenario: times formatted and parsed.
/// Guarantees: the results equal those in OpenResty's documentation.
#[test]
fn times() {
    let mut bench = strict(&json!({}));
    gives(
        &mut bench,
        &[
            ("return ngx.http_time(1290079655)", r#""Thu, 18 Nov 2010 11:27:35 GMT""#),
            ("return ngx.parse_http_time('Thu, 18 Nov 2010 11:27:35 GMT')", "1290079655"),
            ("return ngx.parse_http_time('Thursday, 18-Nov-10 11:27:35 GMT')", "1290079655"),
            ("return ngx.parse_http_time('Thu, 18-Nov-10 11:27:35')", "1290079655"),
            ("return ngx.parse_http_time('Thu Nov 18 11:27:35 2010')", "1290079655"),
            ("return ngx.parse_http_time(' Thu, 18 Nov 2010 11:27:35 GMT')", "nothing"),
            ("return ngx.parse_http_time('Thu, 31 Feb 2010 11:27:35 GMT')", "nothing"),
            ("return ngx.parse_http_time('nonsense')", "nothing"),
            ("return ngx.cookie_time(1290079655)", r#""Thu, 18-Nov-10 11:27:35 GMT""#),
            ("return ngx.cookie_time(2547547547)", r#""Fri, 23-Sep-2050 12:05:47 GMT""#),
            ("return ngx.today():find('^%d%d%d%d%-%d%d%-%d%d$')", "1"),
            ("return ngx.localtime():find('^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d$')", "1"),
            ("return ngx.utctime() >= '2024-01-01 00:00:00'", "true"),
            ("return ngx.time() == math.floor(ngx.time()) and math.abs(ngx.now() - ngx.time()) < 60", "true"),
            ("return ngx.update_time()", "nothing"),
            ("return ngx.http_time(-1)", r#""Thu, 01 Jan 1970 00:00:00 GMT""#),
            ("return ngx.cookie_time(-86400)", r#""Thu, 01-Jan-70 00:00:00 GMT""#),
            ("ngx.http_time('x')", "error: [string \"...\"]:1: number argument only"),
            ("return pcall(ngx.http_time, 0/0)", "false"),
        ],
    );
}

/// Scenario: `os.date` with every conversion of C99, and with formats that are undefined in C.
/// Guarantees: the results equal C's in the C locale; undefined formats give errors; outside the strict list the
/// function is absent.
#[test]
fn dates() {
    let mut bench = strict(&json!({}));
    let all =
        "%a|%A|%b|%B|%c|%C|%d|%D|%e|%F|%g|%G|%h|%H|%I|%j|%m|%M|%p|%r|%R|%S|%T|%u|%U|%V|%w|%W|%x|%X|%y|%Y|%z|%Z|%%";
    let expected = "Fri|Friday|Jan|January|Fri Jan  1 15:04:05 2021|20|01|01/01/21| 1|2021-01-01|20|2020|Jan|15|03|001\
                    |01|04|PM|03:04:05 PM|15:04|05|15:04:05|5|00|53|5|00|01/01/21|15:04:05|21|2021|+0000|GMT|%";
    assert_eq!(shown(&mut bench, &format!("return os.date('!{all}', 1609513445)")), format!("\"{expected}\""));
    gives(
        &mut bench,
        &[
            ("return os.date('!%H:%M', 0)", r#""00:00""#),
            ("return os.date('!%I %p', 43200)", r#""12 PM""#),
            ("return os.date('!%j %U %W %V', 1735603200)", r#""366 52 53 01""#),
            ("return os.date('!%EY%Od', 0)", r#""197001""#),
            (
                "local t = os.date('!*t', 1609513445)
                return {t.year, t.month, t.day, t.hour, t.min, t.sec, t.wday, t.yday, t.isdst}",
                "[2021,1,1,15,4,5,6,1,false]",
            ),
            ("return type(os.date())", r#""string""#),
            ("return os.date('!%Y', -62167219200)", r#""0""#),
            ("os.date('%')", "error: [string \"...\"]:1: bad argument #1 to 'date' (invalid conversion)"),
            ("os.date('%Q')", "error: [string \"...\"]:1: bad argument #1 to 'date' (invalid conversion)"),
            ("os.date('%E')", "error: [string \"...\"]:1: bad argument #1 to 'date' (invalid conversion)"),
            ("os.date('%1000000d')", "error: [string \"...\"]:1: bad argument #1 to 'date' (invalid conversion)"),
            ("os.date('%c', 1e18)", "error: [string \"...\"]:1: bad argument #2 to 'date' (time out of range)"),
            ("os.date('%c', 0/0)", "error: [string \"...\"]:1: bad argument #2 to 'date' (time out of range)"),
            ("os.date(('x'):rep(5000))", "error: [string \"...\"]:1: format of 'date' is longer than 4096 bytes"),
            ("os.date({})", "error: [string \"...\"]:1: bad argument #1 to 'date' (string expected, got table)"),
        ],
    );
    assert_eq!(shown(&mut Bench::on(&json!({})), "return os.date == nil"), "true");
}

/// Scenario: `os.time` with complete tables, with fields out of range, and with missing fields.
/// Guarantees: `os.date` turns the result into the same table in the local time zone; a missing field gives Lua's
/// error.
#[test]
fn times_of_tables() {
    let mut bench = strict(&json!({}));
    gives(
        &mut bench,
        &[
            (
                "return os.date('%Y-%m-%d %H:%M:%S',
                os.time({year = 2024, month = 2, day = 29, hour = 1, min = 2, sec = 3}))",
                r#""2024-02-29 01:02:03""#,
            ),
            ("return os.date('%F %T', os.time({year = 2024, month = 1, day = 1}))", r#""2024-01-01 12:00:00""#),
            ("return os.date('%F', os.time({year = 2023, month = 14, day = 30}))", r#""2024-03-01""#),
            ("return os.date('%F', os.time({year = 2024, month = 3, day = 0}))", r#""2024-02-29""#),
            ("local now = os.time() return os.time(os.date('*t', now)) == now", "true"),
            ("return os.time() == math.floor(os.time()) and math.abs(os.time() - ngx.time()) < 60", "true"),
            ("return os.time({year = 1e300, month = 1, day = 1})", "nothing"),
            ("return os.time({year = 2024, month = 0/0, day = 1})", "nothing"),
            ("return os.time({year = 2024, month = 1, day = 1e300})", "nothing"),
            ("os.time({year = 2024})", "error: [string \"...\"]:1: field 'day' missing in date table"),
            ("os.time(1)", "error: [string \"...\"]:1: bad argument #1 to 'time' (table expected, got number)"),
        ],
    );
}

/// Scenario: digests, checksums and base64.
/// Guarantees: the results equal those of other implementations; numbers and nil are treated as strings, as in
/// OpenResty, and other types are rejected.
#[test]
fn hashes_and_base64() {
    gives(
        &mut Bench::on(&json!({})),
        &[
            ("return ngx.md5('hello')", r#""5d41402abc4b2a76b9719d911017c592""#),
            ("return ngx.md5(nil)", r#""d41d8cd98f00b204e9800998ecf8427e""#),
            ("return ngx.md5(12) == ngx.md5('12') and ngx.md5(false) == ngx.md5('')", "true"),
            ("return #ngx.md5_bin('x')", "16"),
            ("return ngx.encode_base64(ngx.sha1_bin('hello'))", r#""qvTGHdzF6KLavt4PO0gs2a6pQ00=""#),
            (
                "return ngx.encode_base64(ngx.hmac_sha1('thisisverysecretstuff', 'some string we want to sign'))",
                r#""R/pvxzHC4NLtj7S+kXFg/NePTmk=""#,
            ),
            ("return ngx.crc32_short('hello')", "907060870"),
            ("return ngx.crc32_long('hello')", "907060870"),
            ("return ngx.encode_base64('hello', true)", r#""aGVsbG8""#),
            ("return ngx.decode_base64('aGVsbG8=')", r#""hello""#),
            ("return ngx.decode_base64('a!')", "nothing"),
            ("return ngx.decode_base64mime('aGVs\\r\\nbG8=')", r#""hello""#),
            ("ngx.md5({})", "error: [string \"...\"]:1: bad argument #1 to 'md5' (string expected, got table)"),
            (
                "ngx.hmac_sha1('k', print)",
                "error: [string \"...\"]:1: bad argument #2 to 'hmac_sha1' (string expected, got function)",
            ),
            ("ngx.decode_base64(1)", "error: [string \"...\"]:1: string argument only"),
        ],
    );
}

/// Scenario: URI escapes and arguments.
/// Guarantees: the results equal those in OpenResty's documentation.
#[test]
fn escapes_and_arguments() {
    gives(
        &mut Bench::on(&json!({})),
        &[
            ("return ngx.escape_uri('a b/c?d=\u{e9}~-._')", r#""a%20b%2Fc%3Fd%3D%C3%A9~-._""#),
            ("return ngx.escape_uri('a b/c?d=#%', 0)", r#""a%20b/c%3Fd=%23%25""#),
            ("return ngx.escape_uri('a&b+/', 1)", r#""a&b%2B/""#),
            ("return ngx.escape_uri([[!'()*~]])", r#""!'()*~""#),
            ("return ngx.escape_uri(nil)", r#""""#),
            ("ngx.escape_uri('a', 9)", "error: [string \"...\"]:1: \"esc_type\" 9 is not one of 0, 1 and 2"),
            ("ngx.escape_uri('a', 'x')", "error: [string \"...\"]:1: \"esc_type\" is not number"),
            ("return ngx.unescape_uri('b%20r56+7')", r#""b r56 7""#),
            ("return ngx.unescape_uri('try %search%%20%again%')", r#""try %search% %again%""#),
            ("return ngx.encode_args({foo = 3, ['b r'] = 'hello world'})", r#""b%20r=hello%20world&foo=3""#),
            ("return ngx.encode_args({baz = {32, 'hello'}, a = true, b = false})", r#""a&baz=32&baz=hello""#),
            ("return ngx.encode_args({})", r#""""#),
            ("ngx.encode_args({a = {{}}})", "error: [string \"...\"]:1: attempt to use table as query arg value"),
            (
                "ngx.encode_args({[true] = 1})",
                "error: [string \"...\"]:1: attempt to use a non-string key in the \"args\" option table",
            ),
            ("local t = ngx.decode_args('a=1&b&a=2&c=%20+x&&=y') return {t.a, t.b, t.c}", r#"[["1","2"],true,"  x"]"#),
            (
                "local t, cut = ngx.decode_args('a=1&b=2&c=3', 2) return {t.a, t.b, t.c == nil, cut}",
                r#"["1","2",true,"truncated"]"#,
            ),
            ("return select(2, ngx.decode_args(('a&'):sub(1, 1), 0))", "nothing"),
            ("return ngx.quote_sql_str([[it's \"x\" \\]] .. '\\n\\0\\26')", r#""'it\\'s \\\"x\\\" \\\\\\n\\0\\Z'""#),
        ],
    );
}

/// Scenario: `ngx.log` with every level and without one.
/// Guarantees: arguments are checked as in OpenResty.
#[test]
fn log_levels() {
    let mut bench = Bench::on(&json!({}));
    for level in 0..9 {
        assert_eq!(shown(&mut bench, &format!("ngx.log({level}, 'a', nil, 1, {{}}) return 1")), "1");
    }
    gives(
        &mut bench,
        &[
            ("ngx.log('x')", "error: [string \"...\"]:1: bad argument #1 to 'log' (number expected, got string)"),
            ("ngx.log()", "error: [string \"...\"]:1: bad argument #1 to 'log' (number expected, got nil)"),
            ("ngx.log(9, 'x')", "error: [string \"...\"]:1: bad argument #1 to 'log' (bad log level: 9)"),
            ("ngx.log(-1, 'x')", "error: [string \"...\"]:1: bad argument #1 to 'log' (bad log level: -1)"),
        ],
    );
}

/// Scenario: each text function, called repeatedly with huge texts.
/// Guarantees: each ends with an error or at the deadline within a short time, and the VM stays usable.
#[test]
fn huge_texts_end() {
    let huge = "local s = 'a&=%' for i = 1, 22 do s = s .. s end ";
    let mut attacks: Vec<String> = [
        "md5",
        "md5_bin",
        "sha1_bin",
        "crc32_long",
        "escape_uri",
        "unescape_uri",
        "quote_sql_str",
        "encode_base64",
        "decode_base64",
        "decode_base64mime",
        "decode_args",
    ]
    .iter()
    .map(|name| format!("{huge} while true do ngx.{name}(s, 0) end"))
    .collect();
    attacks
        .push("local s = 'a&b=%' for i = 1, 19 do s = s .. s end while true do ngx.decode_args(s, 0) end".to_owned());
    attacks.push(
        "local t = {} for i = 1, 1e6 do t[i] = 1 end while true do pcall(ngx.encode_args, {a = t, b = t}) end"
            .to_owned(),
    );
    attacks.push("local s = ('x'):sub(1, 1) for i = 1, 22 do s = s .. s end while true do ngx.md5(s) end".to_owned());
    attacks.push("while true do ngx.req.get_headers() end".to_owned());
    attacks.push("while true do pcall(ngx.say) end".to_owned());
    attacks.push("while true do ngx.log(ngx.ERR, 'x') end".to_owned());
    in_time(move || {
        let limits = Limits {
            deadline: Duration::from_millis(100),
            plugin_deadline: Duration::from_secs(60),
            ..Limits::default()
        };
        let mut bench = Bench::with(&sample(), Options { limits, ..Options::default() });
        for attack in attacks {
            let began = cpu_time();
            let answer = shown(&mut bench, &attack);
            assert!(answer.starts_with("error: "), "{attack}: {answer:.100}");
            let took = cpu_time() - began;
            assert!(took < Duration::from_secs(3), "{attack}: {took:?}");
            assert_eq!(shown(&mut bench, "return ngx.md5('')"), r#""d41d8cd98f00b204e9800998ecf8427e""#, "{attack}");
        }
    });
}

/// Scenario: the files that script threads cannot read are read in advance, twice.
/// Guarantees: the second call is harmless.
#[test]
fn preparing_is_idempotent() {
    prepare();
    prepare();
    assert_eq!(shown(&mut Bench::on(&json!({})), "return #ngx.today()"), "10");
}
