// Typing over a selection. Left to itself, Chromium keeps the look of what it replaces by a style attribute, which the
// Content-Security-Policy refuses, and says so in the console.
import { EditorSelection } from "@codemirror/state";
import { EditorView } from "@codemirror/view";

export const typeOverSelection = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { main, ranges } = view.state.selection;
    const text = event.data;
    if (event.inputType !== "insertText" || text === null || view.composing || view.state.readOnly) return false;
    if (main.empty || ranges.length > 1) return false;
    event.preventDefault();
    const insert = () =>
      view.state.update({
        changes: { from: main.from, to: main.to, insert: view.state.toText(text) },
        selection: EditorSelection.cursor(main.from + text.length),
        userEvent: "input.type",
        scrollIntoView: true,
      });
    // Brackets around a selection are such a handler's.
    const handlers = view.state.facet(EditorView.inputHandler);
    if (!handlers.some((handler) => handler(view, main.from, main.to, text, insert))) view.dispatch(insert());
    return true;
  },
});
