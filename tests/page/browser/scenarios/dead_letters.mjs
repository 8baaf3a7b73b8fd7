import assert from "node:assert/strict";
import { receiver, send, transaction } from "../steps.mjs";

/** The receiver refuses messages for good, until it is repaired. */
export default async function ({ facts, open, openView }) {
  const to = await receiver(facts.receiver, 413);
  try {
    const page = await open();
    await openView(page, "queues");
    await send(facts, transaction("/first"), transaction("/second"));
    await page.getByRole("link", { name: /dead letters of http-log/ }).click();
    const letters = page.getByRole("region", { name: /Messages of dead-letters/ });
    await letters.getByRole("button", { name: "Refresh" }).click();
    await letters.getByText("/second").waitFor();
    await letters.getByText(/413/).first().waitFor();

    // The question is that of the command; who keeps them, keeps them.
    const [first] = await letters.getByRole("checkbox").all();
    await first.check();
    await letters.getByRole("button", { name: "Drop 1 selected…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/^Drop the selected messages of dead-letters\/http-log.* permanently\?$/).waitFor();
    await dialog.getByRole("button", { name: "Keep them" }).click();
    await first.uncheck();

    to.status = 200;
    await letters.getByRole("button", { name: "Replay all…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: /^Replay all 2 messages/ }).click();
    await page.getByText("2 messages put into their plugin's queue, 0 left").waitFor();
    for (let tries = 0; to.accepted.length < 2; tries += 1) {
      assert.ok(tries < 300, "the receiver has not got them");
      await new Promise((done) => setTimeout(done, 100));
    }
    assert.deepEqual(to.accepted.map((message) => message.request.uri).sort(), ["/first", "/second"]);
  } finally {
    to.close();
  }
}

// Dead letters of which none is left are no queue any more: a look at them that comes too late is answered by 404.
export const allowed = [/Failed to load resource: .*\b404\b/];
