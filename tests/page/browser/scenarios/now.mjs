import assert from "node:assert/strict";
import { send, transaction } from "../steps.mjs";

/** The plugin `siem` cannot reach its receiver. */
export default async function ({ facts, open, openView }) {
  const page = await open();
  await openView(page, "now");
  await send(facts, transaction("/a"), transaction("/b"));

  const problem = page.getByRole("list", { name: "What is wrong" }).getByRole("listitem").first();
  await problem.getByText("connection refused").waitFor();
  await problem.getByText("Nothing is lost").waitFor();
  assert.match(await page.title(), /^\(\d+\) Now/);

  const map = page.getByRole("group", { name: "The path of a transaction" });
  await map.getByRole("button", { name: /^Input http/ }).waitFor();
  await map.getByRole("button", { name: /^Log phase/ }).waitFor();
  const order = await map.getByRole("button", { name: /^\d+\. / }).allTextContents();
  assert.match(order[0], /1 {2}file-log/);
  assert.match(order[1], /2 {2}tcp-log siem/);

  // The problem leads to the plugin, with its last hour.
  await problem.getByRole("button").click();
  const details = page.getByRole("region", { name: "tcp-log siem" });
  await details.getByText("Last error").waitFor();
  await details.getByRole("img", { name: /Waiting messages, the last hour/ }).waitFor();
  await details.getByRole("link", { name: "Queue" }).click();
  await page.getByRole("region", { name: /Messages of tcp-log/ }).getByText("/a").first().waitFor();
}
