// Usage: node run.mjs PACKAGES SCENARIO FACTS
//
// Opens the page in Chromium and does what scenarios/SCENARIO.mjs says. PACKAGES is the folder with node_modules. FACTS is JSON: `page`, the
// address of the page, and what the scenario needs. Fails if the scenario does, or if a request leaves the origin of the page, or if the
// browser reports an error: a violation of the Content-Security-Policy is one.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openView } from "./steps.mjs";

const [packages, name, text] = process.argv.slice(2);
const require = createRequire(join(packages, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const facts = JSON.parse(text);
const { default: scenario, allowed = [] } = await import(`./scenarios/${name}.mjs`);

/** Long, because the machine may be busy. */
const TIMEOUT_MS = 45_000;

const complaints = [];

/** A page in a browser window of its own. */
async function open({ width = 1280, height = 900, colorScheme = "light", reducedMotion = "reduce" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion, acceptDownloads: true });
  context.setDefaultTimeout(TIMEOUT_MS);
  const page = await context.newPage();
  // The browser's own message does not say where.
  await page.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}:${event.columnNumber}`),
    ),
  );
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`error: ${error.stack ?? error}`));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== "data:" && protocol !== "blob:" && origin !== facts.page) complaints.push(`request to ${request.url()}`);
  });
  await page.goto(facts.page);
  return page;
}

/** What axe finds wrong with the page as it is, by the rules of WCAG 2.2 AA and good practice. */
async function violations(page) {
  // Not by a script element, which the Content-Security-Policy refuses.
  await page.evaluate(axe);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await page.evaluate((runOnly) => window.axe.run(document, { runOnly }), tags);
  return found.violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 200)}`));
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // Chromium's own sandbox does not run as root, as which a container runs the tests.
  args: process.getuid() === 0 ? ["--no-sandbox", "--disable-dev-shm-usage"] : ["--disable-dev-shm-usage"],
});
try {
  await scenario({ facts, open, violations, openView: (page, view) => openView(page, facts, view) });
  const left = complaints.filter((complaint) => !allowed.some((pattern) => pattern.test(complaint)));
  if (left.length > 0) throw new Error(`the browser complains:\n${left.join("\n")}`);
  console.log("done");
} catch (error) {
  const pages = browser.contexts().flatMap((context) => context.pages());
  for (const page of pages) {
    const editors = await page.locator(".cm-content").allInnerTexts().catch(String);
    console.log(`--- ${page.url()}\n${await page.locator("body").innerText().catch(String)}\n--- editors: ${editors}`);
  }
  console.log(`${complaints.join("\n")}\n${error.stack ?? error}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
