// Writes what the bundle contains of npm's packages, with their licences: dist/components.json, which the page serves and
// packaging/components reads.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const LICENCE = /^(licen[cs]e|copying|notice)([-_.].*)?$/i;

/** The folder of the package that a module belongs to. */
function packageOf(module) {
  const file = module.replace(/^\0/, "").replace(/\?.*$/, "");
  if (!file.includes("/node_modules/")) return null;
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    // Some packages have manifests without a name in folders of theirs.
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).version) return folder;
  }
  return null;
}

function describe(folder) {
  const { name, version, license, repository } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const texts = readdirSync(folder).filter((file) => LICENCE.test(file));
  if (!license || texts.length === 0) throw new Error(`${name} ${version} is bundled and has no licence in ${folder}`);
  return {
    name,
    version,
    license,
    repository: typeof repository === "string" ? repository : (repository?.url ?? null),
    text: texts.map((file) => readFileSync(join(folder, file), "utf8").trim()).join("\n\n"),
  };
}

export default function components() {
  return {
    name: "components",
    generateBundle(_, bundle) {
      const folders = new Set();
      for (const chunk of Object.values(bundle)) {
        // A module of which nothing is left needs no notice.
        for (const [module, { renderedLength }] of Object.entries(chunk.modules ?? {})) {
          const folder = renderedLength > 0 ? packageOf(module) : null;
          if (folder) folders.add(folder);
        }
      }
      const list = [...folders].map(describe).sort((a, b) => (a.name < b.name ? -1 : 1));
      this.emitFile({ type: "asset", fileName: "components.json", source: JSON.stringify(list, null, 1) });
    },
  };
}
