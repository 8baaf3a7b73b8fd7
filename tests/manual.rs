//! `logphase man` and `logphase completions`.

use crate::service::Home;

/// Scenario: the manual pages are written into a directory, and read by `man`'s own parser; then into one that does not exist.
/// Guarantees: there is one for each command, with its options and examples, and groff warns of nothing; the latter is exit code 74.
#[test]
fn pages_of_all_commands() {
    let home = Home::new();
    std::fs::create_dir(home.path("man1")).unwrap();
    let ended = home.run(&["man", "man1"], b"");
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let mut pages: Vec<_> = std::fs::read_dir(home.path("man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() > 18, "{pages:?}");
    for page in &pages {
        let ended = std::process::Command::new("groff").args(["-man", "-ww", "-z"]).arg(page).output().unwrap();
        assert!(
            ended.status.success() && ended.stderr.is_empty(),
            "{}: {}",
            page.display(),
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    let check = std::fs::read_to_string(home.path("man1/logphase-check.1")).unwrap();
    for text in ["logphase\\-check", "\\-\\-format", "logphase check \\-\\-suggest kong.yml"] {
        assert!(check.contains(text), "{text}: {check}");
    }
    let export = std::fs::read_to_string(home.path("man1/logphase-config-export.1")).unwrap();
    assert!(export.contains("logphase config export") || export.contains("logphase\\-config\\-export"), "{export}");
    let first = home.run(&["man"], b"");
    assert_eq!(first.stdout, std::fs::read_to_string(home.path("man1/logphase.1")).unwrap());
    let ended = home.run(&["man", "absent"], b"");
    assert_eq!(ended.code(), 74);
    assert!(ended.stderr.contains("name a directory that exists"), "{}", ended.stderr);
}

/// Scenario: completions for bash, asked through bash itself.
/// Guarantees: they name the commands and the options of a command.
#[test]
fn bash_completes() {
    let home = Home::new();
    let script = home.run(&["completions", "bash"], b"").stdout;
    home.write("complete.bash", &script);
    let asked = |line: &str, words: usize| {
        let script = format!(
            "source {}; COMP_WORDS=({line}); COMP_CWORD={words}; _logphase logphase \"${{COMP_WORDS[{words}]}}\" \"${{COMP_WORDS[{words}-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            home.text("complete.bash")
        );
        let ended = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(ended.stdout).unwrap()
    };
    for command in ["run", "check", "show", "explain", "man"] {
        let all = asked("logphase ''", 1);
        assert!(all.split_whitespace().any(|word| word == command), "{command}: {all}");
    }
    assert!(asked("logphase show --co", 2).contains("--consumer"));
    assert!(asked("logphase show --format gr", 3).contains("graph"));
}
