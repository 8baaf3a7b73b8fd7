//! The parts of Penlight that Kong has.

use super::row::{Row, row};

/// Takes a text, whether it has a property.
const IS: &str = "(text: string): boolean";

pub(super) const STRINGX: &[Row] = &[
    row("isalpha", IS, "Whether it has letters alone, and at least one."),
    row("isdigit", IS, "Whether it has digits alone, and at least one."),
    row("isalnum", IS, "Whether it has letters and digits alone, and at least one."),
    row("isspace", IS, "Whether it has white space alone, and at least one."),
    row("islower", IS, "Whether it has lower-case letters and white space alone, and at least one."),
    row("isupper", IS, "Whether it has upper-case letters and white space alone, and at least one."),
    row("startswith", "(text: string, prefix: string | {string}): boolean", "Whether it begins with one of these."),
    row("endswith", "(text: string, suffix: string | {string}): boolean", "Whether it ends with one of these."),
    row("join", "(separator: string, list: {any}): string", "The elements as one text."),
    row(
        "split",
        "(text: string, separator: string?, most: number?): {string}",
        "The parts between separators, by default white space.",
    ),
    row("splitlines", "(text: string, keep_ends: boolean?): {string}", "The lines."),
    row("lines", "(text: string): () -> string?", "An iterator over the lines."),
    row("lfind", "(text: string, wanted: string, from: number?, to: number?): number?", "The first position, or nil."),
    row("rfind", "(text: string, wanted: string, from: number?, to: number?): number?", "The last position, or nil."),
    row("count", "(text: string, wanted: string, overlapping: boolean?): number", "How often it occurs."),
    row(
        "replace",
        "(text: string, old: string, new: string, most: number?): string",
        "With a text for another, at most so often.",
    ),
    row("ljust", "(text: string, width: number, character: string?): string", "Filled up on the right."),
    row("rjust", "(text: string, width: number, character: string?): string", "Filled up on the left."),
    row("center", "(text: string, width: number, character: string?): string", "Filled up on both sides."),
    row(
        "lstrip",
        "(text: string, characters: string?): string",
        "Without white space, or these characters, on the left.",
    ),
    row(
        "rstrip",
        "(text: string, characters: string?): string",
        "Without white space, or these characters, on the right.",
    ),
    row(
        "strip",
        "(text: string, characters: string?): string",
        "Without white space, or these characters, on both sides.",
    ),
    row(
        "partition",
        "(text: string, delimiter: string): (string, string, string)",
        "Before, the first delimiter, after.",
    ),
    row(
        "rpartition",
        "(text: string, delimiter: string): (string, string, string)",
        "Before, the last delimiter, after.",
    ),
    row("at", "(text: string, index: number): string", "The character at this position."),
    row("title", "(text: string): string", "With each word's first letter in upper case, the rest in lower case."),
    row("capitalize", "(text: string): string", "The same."),
    row(
        "shorten",
        "(text: string, width: number, tail: boolean?): string",
        "Cut to this width, with `...`; with `tail`, at the front.",
    ),
];

/// A function that judges an element.
const TEST: &str = "(table: {any}, holds: (value: any, argument: any) -> any, argument: any): {any}";

pub(super) const TABLEX: &[Row] = &[
    row(
        "update",
        "(table: {[any]: any}, other: {[any]: any}): {[any]: any}",
        "Copies the other's members into the first, and returns it.",
    ),
    row("size", "(table: {[any]: any}): number", "The number of members."),
    row("copy", "(table: {[any]: any}): {[any]: any}", "A copy of one level."),
    row("deepcopy", "(value: any): any", "A copy of all levels."),
    row(
        "deepcompare",
        "(one: any, other: any, ignore_metatables: boolean?, epsilon: number?): boolean",
        "Whether both are equal on all levels; numbers may differ by `epsilon`.",
    ),
    row(
        "compare",
        "(one: {any}, other: {any}, holds: (one: any, other: any) -> any): boolean",
        "Whether it holds for all pairs of two lists.",
    ),
    row("find", "(list: {any}, wanted: any, from: number?): number?", "The first position of a value, or nil."),
    row("rfind", "(list: {any}, wanted: any, from: number?): number?", "The last position of a value, or nil."),
    row(
        "find_if",
        "(list: {any}, holds: (value: any, argument: any) -> any, argument: any): (number?, any)",
        "The first position for which it holds, and what it returned.",
    ),
    row(
        "map",
        "(call: (...any) -> any, table: {[any]: any}, ...any): {[any]: any}",
        "A table of what it returns for each member.",
    ),
    row("imap", "(call: (...any) -> any, list: {any}, ...any): {any}", "A list of what it returns for each element."),
    row("filter", TEST, "The elements for which it holds."),
    row(
        "reduce",
        "(call: (memo: any, value: any) -> any, list: {any}, memo: any): any",
        "What it makes of all elements, one after the other.",
    ),
    row(
        "foreach",
        "(table: {[any]: any}, call: (value: any, key: any, ...any) -> any, ...any): ()",
        "Calls it for each member.",
    ),
    row(
        "foreachi",
        "(list: {any}, call: (value: any, index: number, ...any) -> any, ...any): ()",
        "Calls it for each element.",
    ),
    row(
        "pairmap",
        "(call: (key: any, value: any, ...any) -> ...any, table: {[any]: any}, ...any): {[any]: any}",
        "A table of the values and keys that it returns.",
    ),
    row("keys", "(table: {[any]: any}): {any}", "The keys."),
    row("values", "(table: {[any]: any}): {any}", "The values."),
    row("index_map", "(list: {any}): {[any]: number}", "The position of each value."),
    row("makeset", "(list: {any}): {[any]: boolean}", "A table with `true` for each value."),
    row("index_by", "(table: {[any]: any}, keys: {any}): {any}", "The values of these keys."),
    row("range", "(from: number, to: number, step: number?): {number}", "The numbers from one to the other."),
    row(
        "merge",
        "(one: {[any]: any}, other: {[any]: any}, union: boolean?): {[any]: any}",
        "The members that both have; with `union`, all.",
    ),
];
