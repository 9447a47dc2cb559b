// docs:start
import { cacheExchange } from '@urql/exchange-graphcache';

/**
 * For `urql({ …, cache: normalizedCache() })`. Objects of these types have no id: they are stored with their parent.
 */
export function normalizedCache() {
  const embedded = () => null;
  return cacheExchange({
    keys: {
      MessageConnection: embedded,
      MessageEdge: embedded,
      CommentConnection: embedded,
      ChannelConnection: embedded,
      UserConnection: embedded,
      NotificationConnection: embedded,
      TemplateConnection: embedded,
      PageInfo: embedded,
      Ticket: embedded,
      Session: embedded,
      Checkpoint: embedded,
      DeletedMessage: embedded,
    },
  });
}
// docs:end
