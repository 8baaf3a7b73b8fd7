use super::*;

/// Scenario: syntax errors on one line and on several lines.
/// Guarantees: the errors have the chunk name and line that LuaJIT reports.
#[test]
fn errors_carry_name_and_line() {
    for (code, name, line) in [
        ("return (", r#"[string "return ("]"#, 1),
        ("return 1 2", r#"[string "return 1 2"]"#, 1),
        ("if true then", r#"[string "if true then"]"#, 1),
        ("return 'abc", r#"[string "return 'abc"]"#, 1),
        ("local x = \n\n  = 3", r#"[string "local x = ..."]"#, 3),
        ("@x", r#"[string "@x"]"#, 1),
        ("#!/usr/bin/lua\nreturn )", r##"[string "#!/usr/bin/lua..."]"##, 2),
    ] {
        let error = compile(code, &SourceLimits::default()).expect_err(code);
        assert_eq!((error.chunk_name.as_str(), error.line), (name, line), "{code}");
        assert!(!error.message.is_empty() && !error.message.starts_with('['), "{error}");
        assert_eq!(error.to_string(), format!("{name}:{line}: {}", error.message));
    }
}

/// Scenario: syntax that LuaJIT accepts and Luau does not, and bytecode.
/// Guarantees: the error says what to write instead.
#[test]
fn differences_are_explained() {
    for (code, line, help) in [
        ("for i = 1, 3 do\n  if i == 2 then goto next end\n  ::next:: print(i)\nend", 2, "no `goto`"),
        ("do\n ::top::\nend", 2, "no `goto`"),
        ("return 1LL", 1, "`LL`"),
        ("return 5ULL + 1", 1, "`LL`"),
        ("\x1bLJ\x02", 1, "bytecode is refused"),
        ("\x1bLua", 1, "bytecode is refused"),
    ] {
        let error = compile(code, &SourceLimits::default()).expect_err(code);
        assert_eq!(error.line, line, "{code}");
        assert!(error.help.is_some_and(|text| text.contains(help)), "{code}: {error:?}");
    }
    assert_eq!(
        compile("\x1bL", &SourceLimits::default()).expect_err("bytecode").message,
        "attempt to load chunk with wrong mode"
    );
    assert_eq!(compile("return (", &SourceLimits::default()).expect_err("wrong").help, None);
}

/// Scenario: a first line with `#`, LuaJIT's escapes, hexadecimal numbers, all kinds of comments.
/// Guarantees: they compile and run.
#[test]
fn luajit_syntax_is_accepted() {
    Bench::on(&json!({})).gives(&[
        ("#!/usr/bin/lua\nreturn 1", "1"),
        ("# only a line", "nothing"),
        ("return '\\x41\\z\n   \\u{48}'", r#""AH""#),
        ("return 0x10", "16"),
        ("--[[ a\nb ]] return [[x]]", r#""x""#),
        ("return [==[a]]b]==]", r#""a]]b""#),
        ("local t = {1, 2; 3} return #t", "3"),
        ("return ({['end'] = 1})['end']", "1"),
    ]);
}

/// Scenario: sources nested deeply enough to overflow a parser's stack, and long sources.
/// Guarantees: each gives an error or a function, and the process survives.
#[test]
fn deep_sources_are_refused() {
    in_time(|| {
        for unit in ["(", "{", "- ", "not ", "function() ", "if true then ", "a.", "a[", "return {", "#", "do "] {
            let code = format!("return {}", unit.repeat(200_000));
            assert!(compile(&code, &SourceLimits::default()).is_err(), "{unit}");
        }
        let long = format!("local t = {{{}}} return #t", "1,".repeat(100_000));
        assert_eq!(Bench::on(&json!({})).shown(&long), "100000");
    });
}

/// Scenario: chunk names from texts that are long, span several lines, or are not ASCII.
/// Guarantees: they are truncated at character boundaries, without a panic.
#[test]
fn chunk_names() {
    let name = |code: &str| crate::compile::chunk_name(code);
    assert_eq!(name("return 1"), r#"[string "return 1"]"#);
    assert_eq!(name("return 1\n"), r#"[string "return 1..."]"#);
    assert_eq!(name(&"a".repeat(60)), format!("[string \"{}...\"]", "a".repeat(45)));
    assert_eq!(name(&"\u{e9}".repeat(60)), format!("[string \"{}...\"]", "\u{e9}".repeat(22)));
    assert_eq!(name(""), r#"[string ""]"#);
}
