// The dashboard: each metric as a live number, with a line chart of its values since the page was opened.

import { useEffect, useState } from 'preact/hooks';
import { METRIC_UPDATED } from '../data/documents.js';
import { texts } from '../texts.js';
import { useClient } from './client-context.js';
import { PageHead } from './page.jsx';
import { Empty, Name } from './parts.jsx';
import { clockOf } from './time.js';

const words = texts.dashboard;
const MAX_VALUES = 40;
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

export function Dashboard() {
  const metrics = useMetrics();
  const sorted = [...metrics.values()].sort((one, other) => (one.metric < other.metric ? -1 : 1));
  return (
    <main class="page">
      <PageHead title={words.title} icon="chart" />
      <div class="scroll">
        {sorted.length === 0 && <Empty title={words.empty} />}
        <ul class="metrics">
          {sorted.map(({ metric, value, updatedAt, values }) => (
            <li class="metric" key={metric}>
              <h2>{words.names[metric] ?? <Name>{metric.replaceAll('_', ' ')}</Name>}</h2>
              <p class="metric-value">{number.format(value)}</p>
              <Line values={values} />
              <p class="time">{words.updated(clockOf(updatedAt))}</p>
            </li>
          ))}
        </ul>
      </div>
    </main>
  );
}

function Line({ values }) {
  const least = Math.min(...values);
  const span = Math.max(...values) - least || 1;
  const points = values.map((value, index) =>
    `${((index / Math.max(1, values.length - 1)) * 100).toFixed(1)},${(30 - ((value - least) / span) * 28 - 1).toFixed(1)}`);
  return (
    <svg class="metric-line" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">
      {values.length > 1 ? <polyline points={points.join(' ')} /> : <polyline class="metric-line-flat" points="0,29 100,29" />}
    </svg>
  );
}

function useMetrics() {
  const client = useClient();
  const [metrics, setMetrics] = useState(new Map());
  useEffect(() => client.subscribe(METRIC_UPDATED, {}, (update) =>
    setMetrics((metrics) => {
      const values = [...(metrics.get(update.metric)?.values ?? []), update.value].slice(-MAX_VALUES);
      return new Map(metrics).set(update.metric, { ...update, values });
    })), [client]);
  return metrics;
}
