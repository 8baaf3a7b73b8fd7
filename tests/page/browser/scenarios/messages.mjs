import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { send, sendUntil, transaction } from "../steps.mjs";

/** The plugin adds `team` and removes a header. */
export default async function ({ facts, open, openView }) {
  const page = await open();
  await openView(page, "messages");
  const list = page.getByRole("listbox");
  await sendUntil(facts, (number) => transaction(`/orders/${number}`, 503), list.getByRole("option"));

  // A filter that fits nothing that has been sent before.
  await page.getByLabel("Status").fill("404");
  await page.getByText("No message yet.").waitFor();
  const chosen = list.getByRole("option", { name: /\/found/ });
  await sendUntil(facts, () => transaction("/found", 404), chosen);
  await send(facts, transaction("/other", 200));
  assert.equal(await list.getByRole("option", { name: /\/o/ }).count(), 0, "the filter lets others pass");

  await chosen.first().click();
  const message = page.getByRole("region", { name: "The selected message" });
  await message.locator("ins", { hasText: '"team": "shop"' }).waitFor();
  await message.getByText("by team", { exact: true }).waitFor();
  await message.locator("del", { hasText: '"cookie"' }).waitFor();
  await message.getByText(/removed by request\.headers\.cookie/).waitFor();

  // It is paused while one reads.
  await page.getByText("paused", { exact: true }).waitFor();
  const before = await list.getByRole("option").count();
  await send(facts, transaction("/found", 404), transaction("/found", 404));
  assert.equal(await list.getByRole("option").count(), before);

  const saved = page.waitForEvent("download");
  await message.getByRole("button", { name: "Save as a test" }).click();
  const file = await readFile(await (await saved).path(), "utf8");
  assert.match(file, /\/found/);
  assert.match(file, /team/);

  await message.getByRole("button", { name: "Open in the playground" }).click();
  await page.getByRole("textbox", { name: "Transaction" }).getByText("/found").waitFor();
}
