use std::sync::Arc;

use logphase_io::file::Accept;
use logphase_io::printable;

use super::*;

fn file() -> Arc<SourceFile> {
    SourceFile::new("kong.yaml", "a: 1\n\u{e9}\u{e9}: x\r\nplugins:\n- nane: http-log\n")
}

/// Scenario: a position after two-byte characters.
/// Guarantees: line and column count lines and characters.
#[test]
fn counts_lines_and_characters() {
    let file = file();
    let at = file.text.find('x').expect("in the text");
    let place = Place::new(file, at..at + 1);
    assert_eq!((place.line(), place.column()), (2, 5));
}

/// Scenario: offsets past the end or inside a character.
/// Guarantees: they are moved to a character boundary.
#[test]
fn keeps_places_in_bounds() {
    let place = Place::new(file(), 6..4000);
    assert_eq!(place.span, 5..place.file.text.len());
}

/// Scenario: misspelled, transposed, differently joined and unrelated words.
/// Guarantees: only similar words are suggested.
#[test]
fn suggests_only_what_is_close() {
    let words = ["timeout", "keepalive", "file-log", "tcp-log"];
    assert_eq!(suggest("timeoutt", words), Some("timeout"));
    assert_eq!(suggest("keepailve", words), Some("keepalive"));
    assert_eq!(suggest("file_log", words), Some("file-log"));
    assert_eq!(suggest("filelog", words), Some("file-log"));
    assert_eq!(suggest("zzz", words), None);
}

/// Scenario: two entries of the table. Guarantees: codes are unique, sorted, and found whatever the case.
#[test]
fn codes_are_unique() {
    assert!(codes::CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
    assert_eq!(codes::explain("k0102").map(|code| code.code), Some(codes::UNKNOWN_FIELD));
}

/// Scenario: files that are missing or not UTF-8.
/// Guarantees: the errors name the file and the byte.
#[test]
fn reading_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("x.yml");
    let short = |path| SourceFile::read(path, Accept::Regular).map_err(|error| error.short());
    let missing = short(&path).expect_err("not there yet");
    assert!(missing.starts_with("error[K0501]: cannot read") && missing.contains("x.yml: No such file"), "{missing}");
    std::fs::write(&path, b"ab\xff").expect("a writable folder");
    assert!(short(&path).expect_err("not UTF-8").ends_with("x.yml: not UTF-8 at byte 2"));
    std::fs::write(&path, "a: 1").expect("a writable folder");
    assert_eq!(short(&path).expect("a sound file").text, "a: 1");
}

/// Scenario: a diagnostic with every part.
/// Guarantees: the layout is the one that users see.
#[test]
fn renders_everything() {
    let file = file();
    let at = file.text.find("nane").expect("in the text");
    let diagnostic = Diagnostic::error(codes::UNKNOWN_FIELD, "unknown field `nane` in plugin")
        .at(Place::new(file.clone(), at..at + 4))
        .suggest("nane", ["name", "config"])
        .path("plugins[0].nane")
        .kong("schema violation (nane: unknown field)")
        .help("see the list of fields")
        .related(Place::new(file, 0..1), "first here");
    insta::assert_snapshot!(diagnostic.render(false));
    insta::assert_snapshot!(diagnostic.short(), @"kong.yaml:4:3: error[K0102]: unknown field `nane` in plugin; did you mean `name`?");
    assert!(diagnostic.render(true).contains("\u{1b}["));
}

/// Scenario: warnings before errors, and no diagnostics.
/// Guarantees: errors come first, and the last line has the counts.
#[test]
fn closes_with_a_count() {
    let all = [Diagnostic::warning(codes::NOT_RUN, "w"), Diagnostic::error(codes::TYPE, "e")];
    insta::assert_snapshot!(render_all(&all, Format::Short, false), @r"
    error[K0101]: e
    warning[K0206]: w
    1 error, 1 warning
    ");
    assert_eq!(render_all(&[], Format::Pretty, false), "no errors\n");
}

/// A minified file of one line with `count` unknown fields, and a diagnostic for each, which also marks the start.
fn minified(count: usize) -> Vec<Diagnostic> {
    let text: Vec<String> = (0..count).map(|n| format!("{{\"bad{n}\":\"日本語\"}}")).collect();
    let file = SourceFile::new("kong.json", text.join(","));
    let starts = file.text.match_indices("\"bad").map(|(at, _)| at).collect::<Vec<_>>();
    let one = |at: usize| {
        let place = Place::new(file.clone(), at..at + 5);
        let diagnostic = Diagnostic::error(codes::UNKNOWN_FIELD, "unknown field").at(place).label("unknown field");
        diagnostic.related(Place::new(file.clone(), 0..2), "in here")
    };
    starts.into_iter().map(one).collect()
}

/// Scenario: a mark in the middle of a line of 100 kB, with another one at its start, and wide characters around.
/// Guarantees: the place is right; of the line only the part around each mark is shown, with an ellipsis where it is cut.
#[test]
fn a_long_line_is_cropped() {
    insta::assert_snapshot!(minified(4000)[2000].render(false));
}

/// Scenario: 1,000 and 10,000 errors in a file of one line, pretty and short. Guarantees: the first 100 are written, and how
/// many there are more; the text does not grow with the file.
#[test]
fn a_thousand_errors_are_few_lines() {
    for format in [Format::Pretty, Format::Short] {
        let (some, many) = (render_all(&minified(1000), format, false), render_all(&minified(10_000), format, false));
        assert_eq!(some.matches("error[K0102]").count(), MAX_SHOWN);
        assert!(some.ends_with("... and 900 more errors\n1000 errors\n"), "{some}");
        assert!(many.ends_with("... and 9900 more errors\n10000 errors\n"), "{many}");
        assert!(many.len() < 100_000, "{}", many.len());
    }
    let mixed =
        (0..150).flat_map(|_| [Diagnostic::note(codes::NOT_RUN, "n"), Diagnostic::warning(codes::NOT_RUN, "w")]);
    let text = render_all(&mixed.collect::<Vec<_>>(), Format::Short, false);
    assert!(text.contains("... and 50 more warnings\nnote[") && text.contains("... and 50 more notes\n"), "{text}");
}

/// Scenario: every kind of hidden character in each part of a diagnostic: the name of the file, its lines, before, in and
/// after the mark, on short and long lines; message, label, path, Kong's words, help. And a message of a megabyte.
/// Guarantees: none is written raw, with and without colours; the caret stays under its word; the message is cut.
#[test]
fn hidden_characters_are_escapes() {
    let odd = printable::EVERY_KIND;
    for padding in ["", &"x".repeat(1000)] {
        let file = SourceFile::new(format!("kong{odd}.yml"), format!("a: 1{odd}\n{padding}{odd}name{odd}: 1\n"));
        let at = file.text.find("name").expect("in the text");
        let diagnostic = Diagnostic::error(codes::TYPE, format!("m{odd}"))
            .at(Place::new(file.clone(), at..at + 4))
            .label(format!("l{odd}"))
            .path(format!("p{odd}"))
            .kong(format!("k{odd}"))
            .help(format!("h{odd}"))
            .related(Place::new(file.clone(), 0..1), format!("r{odd}"));
        for text in [diagnostic.render(false), diagnostic.short() + "\n"] {
            let raw = |c: char| printable::is_hidden(c) && c != '\n';
            assert!(!text.contains(raw), "{text:?}");
        }
        let rendered = diagnostic.render(false);
        let lines: Vec<&str> = rendered.lines().collect();
        let marked = lines.iter().position(|line| line.contains("name\\u")).expect("shown");
        let column = |line: &str, what: &str| line[..line.find(what).expect("there")].chars().count();
        assert_eq!(column(lines[marked], "name\\u"), column(lines[marked + 1], "━"), "{rendered}");
        let colored = diagnostic.render(true).replace('\u{1b}', "");
        assert!(!colored.contains(|c| printable::is_hidden(c) && c != '\n'), "{colored:?}");
    }
    let long = Diagnostic::error(codes::TYPE, "m".repeat(1 << 20)).label("l".repeat(1 << 20)).help("h".repeat(1 << 20));
    assert!(long.render(false).len() < 5000 && long.short().len() < 5000);
}

/// Scenario: a missing word among candidates, one of a megabyte. Guarantees: such words are not compared.
#[test]
fn nothing_is_suggested_for_a_huge_word() {
    let huge = "x".repeat(1 << 20);
    assert_eq!(suggest(&huge, [huge.as_str(), "timeout"]), None);
    assert_eq!(suggest("timeoutt", [huge.as_str(), "timeout"]), Some("timeout"));
}

proptest::proptest! {
    /// Scenario: any text and any range. Guarantees: rendering never panics.
    #[test]
    fn rendering_never_panics(text in "(?s).{0,200}", from in 0usize..300, length in 0usize..300, other in 0usize..300) {
        let file = SourceFile::new("f", text);
        let place = Place::new(file.clone(), from..from + length);
        let diagnostic = Diagnostic::error(codes::TYPE, "m").at(place).label("l")
            .related(Place::new(file, other..other + 3), "r");
        diagnostic.render(false);
        diagnostic.short();
    }
}
