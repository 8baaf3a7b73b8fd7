use super::*;

fn transaction(value: &serde_json::Value) -> Transaction {
    Transaction::parse(value.to_string().into(), &logphase_script::transaction::Limits::default()).expect("it is valid")
}

fn shop() -> Transaction {
    transaction(&serde_json::json!({
        "request": {
            "method": "POST", "uri": "/api/v1/orders?debug=1&tag=a&tag=b", "url": "https://shop.example.com:443/api/v1/orders",
            "headers": {"host": "shop.example.com", "x-team": "blue", "accept": ["a/b", "c/d"]},
        },
        "client_ip": "10.1.2.3",
        "route": {"id": "r1", "name": "orders", "tags": ["public"]},
        "service": {"id": "s1", "name": "shop"},
        "consumer": {"id": "c1", "username": "ann"},
        "_context": {"shared": {"tier": "gold", "n": 5, "deep": {"on": true}}, "consumer_groups": [{"name": "vip", "id": "g1"}, "staff"]},
    }))
}

/// Scenario: conditions of both languages on a request with a consumer, and on one with hardly anything.
/// Guarantees: each holds as Kong's documentation says; in the router language, absent fields make a comparison false.
#[test]
fn conditions_hold_as_in_kong() {
    let (shop, bare) = (shop(), transaction(&serde_json::json!({"request": {"headers": {}, "uri": "/"}})));
    for (text, of_shop, of_bare) in [
        (r#"http.path ^= "/api""#, true, Some(false)),
        (r#"http.method == "POST" && http.headers.x_team == "blue""#, true, Some(false)),
        (r#"!(http.path == "/")"#, true, Some(false)),
        (r#"http.queries.debug == "1""#, true, Some(false)),
        (r#"net.src.ip in 10.0.0.0/8"#, true, Some(false)),
        (r#"consumer.username == "ann" && route.name == "orders" && service.id == "s1""#, true, Some(false)),
        (r#"consumer.username != "bob""#, true, Some(false)),
        (r#"kong.ctx.shared.tier == "gold""#, true, Some(false)),
        (r#"kong.ctx.shared.tier == "silver""#, false, Some(false)),
        (r#"http.path.startsWith("/api")"#, true, Some(false)),
        (r#"http.path_segments[1] == "v1""#, true, None),
        (r#"size(http.path_segments) > 2"#, true, Some(false)),
        (r#"http.headers["x-team"] in ["blue", "red"]"#, true, None),
        (r#"http.headers_list["accept"].exists(a, a == "c/d")"#, true, None),
        (r#"http.queries_list.tag.all(t, t.matches("^[ab]$"))"#, true, None),
        (r#"has(http.headers.x_team) && http.headers.x_team == "blue""#, true, Some(false)),
        (r#"has(consumer.id) ? consumer.username == "ann" : false"#, true, Some(false)),
        (r#""vip" in consumer_group.names && "g1" in consumer_group.ids"#, true, Some(false)),
        (r#""of-the-configuration" in consumer_group.names"#, true, Some(true)),
        (r#""public" in route.tags"#, true, Some(false)),
        (r#"kong.ctx.shared.n > 4 && kong.ctx.shared.deep.on"#, true, None),
        (r#"net.protocol == "https""#, true, Some(false)),
        (r#"net.src.ip.startsWith("10.")"#, true, None),
        ("true", true, Some(true)),
        ("http.path", false, None),
    ] {
        let condition = Condition::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let groups = ["of-the-configuration".to_owned()];
        assert_eq!(condition.holds(&shop, &groups).unwrap_or(false), of_shop, "{text}");
        assert_eq!(condition.holds(&bare, &groups).ok(), of_bare, "{text}");
    }
    let session = transaction(&serde_json::json!({"session": {"server_port": 1}}));
    assert_eq!(Condition::compile(r#"http.path == "/x""#).map(|it| it.holds(&session, &[])), Ok(Ok(true)));
}

/// Scenario: conditions with mistakes, with fields that a finished transaction does not have, and with loops in loops in loops.
/// Guarantees: each is refused when it is read, with a reason; deep nesting does no harm.
#[test]
fn what_cannot_be_known_is_refused() {
    for (text, reason) in [
        ("http.path ==", ""),
        ("", ""),
        ("principal.id == \"x\"", "`principal.id`: a finished transaction does not say it"),
        ("plugins[\"key-auth\"].access_has_executed", "a finished transaction does not say it"),
        ("http.response.status == 500", "unknown field `http.response.status`"),
        ("http.pth == \"/\"", "unknown field `http.pth`"),
        ("consumer.name == \"x\"", "unknown field `consumer.name`"),
        ("foo", "unknown field `foo`"),
        ("[1].all(a, [1].all(b, [1].all(c, true)))", "more than 2 levels"),
        ("http.path.matches(http.host)", "is not a text in quotes"),
        ("http.path.matches('((a{99}){99}){99}')", "the pattern of `matches`"),
        ("http.path.matches('(')", "the pattern of `matches`"),
    ] {
        let error = Condition::compile(text).err().unwrap_or_else(|| panic!("{text} is accepted"));
        assert!(error.contains(reason) && !error.contains('\n'), "{text}: {error}");
    }
    assert!(Condition::compile("[1].all(a, [1].all(b, a == b))").is_ok());
    for deep in
        ["(".repeat(1024), "!".repeat(1024), "[".repeat(1024), format!("{}1{}", "(".repeat(400), ")".repeat(400))]
    {
        let _ = Condition::compile(&deep);
    }
}

proptest::proptest! {
    /// Scenario: texts of the words of both languages in any order.
    /// Guarantees: no panic, neither on reading nor on evaluating.
    #[test]
    fn never_panics(text in "(http|\\.|path|headers|\\[|\\]|\\(|\\)|\"a\"|1|-|==|!=|&&|\\|\\||in|all|x|,|!|consumer|kong\\.ctx\\.shared|\\{|\\}|\\?|:|\\^=|~| |%|/|9223372036854775807){0,20}") {
        if let Ok(condition) = Condition::compile(&text) {
            let _ = condition.holds(&shop(), &[]);
        }
    }
}
