//! `logphase explain CODE`: what a code of a diagnostic means.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::{Exit, complain, say};
use logphase_config::diagnostic::codes::{self, CODES, Code, Example};

/// Prints every code with its title.
pub(super) fn list(json: bool) -> Exit {
    let line =
        |code: &Code| if json { format!("{}\n", as_json(code)) } else { format!("{}  {}\n", code.code, code.title) };
    say(CODES.iter().map(line).collect::<String>().as_bytes());
    Exit::Done
}

/// Prints what each of the codes `named` means.
pub(super) fn explain(named: &[PathBuf], json: bool) -> Exit {
    let mut exit = Exit::Done;
    for (at, name) in named.iter().enumerate() {
        let name = name.to_string_lossy();
        match codes::explain(&name) {
            Some(code) if json => say(format!("{}\n", as_json(code)).as_bytes()),
            Some(code) => say(format!("{}{}", if at > 0 { "\n" } else { "" }, text(code)).as_bytes()),
            None => {
                complain(&format!("error: there is no code {name}; `logphase explain --codes` lists all\n"));
                exit = Exit::Incomplete;
            }
        }
    }
    exit
}

fn as_json(code: &Code) -> Value {
    let example = code.example().map(|Example { file, beside, wrong, right, .. }| {
        let beside = beside.map(|(file, text)| json!({"file": file, "text": text}));
        json!({"file": file, "wrong": wrong, "right": right, "beside": beside})
    });
    json!({"code": code.code, "title": code.title, "text": code.text, "example": example})
}

fn text(code: &Code) -> String {
    let mut text = format!("{}: {}\n\n{}\n", code.code, code.title, wrapped(code.text));
    if let Some(Example { file, beside, wrong, right, .. }) = code.example() {
        let _ = write!(text, "\nWrong, in {file}:\n\n{}\nRight:\n\n{}", indented(wrong), indented(right));
        if let Some((beside, given)) = beside {
            let _ = write!(text, "\nBoth with this {beside}:\n\n{}", indented(given));
        }
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// Columns of the explanation.
const WIDTH: usize = 80;

/// `text` in lines of [`WIDTH`] columns, without a newline at its end.
fn wrapped(text: &str) -> String {
    let (mut wrapped, mut column) = (String::new(), 0);
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            wrapped.push('\n');
            column = 0;
        } else if column > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += width;
    }
    wrapped
}
