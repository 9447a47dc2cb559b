// Keeps the list of operations that the editor holds, and the selected one, in step with its text.
//
// GraphiQL parses the text 100 ms after a change. A tab that is run before that would use the operations of the previous
// tab. Here the text is parsed at every change. The menu of the play button is up to date after a change of tabs, because
// GraphiQL then renders it; after typing it follows GraphiQL's own delay.

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

// The properties are those that GraphiQL itself keeps on its editor.
function update(editor) {
  const { documentAST, operations } = operationsIn(editor.getValue());
  if (operations) editor.operationName = selectedName(operations, editor.operations, editor.operationName);
  Object.assign(editor, { documentAST, operations });
}

// Both are null while the text is no valid document.
function operationsIn(text) {
  try {
    const documentAST = window.GraphiQL.GraphQL.parse(text);
    return { documentAST, operations: documentAST.definitions.filter(({ kind }) => kind === 'OperationDefinition') };
  } catch {
    return { documentAST: null, operations: null };
  }
}

// GraphiQL's own rule: the operation that was selected, or, if its name was edited, the one in its place, or the first one.
export function selectedName(operations, before, selected) {
  const names = operations.map(({ name }) => name?.value);
  if (names.includes(selected)) return selected;
  const index = (before ?? []).findIndex(({ name }) => name?.value === selected);
  return names[index] ?? names[0] ?? null;
}
