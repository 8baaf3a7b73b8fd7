/** A line at the edge of the page that says what an action did. */
export interface Notice {
  id: number;
  text: string;
  kind: "done" | "error";
}

const SHOWN_MS = 8000;
const MOST = 4;

class Notices {
  list = $state<Notice[]>([]);
  private next = 0;

  say(text: string, kind: Notice["kind"] = "done"): void {
    const id = this.next++;
    this.list = [...this.list, { id, text, kind }].slice(-MOST);
    // An error stays until it is closed.
    if (kind === "done") setTimeout(() => this.close(id), SHOWN_MS);
  }

  close(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }
}

export const notices = new Notices();
