// YAML whose Lua fields are coloured as Lua.
import { yaml } from "@codemirror/lang-yaml";
import { LanguageSupport } from "@codemirror/language";
import { parseMixed, type Input, type SyntaxNode } from "@lezer/common";
import { lua } from "./lua";

const LUA_FIELD = /^["']?(custom_fields_by_lua|access|log|rewrite|header_filter|body_filter|certificate)["']?$/;
const SCALARS = new Set(["BlockLiteralContent", "Literal"]);

/** Whether a scalar is the value of a Lua field, or of one of its members. */
function isLua(node: SyntaxNode, input: Input): boolean {
  let inside: SyntaxNode = node;
  for (let outer = node.parent; outer; outer = outer.parent) {
    if (outer.name === "Pair") {
      const key = outer.getChild("Key");
      // The scalar of a key is a name.
      if (!key || (key.from <= inside.from && inside.to <= key.to)) return false;
      if (LUA_FIELD.test(input.read(key.from, key.to))) return true;
    }
    inside = outer;
  }
  return false;
}

export function yamlWithLua(): LanguageSupport {
  const base = yaml();
  const language = (base.language as ReturnType<typeof yaml>["language"] & { configure: Configure }).configure({
    wrap: parseMixed((node, input) =>
      SCALARS.has(node.name) && isLua(node.node, input) ? { parser: lua.parser } : null,
    ),
  });
  return new LanguageSupport(language, base.support);
}

type Configure = (options: { wrap: ReturnType<typeof parseMixed> }) => ReturnType<typeof yaml>["language"];
