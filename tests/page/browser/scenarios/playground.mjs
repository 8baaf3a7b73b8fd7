import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { transaction, type } from "../steps.mjs";

const configuration = (lua) => `_format_version: "3.0"
plugins:
  - name: http-log
    config:
      http_endpoint: http://a.example/
      custom_fields_by_lua:
        team: |
          local name = "shop"
          ${lua}
`;

export default async function ({ facts, open, openView }) {
  const page = await open();
  await openView(page, "playground");
  // What it begins with is the service's own configuration.
  await page.getByRole("textbox", { name: "Configuration" }).getByText("file-log").waitFor();

  await type(page, "Transaction", JSON.stringify(transaction("/play")));
  await type(page, "Configuration", configuration("return name .."));
  const error = page.getByRole("button", { name: /^error line (8|9|10):/ });
  await error.waitFor();
  await page.locator(".cm-lint-marker-error").waitFor();
  await page.getByText("1 error to correct first.").waitFor();

  // The error leads to its place, where one corrects it.
  await error.click();
  await type(page, "Configuration", configuration("return name"));
  const messages = page.getByRole("region", { name: "Messages", exact: true });
  await messages.locator("ins", { hasText: '"team": "shop"' }).waitFor();
  await page.getByText("no error", { exact: false }).first().waitFor();
  assert.equal(await page.locator(".cm-lint-marker-error").count(), 0);

  // An error while it runs is at the message, with its line; the message is there all the same.
  await type(page, "Configuration", configuration("return name.of.nothing"));
  await messages.getByRole("button", { name: "line 9" }).click();
  await page.locator(".cm-lint-marker-warning").waitFor();

  // Names are completed, with their signatures.
  await type(page, "Configuration", configuration("return kong.request.get_metho"));
  await page.keyboard.press("Control+End");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("End");
  await page.keyboard.press("Control+Space");
  await page.getByRole("option", { name: /kong\.request\.get_method.*\(\): string/ }).click();
  await page.locator(".lua-help", { hasText: "kong.request.get_method(): string" }).waitFor();
  await messages.locator("ins", { hasText: '"team": "GET"' }).waitFor();

  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save as a test" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Download" }).click();
  assert.match(await readFile(await (await saved).path(), "utf8"), /GET/);

  // The address holds all of it, for another browser.
  await page.getByRole("button", { name: "Share" }).click();
  await page.waitForURL(/share=/);
  const other = await open();
  await other.goto(page.url());
  await other.reload();
  await other.getByRole("region", { name: "Messages", exact: true }).locator("ins", { hasText: '"team": "GET"' }).waitFor();

  await page.getByRole("button", { name: "History" }).click();
  const history = page.getByRole("dialog");
  assert.ok((await history.getByRole("listitem").count()) >= 3);
  await history.getByRole("button", { name: "Clear the history" }).click();
  await history.getByText("None yet.").waitFor();
  assert.equal(await page.evaluate(() => localStorage.getItem("logphase.runs")), null);
}
