use std::sync::Arc;

use logphase_io::file::Accept;

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
