// A group of consecutive messages that renders again only if one of its messages has changed.

import { Component } from 'preact';
import { dayOf, isSameDay } from './time.js';
import { MessageRow } from './message-row.jsx';

// Maximum time between two messages of one author that are shown under one name, in milliseconds.
const MAX_GAP_MS = 5 * 60_000;

export class MessageBlock extends Component {
  shouldComponentUpdate({ messages, before }) {
    const shown = this.props;
    return before?.id !== shown.before?.id || messages.length !== shown.messages.length
      || messages.some((message, index) => message !== shown.messages[index]);
  }

  render({ messages, before }) {
    return (
      <div class="message-block">
        {messages.map((message, index) => {
          const previous = index ? messages[index - 1] : before;
          const isNewDay = !previous || !isSameDay(previous.createdAt, message.createdAt);
          return [
            isNewDay && <div class="message-day" key={`day-${message.id}`}><span>{dayOf(message.createdAt)}</span></div>,
            <MessageRow key={message.id} message={message} isFirst={isNewDay || !continues(previous, message)} />,
          ];
        })}
      </div>
    );
  }
}

function continues(previous, message) {
  return previous.authorId === message.authorId && !message.title && !message.ticket && !previous.ticket
    && Date.parse(message.createdAt) - Date.parse(previous.createdAt) < MAX_GAP_MS;
}
