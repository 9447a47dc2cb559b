// Keeps the editor's list of operations, and the selected operation, in step with its text.
//
// GraphiQL parses the text 100 ms after a change. A tab that is run before that would use the operations of the
// previous tab. This module parses the text at every change. The menu of the play button is up to date after a change
// of tabs, because GraphiQL then renders it. After typing, the menu follows GraphiQL's delay of 100 ms.

export function CurrentOperations() {
  const { React, GraphiQL } = window;
  const { queryEditor } = GraphiQL.React.useEditorContext({ nonNull: true });
  React.useEffect(() => {
    if (!queryEditor) return undefined;
    queryEditor.on('change', update);
    return () => queryEditor.off('change', update);
  }, [queryEditor]);
  return null;
}

// Sets the properties that GraphiQL itself stores on its editor.
function update(editor) {
  const { documentAST, operations } = operationsIn(editor.getValue());
  if (operations) editor.operationName = selectedName(operations, editor.operations, editor.operationName);
  Object.assign(editor, { documentAST, operations });
}

// Both are null if the text is not a valid document.
function operationsIn(text) {
  try {
    const documentAST = window.GraphiQL.GraphQL.parse(text);
    return { documentAST, operations: documentAST.definitions.filter(({ kind }) => kind === 'OperationDefinition') };
  } catch {
    return { documentAST: null, operations: null };
  }
}

// The rule of GraphiQL: keep the selected operation. If its name was edited, select the operation at the same index;
// otherwise the first one.
export function selectedName(operations, before, selected) {
  const names = operations.map(({ name }) => name?.value);
  if (names.includes(selected)) return selected;
  const index = (before ?? []).findIndex(({ name }) => name?.value === selected);
  return names[index] ?? names[0] ?? null;
}
