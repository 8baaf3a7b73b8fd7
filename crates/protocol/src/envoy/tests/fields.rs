//! Single members, by entries made here.

use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};

use super::{convert, keep_all, origin};
use crate::envoy::message::{
    AccessLogType, Address, AddressKind, Any, AnyMember, Certificate, Common, Connection, HttpEntry, HttpRequest,
    HttpResponse, InternalAddress, Kind, Metadata, Number, Pipe, Struct, StructMember, SubjectAltName, TcpEntry, Text,
    TextMember, Time, Tls, Value as Metadatum, ValueMember, encode,
};
use crate::envoy::{Conversion, Converter, EntryError, Rule, batch};

fn address(ip: &'static str, port: u32) -> Option<Address> {
    Some(Address::socket(ip, port))
}

fn nanos(nanos: i32) -> Option<Time> {
    Some(Time { seconds: 0, nanos })
}

fn text(key: &'static str, value: &'static [u8]) -> TextMember {
    TextMember { key: key.into(), value: Bytes::from_static(value) }
}

fn http(common: Common, request: HttpRequest, response: HttpResponse) -> Value {
    let entry =
        HttpEntry { common: Some(common), protocol_version: 2, request: Some(request), response: Some(response) };
    convert(&keep_all(), true, entry.encode_to_vec())
}

fn with(common: Common) -> Value {
    http(common, HttpRequest::default(), HttpResponse::default())
}

/// Scenario: times of one request, some of which are missing.
/// Guarantees: differences are truncated only after they were taken; times without a measured end last as long as the
/// request; an answer before the end of the request is no negative time; without any time there is no total.
#[test]
fn latencies() {
    let common = Common {
        duration: nanos(10_900_000),
        time_to_first_upstream_tx_byte: nanos(1_000_000),
        time_to_last_upstream_tx_byte: nanos(1_900_000),
        time_to_first_upstream_rx_byte: nanos(6_800_000),
        time_to_last_upstream_rx_byte: nanos(8_900_000),
        ..Common::default()
    };
    let latencies = |common: Common| with(common)["latencies"].clone();
    assert_eq!(latencies(common.clone()), json!({"kong": 3, "proxy": 4, "request": 10, "receive": 2}));
    let broken = Common { time_to_last_upstream_rx_byte: None, ..common.clone() };
    assert_eq!(latencies(broken), json!({"kong": 1, "proxy": 4, "request": 10, "receive": 4}));
    let silent = Common {
        time_to_first_upstream_rx_byte: None,
        time_to_last_upstream_rx_byte: None,
        time_to_first_downstream_tx_byte: nanos(9_900_000),
        ..common.clone()
    };
    assert_eq!(latencies(silent), json!({"kong": 2, "proxy": 8, "request": 10, "receive": 0}));
    let early = Common { time_to_last_upstream_tx_byte: nanos(7_000_000), ..common.clone() };
    assert_eq!(latencies(early)["proxy"], 0);
    let local = Common { duration: nanos(2_000_000), ..Common::default() };
    assert_eq!(latencies(local), json!({"kong": 2, "proxy": -1, "request": 2, "receive": 0}));
    let unfinished = Common { duration: None, time_to_last_upstream_rx_byte: None, ..common.clone() };
    assert_eq!(latencies(unfinished), json!({"kong": 1, "proxy": 4, "receive": 0}));
    let downstream = Common { duration: None, time_to_last_downstream_tx_byte: nanos(5_999_999), ..Common::default() };
    assert_eq!(latencies(downstream)["request"], 5);
}

/// Scenario: a request without wire bytes, without `request_id`, with its port in the authority, behind another proxy.
/// Guarantees: the size is that of head and body; the id is the stream's; the URL has the port; the client is the one that
/// the proxy in front named, and the peer only if there is none.
#[test]
fn fallbacks() {
    let common = Common {
        stream_id: "s-1".into(),
        downstream_remote_address: address("192.0.2.1", 0),
        downstream_direct_remote_address: address("10.0.0.1", 4000),
        ..Common::default()
    };
    let request = HttpRequest {
        scheme: "https".into(),
        authority: "a.example:8443".into(),
        path: "/p".into(),
        headers_bytes: 100,
        body_bytes: 20,
        ..HttpRequest::default()
    };
    let response = HttpResponse { headers_bytes: 30, body_bytes: 4, ..HttpResponse::default() };
    let object = http(common.clone(), request, response);
    assert_eq!((&object["request"]["size"], &object["response"]["size"]), (&json!(120), &json!(34)));
    assert_eq!(object["request"]["id"], "s-1");
    assert_eq!(object["request"]["url"], "https://a.example:8443/p");
    assert_eq!((&object["client_ip"], &object["_context"]["client_port"]), (&json!("192.0.2.1"), &json!(4000)));
    let direct = with(Common { downstream_remote_address: None, ..common });
    assert_eq!(direct["client_ip"], "10.0.0.1");
}

/// Scenario: headers in capitals, twice, of one name in header and trailer, pseudo headers, bytes that are not UTF-8.
/// Guarantees: names are in lower case and once; the map counts before Envoy's own fields; the text is repaired.
#[test]
fn headers() {
    let request = HttpRequest {
        user_agent: "field".into(),
        headers: vec![text("X-A", b"1"), text("x-a", b"2"), text("User-Agent", b"map"), text(":path", b"/")],
        ..HttpRequest::default()
    };
    let response = HttpResponse {
        headers: vec![text("x-b", b"header \xff")],
        trailers: vec![text("x-b", b"trailer"), text("grpc-status", b"0")],
        ..HttpResponse::default()
    };
    let object = http(Common::default(), request, response);
    assert_eq!(object["request"]["headers"], json!({"user-agent": "map", "x-a": "2"}));
    assert_eq!(object["response"]["headers"], json!({"grpc-status": "0", "x-b": "header \u{fffd}"}));
}

/// Scenario: queries with encoded, repeated, empty and nameless arguments, and without `=`.
/// Guarantees: they are what `kong.request.get_query` gives.
#[test]
fn queries() {
    let query = |path: &'static str| {
        let request = HttpRequest { path: path.into(), ..HttpRequest::default() };
        http(Common::default(), request, HttpResponse::default())["request"]["querystring"].clone()
    };
    assert_eq!(query("/p"), json!({}));
    assert_eq!(query("/p?"), json!({}));
    assert_eq!(query("/p?a=1&a&a=&b&=x&&c=%C3%A4+%26%zz"), json!({"a": ["1", true, ""], "b": true, "c": "ä &%zz"}));
    assert_eq!(query("/p?%61=1&a=2&%ff=3&%fe=4"), json!({"a": ["1", "2"], "\u{fffd}": ["3", "4"]}));
    let many: String = (0..200).map(|number| format!("&k{number}=v")).collect();
    let many = query(format!("/p?{many}").leak());
    assert_eq!(many.as_object().unwrap().len(), 100);
}

/// Scenario: each response flag alone, and all together.
/// Guarantees: each has its short name, in the order in which Envoy's proto has them.
#[test]
fn flags() {
    let names = |flags: Vec<u8>| {
        let common = Common { response_flags: flags.into(), ..Common::default() };
        let names = with(common)["envoy"]["response_flags"].clone();
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let field = |number: u8| match number {
        13 => vec![13 << 3 | 2, 2, 8, 1],
        1..=15 => vec![number << 3, 1],
        _ => vec![(number << 3) | 0x80, number >> 4, 1],
    };
    let known = "LH UH UT LR UR UF UC UO NR DI FI RL UAEX RLSE DC URX SI IH DPE UMSDR RFCF NFCF DT UPE NC OM DF DR";
    for (number, name) in (1..).zip(known.split(' ')) {
        assert_eq!(names(field(number)), [name], "field {number}");
    }
    let all: Vec<u8> = (1..=28).rev().flat_map(field).collect();
    let order = known.replace("UF", "_").replace("URX", "UF").replace('_', "URX");
    assert_eq!(names(all).join(" "), order, "of UF and URX, a request has the latter first");
    assert_eq!(names(vec![0x10, 0]), Vec::<String>::new());
}

/// Scenario: an upstream that is a Unix socket; addresses of every kind; as many tries as a number can say.
/// Guarantees: addresses are as Envoy prints them; the list of tries is bounded, the number of them is not lost.
#[test]
fn upstreams() {
    let pipe = Address { kind: Some(AddressKind::Pipe(Pipe { path: "/run/up.sock".into() })) };
    let common = Common {
        upstream_remote_address: Some(pipe),
        upstream_request_attempt_count: u32::MAX,
        upstream_cluster: "local".into(),
        ..Common::default()
    };
    let object = with(common);
    assert_eq!(
        (&object["envoy"]["upstream_host"], &object["service"]),
        (&json!("/run/up.sock"), &json!({"name": "local"}))
    );
    let local = |address| {
        with(Common { upstream_local_address: address, ..Common::default() })["envoy"]["upstream_local_address"].clone()
    };
    assert_eq!(local(address("2001:db8::1", 4_294_967_295)), "[2001:db8::1]:4294967295");
    assert_eq!(local(address("192.0.2.1", 0)), "192.0.2.1:0");
    assert_eq!(local(address("a\"b", 10)), "a\"b:10");
    let internal = AddressKind::Internal(InternalAddress { listener: "inner".into() });
    assert_eq!(local(Some(Address { kind: Some(internal) })), "envoy://inner");
    assert_eq!(object["tries"].as_array().unwrap().len(), 100);
    assert_eq!(object["envoy"]["upstream_request_attempt_count"], u32::MAX);
}

/// An entry with a value for every source of rules.
fn named() -> Common {
    let member = |key: &'static str, kind| ValueMember { key: key.into(), value: Some(Metadatum { kind: Some(kind) }) };
    let claims = Struct {
        fields: vec![
            member("sub", Kind::String("alice".into())),
            member("n", Kind::Number(7.0)),
            member("f", Kind::Number(0.5)),
        ],
    };
    let jwt = Struct { fields: vec![member("payload", Kind::Struct(claims)), member("ok", Kind::Bool(true))] };
    let state = Any {
        type_url: "t/google.protobuf.StringValue".into(),
        value: Text { value: "from-state".into() }.encode_to_vec().into(),
    };
    let san = SubjectAltName { uri: "spiffe://d/backend".into() };
    let peer = Certificate { subject_alt_names: vec![san], ..Certificate::default() };
    Common {
        metadata: encode(&Metadata { filter_metadata: vec![StructMember { key: "jwt".into(), value: Some(jwt) }] }),
        filter_state_objects: vec![AnyMember { key: "fs".into(), value: Some(state) }],
        custom_tags: vec![text("tag", b"from-tag")],
        tls: Some(Tls { peer_certificate: Some(peer), ..Tls::default() }),
        route_name: "envoys-route".into(),
        upstream_cluster: "envoys-cluster".into(),
        ..Common::default()
    }
}

/// Scenario: rules for every target, from every source, of which some have no value.
/// Guarantees: the first rule that has a value counts; Envoy's own names of route and service stay where no rule has one.
#[test]
fn rules() {
    let rules: Result<Vec<Rule>, _> = [
        "route.id=metadata:jwt:payload:n",
        "route.name=metadata:jwt:nothing",
        "service.name=custom_tag:tag",
        "consumer.username=filter_state:nothing",
        "consumer.username = metadata:jwt:payload:sub",
        "consumer.username=node_id",
        "consumer.custom_id=peer_uri_san",
        "consumer.id=metadata:jwt:ok",
        "authenticated_entity.id=filter_state:fs",
        "authenticated_entity.consumer_id=metadata:jwt:payload:f",
        "workspace=node_cluster",
        "workspace_name=request_header:X-Team",
    ]
    .into_iter()
    .map(str::parse)
    .collect();
    let converter = Converter::new(rules.unwrap(), false);
    let request = HttpRequest { headers: vec![text("x-team", b"shop")], ..HttpRequest::default() };
    let entry = HttpEntry { common: Some(named()), request: Some(request), ..HttpEntry::default() };
    let object = convert(&converter, true, entry.encode_to_vec());
    assert_eq!(object["route"], json!({"id": "7", "name": "envoys-route"}));
    assert_eq!(object["service"], json!({"name": "from-tag"}));
    assert_eq!(object["consumer"], json!({"id": "true", "username": "alice", "custom_id": "spiffe://d/backend"}));
    assert_eq!(object["authenticated_entity"], json!({"id": "from-state", "consumer_id": "0.5"}));
    assert_eq!((&object["workspace"], &object["workspace_name"]), (&json!("svc-a"), &json!("shop")));
    let tcp = TcpEntry { common: Some(named()), connection: Some(Connection::default()) };
    assert_eq!(convert(&converter, false, tcp.encode_to_vec())["consumer"]["username"], "alice");
}

/// Scenario: texts that are no rules.
/// Guarantees: each is refused with what would be one.
#[test]
fn bad_rules() {
    let error = |text: &str| text.parse::<Rule>().unwrap_err().to_string();
    assert!(error("x").starts_with("expected TARGET=SOURCE"));
    assert!(error("consumer.name=node_id").starts_with("no target `consumer.name`; it is one of route.id, "));
    assert!(error("consumer.id=metadata:ns").starts_with("expected metadata:NAMESPACE:KEY"));
    assert!(error("consumer.id=cookie:a").starts_with("no source `cookie:a`; it is metadata:NAMESPACE:KEY, "));
    assert!(error("consumer.id=node_id:x").starts_with("no source"));
}

/// Scenario: filter state of a type that is not text; a record type and values of a later Envoy; an upstream's own record.
/// Guarantees: nothing is invented; such a record counts as the last one unless Envoy says otherwise.
#[test]
fn unknown_values() {
    let state = Any { type_url: "t/envoy.x.Y".into(), value: Bytes::from_static(b"\x08\x01") };
    let common = Common {
        filter_state_objects: vec![AnyMember { key: "k".into(), value: Some(state) }],
        access_log_type: 99,
        tls: Some(Tls { cipher_suite: Some(Number { value: 0xfafa }), version: 9, ..Tls::default() }),
        ..Common::default()
    };
    let object = with(common.clone());
    assert_eq!(object["envoy"]["filter_state"], json!({"k": {"@type": "t/envoy.x.Y"}}));
    assert_eq!(object["envoy"]["access_log_type"], 99);
    assert_eq!(object["request"]["tls"], json!({"cipher": "0xFAFA", "client_verify": "NONE"}));
    let converter = Converter::new(Vec::new(), false);
    let converted = |common: Common| {
        let entry = HttpEntry { common: Some(common), ..HttpEntry::default() };
        converter.http(&entry.encode_to_vec(), &origin(), &mut Vec::new())
    };
    assert_eq!(converted(common.clone()), Ok(Conversion::Written));
    assert_eq!(converted(Common { intermediate_log_entry: true, ..common }), Ok(Conversion::Intermediate));
    let upstream_end = Common { access_log_type: AccessLogType::UpstreamEnd as i32, ..Common::default() };
    assert_eq!(converted(upstream_end), Ok(Conversion::Written));
}

/// Scenario: an entry without anything, and bytes that are none.
/// Guarantees: both are errors, and nothing is written.
#[test]
fn no_entries() {
    let mut out = Vec::new();
    assert_eq!(keep_all().http(b"", &origin(), &mut out), Err(EntryError::Empty));
    let error = keep_all().tcp(b"\x0a\x05x", &origin(), &mut out).unwrap_err();
    assert!(error.to_string().starts_with("not an access log entry: "), "{error}");
    assert!(out.is_empty());
}

/// Scenario: a message with the sender, entries of both kinds and fields of a later version; one that ends too early.
/// Guarantees: its parts in order, then nothing; the parts before the damage, then an error, then nothing.
#[test]
fn parts() {
    use batch::Part;
    let message = b"\x0a\x01n\x12\x06\x0a\x01a\x0a\x01b\x20\x07\x1a\x03\x0a\x01c";
    let parts: Result<Vec<_>, _> = batch::read(message).collect();
    assert_eq!(parts.unwrap(), [Part::Identifier(b"n"), Part::Http(b"a"), Part::Http(b"b"), Part::Tcp(b"c")]);
    let mut damaged = batch::read(b"\x12\x03\x0a\x01a\x12\x04\x0a\x09x");
    assert!(matches!(damaged.next(), Some(Ok(Part::Http(_)))));
    assert!(matches!(damaged.next(), Some(Err(_))));
    assert!(damaged.next().is_none());
}
