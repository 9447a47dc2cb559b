// The page's roof: wires the parts together and mounts GraphiQL, whose UMD bundle has put its names on `window`.

import { openStorage } from '../browser-storage.js';
import { examples } from './examples.js';
import { makeFetcher } from './fetcher.js';
import { LiveClient } from './live.js';
import { CurrentOperations } from './operations.js';
import { session } from './session.js';
import { setUpBar, showStatus } from './bar.js';
import { storageWithoutSecrets } from './storage.js';

const { React, ReactDOM, GraphiQL, GraphiQLPluginExplorer } = window;

const live = new LiveClient({ token: () => session.token, onStatus: showStatus });
const root = ReactDOM.createRoot(document.getElementById('graphiql'));
const explorer = GraphiQLPluginExplorer.explorerPlugin();
const { storage: browserStorage, isKept } = openStorage();
const storage = storageWithoutSecrets(browserStorage);
const isFirstVisit = !storage.getItem('graphiql:tabState');

document.getElementById('not-kept').hidden = isKept;

// GraphiQL is drawn from what it kept here. If that makes it fail, the page says so and offers to begin anew.
class Guard extends React.Component {
  /** @type {{ error: any }} */
  state = { error: null };

  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    const beginAnew = () => (storage.clear(), location.reload());
    return React.createElement('div', { className: 'fault', role: 'alert' },
      React.createElement('p', null, `GraphiQL has failed: ${error.message}`),
      React.createElement('button', { type: 'button', onClick: beginAnew }, 'Forget the tabs and the history kept here, and begin anew'));
  }
}

function render() {
  root.render(
    React.createElement(Guard, null, React.createElement(GraphiQL, {
      // A new function each time: GraphiQL takes it as the sign to load the schema again, with the new rights.
      fetcher: makeFetcher(live),
      defaultTabs: examples,
      // GraphiQL shows the query of the first default tab, but not its variables.
      variables: isFirstVisit ? examples[0].variables : undefined,
      plugins: [explorer],
      // Shows nothing. The toolbar is where GraphiQL renders a component inside its contexts.
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
  live.reconnect();
  render();
});
render();
