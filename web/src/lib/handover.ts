// What one view gives another: the fragment is no place for a message.

/** A transaction for the playground. */
export const handover: { transaction: string | null } = { transaction: null };

/** Saves text as a file of the browser's downloads. */
export function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
