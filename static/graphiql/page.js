// The entry point of the GraphiQL page: it creates the session, the socket and the storage, and renders GraphiQL. The
// UMD bundle of GraphiQL defines the globals on `window`.

import { openStorage } from '../browser-storage.js';
import { examples } from './examples.js';
import { makeFetcher } from './fetcher.js';
import { SubscriptionClient } from './subscriptions.js';
import { CurrentOperations } from './operations.js';
import { session } from './session.js';
import { setUpBar, showStatus } from './bar.js';
import { storageWithoutSecrets } from './storage.js';

const { React, ReactDOM, GraphiQL, GraphiQLPluginExplorer } = window;

const subscriptions = new SubscriptionClient({ token: () => session.token, onStatus: showStatus });
const root = ReactDOM.createRoot(document.getElementById('graphiql'));
const explorer = GraphiQLPluginExplorer.explorerPlugin();
const { storage: browserStorage, isPersistent } = openStorage();
const storage = storageWithoutSecrets(browserStorage);
const isFirstVisit = !storage.getItem('graphiql:tabState');

document.getElementById('not-kept').hidden = isPersistent;

// Error boundary. GraphiQL renders from its stored tabs and history. If it fails, the page shows the error and offers
// to delete them.
class ErrorBoundary extends React.Component {
  /** @type {{ error: any }} */
  state = { error: null };

  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    const reset = () => (storage.clear(), location.reload());
    return React.createElement('div', { className: 'fault', role: 'alert' },
      React.createElement('p', null, `GraphiQL has failed: ${error.message}`),
      React.createElement('button', { type: 'button', onClick: reset }, 'Delete the stored tabs and history, and start again'));
  }
}

function render() {
  root.render(
    React.createElement(ErrorBoundary, null, React.createElement(GraphiQL, {
      // A new function each time, because it makes GraphiQL load the schema again with the permissions of the new
      // session.
      fetcher: makeFetcher(subscriptions),
      defaultTabs: examples,
      // GraphiQL shows the query of the first default tab, but not its variables.
      variables: isFirstVisit ? examples[0].variables : undefined,
      plugins: [explorer],
      // This component renders nothing. It is in the toolbar because GraphiQL renders the toolbar inside its contexts.
      toolbar: { additionalComponent: CurrentOperations },
      storage,
      shouldPersistHeaders: false,
      showPersistHeadersSettings: false,
      defaultEditorToolsVisibility: 'variables',
    })),
  );
}

setUpBar();
session.onChange(() => {
  subscriptions.reconnect();
  render();
});
render();
