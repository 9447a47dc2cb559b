// The page's roof: wires the parts together and mounts GraphiQL, whose UMD bundle has put its names on `window`.

import { examples } from './examples.js';
import { makeFetcher } from './fetcher.js';
import { LiveClient } from './live.js';
import { session } from './session.js';
import { setUpBar, showStatus } from './bar.js';
import { storageWithoutSecrets } from './storage.js';

const { React, ReactDOM, GraphiQL, GraphiQLPluginExplorer } = window;

const live = new LiveClient({ token: () => session.token, onStatus: showStatus });
const root = ReactDOM.createRoot(document.getElementById('graphiql'));
const explorer = GraphiQLPluginExplorer.explorerPlugin();
const storage = storageWithoutSecrets(localStorage);
const isFirstVisit = !storage.getItem('graphiql:tabState');

function render() {
  root.render(
    React.createElement(GraphiQL, {
      // A new function each time: GraphiQL takes it as the sign to load the schema again, with the new rights.
      fetcher: makeFetcher(live),
      defaultTabs: examples,
      // GraphiQL shows the query of the first default tab, but not its variables.
      variables: isFirstVisit ? examples[0].variables : undefined,
      plugins: [explorer],
      storage,
      shouldPersistHeaders: false,
      showPersistHeadersSettings: false,
      defaultEditorToolsVisibility: 'variables',
    }),
  );
}

setUpBar();
session.onChange(() => {
  live.reconnect();
  render();
});
render();
