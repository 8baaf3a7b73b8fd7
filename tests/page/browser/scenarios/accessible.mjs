import assert from "node:assert/strict";
import { messages, send, transaction, VIEWS } from "../steps.mjs";

/** Every view with something in it, at two sizes, in both themes. */
export default async function ({ facts, open, openView, violations }) {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    const page = await open({ colorScheme });
    const narrow = await open({ colorScheme, width: 360, height: 800 });
    for (const window of [page, narrow]) {
      const look = async (what) => {
        for (const violation of await violations(window)) found.push(`${what}, ${colorScheme}: ${violation}`);
      };
      for (const view of Object.keys(VIEWS)) {
        await openView(window, view);
        if (view === "now") await window.getByRole("group", { name: /The path/ }).getByRole("button").first().waitFor();
        if (view === "messages") {
          const option = messages(window);
          for (let number = 0; (await option.count()) === 0; number += 1) {
            assert.ok(number < 200, "no message comes");
            await send(facts, transaction(`/${number}`));
            await window.waitForTimeout(100);
          }
          await option.first().click();
          await window.getByRole("region", { name: "The selected message" }).waitFor();
        }
        if (view === "playground") await window.getByText(/no error|\d errors?/).first().waitFor();
        if (view === "queues") {
          await window.getByRole("link", { name: /file-log/ }).click();
          await window.getByRole("region", { name: /Messages of/ }).waitFor();
        }
        await look(view);
      }
      await openView(window, "configuration/plugins/new?plugin=kafka-log");
      await window.getByLabel("topic").waitFor();
      await look("a form");
      await openView(window, "playground");
      await window.getByRole("button", { name: "History" }).click();
      await look("a dialog");
    }
    await page.context().close();
    await narrow.context().close();
  }
  assert.deepEqual(found, []);
}
