// Lua in the editor: where it is in a configuration, and completion, signatures and help from the service's own list of names.
import {
  snippetCompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
} from "@codemirror/autocomplete";
import { StreamLanguage } from "@codemirror/language";
import { lua as mode } from "@codemirror/legacy-modes/mode/lua";
import { StateField, type EditorState, type Extension } from "@codemirror/state";
import { hoverTooltip, showTooltip, type Tooltip } from "@codemirror/view";
import { get } from "../lib/api";
import type { LuaName } from "../lib/types";

export const lua = StreamLanguage.define(mode);

/** Fields of plugins whose values are Lua. */
const LUA_FIELDS = /^\s*(?:-\s*)?(custom_fields_by_lua|access|log|rewrite|header_filter|body_filter|certificate)\s*:/;

let names: Promise<LuaName[]> | null = null;

/** The names that snippets may use; asked for once. */
export function luaNames(): Promise<LuaName[]> {
  names ??= get<LuaName[]>("/lua").catch(() => {
    names = null;
    return [];
  });
  return names;
}

/** How far up a field's name is looked for. */
const MOST_LINES = 2000;

/** Whether the text at `position` of a YAML document is Lua: a line that it is indented below names such a field. */
export function isLuaInYaml(state: EditorState, position: number): boolean {
  const line = state.doc.lineAt(position);
  // In `team: return 1`, what is before the colon is the name of the field.
  const own = /^(\s*(?:-\s*)?(?:"[^"]*"|'[^']*'|[^\s:#]+)\s*:\s)/.exec(line.text);
  if (own?.[1] && position - line.from < own[1].length) return false;
  let indent = own || line.text.trim() !== "" ? line.text.search(/\S|$/) : position - line.from;
  for (let number = line.number - 1; number >= 1 && number > line.number - MOST_LINES; number -= 1) {
    const text = state.doc.line(number).text;
    if (text.trim() === "") continue;
    const here = text.search(/\S/);
    if (here >= indent && !(here === indent && /^\s*-/.test(line.text))) continue;
    if (LUA_FIELDS.test(text)) return true;
    indent = Math.min(indent, here);
    if (indent === 0) return false;
  }
  return false;
}

/** What is said of a name beside its signature. */
function notes(name: LuaName): string[] {
  const module = name.module ? `local ${name.module.replaceAll(/[^\w]/g, "_")} = require "${name.module}"` : null;
  const profile = name.profile && name.profile !== "sandbox" ? `It takes untrusted_lua: ${name.profile}.` : null;
  return [name.doc, name.phase_note, module, profile].filter((text): text is string => Boolean(text));
}

/** An option of the completion; the signature is beside its name, the explanation in a box. */
function option(name: LuaName): Completion {
  const completion: Completion = {
    label: name.name,
    type: name.kind === "function" ? "function" : name.kind === "table" ? "namespace" : "variable",
    ...(name.signature ? { detail: name.signature } : {}),
    ...(name.doc ? { info: notes(name).join("\n\n") } : {}),
  };
  return name.kind === "function" ? snippetCompletion(`${name.name}(\${})`, completion) : completion;
}

const KEYWORDS =
  "and break do else elseif end false for function if in local nil not or repeat return then true until while".split(
    " ",
  );

export function complete(isLua: (state: EditorState, position: number) => boolean) {
  return async (context: CompletionContext): Promise<CompletionResult | null> => {
    if (!isLua(context.state, context.pos)) return null;
    const word = context.matchBefore(/[A-Za-z_][\w.:]*/);
    if (!word && !context.explicit) return null;
    const options = (await luaNames()).map(option);
    options.push(...KEYWORDS.map((label) => ({ label, type: "keyword", boost: -1 })));
    return { from: word?.from ?? context.pos, options, validFor: /^[\w.:]*$/ };
  };
}

/** The function whose call surrounds `position`, on one line. */
function callAt(state: EditorState, position: number): { name: string; from: number } | null {
  const line = state.doc.lineAt(position);
  const text = line.text.slice(0, position - line.from);
  let depth = 0;
  for (let index = text.length - 1; index >= 0; index -= 1) {
    if (text[index] === ")") depth += 1;
    if (text[index] !== "(") continue;
    if (depth > 0) {
      depth -= 1;
      continue;
    }
    const name = /[A-Za-z_][\w.:]*$/.exec(text.slice(0, index));
    return name ? { name: name[0], from: line.from + name.index } : null;
  }
  return null;
}

function box(name: LuaName): HTMLElement {
  const outer = document.createElement("div");
  outer.className = "lua-help";
  const head = outer.appendChild(document.createElement("code"));
  head.textContent = name.name + (name.signature ?? "");
  for (const text of notes(name)) outer.appendChild(document.createElement("p")).textContent = text;
  return outer;
}

/** Signatures while one types arguments, and help for the name under the pointer. */
export function help(isLua: (state: EditorState, position: number) => boolean): Extension {
  let known = new Map<string, LuaName>();
  void luaNames().then((list) => (known = new Map(list.map((name) => [name.name, name]))));
  const signature = (state: EditorState): Tooltip | null => {
    const position = state.selection.main.head;
    const call = callAt(state, position);
    const name = call && known.get(call.name);
    if (!call || !name || name.kind !== "function" || !isLua(state, position)) return null;
    return { pos: call.from, above: true, strictSide: false, create: () => ({ dom: box(name) }) };
  };
  const field = StateField.define<Tooltip | null>({
    create: () => null,
    update: (value, transaction) =>
      transaction.docChanged || transaction.selection ? signature(transaction.state) : value,
    provide: (own) => showTooltip.from(own),
  });
  const hover = hoverTooltip((view, position) => {
    if (!isLua(view.state, position)) return null;
    const line = view.state.doc.lineAt(position);
    const column = position - line.from;
    for (const match of line.text.matchAll(/[A-Za-z_][\w.:]*/g)) {
      if (match.index > column || match.index + match[0].length < column) continue;
      const name = known.get(match[0]);
      if (name) return { pos: line.from + match.index, above: true, create: () => ({ dom: box(name) }) };
    }
    return null;
  });
  return [field, hover];
}
