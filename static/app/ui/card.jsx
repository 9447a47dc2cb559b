// The card of one ticket on a board.

import { useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClientData } from './client-context.js';
import { Avatar, Name, PriorityChip } from './parts.jsx';
import { to } from './route.js';
import { StatusSelect } from './ticket-fields.jsx';

export function Card({ message, ticket, onMove, withChannel }) {
  const [isDragged, setIsDragged] = useState(false);
  const channel = useClientData(({ state }) => state.channels.get(message.channelId));
  const title = message.title ?? message.content.split('\n')[0].slice(0, 80);
  const onDragStart = (event) => {
    const what = JSON.stringify({ id: message.id, title, from: ticket.status });
    event.dataTransfer.setData('application/x-tidings-ticket', what);
    event.dataTransfer.effectAllowed = 'move';
    setIsDragged(true);
  };
  return (
    <li class="card" draggable data-id={message.id} data-title={title} data-dragged={isDragged} data-priority={ticket.priority}
      onDragStart={onDragStart} onDragEnd={() => setIsDragged(false)}>
      <a class="card-title" href={to.message(message.id)} draggable={false} aria-describedby="board-keys">
        {withChannel && <span class="card-channel"><Name>{channel?.name}</Name></span>}
        <Name>{title}</Name>
      </a>
      <div class="card-foot">
        <PriorityChip priority={ticket.priority} />
        <span class="spacer" />
        {message.commentCount > 0 && (
          <span class="card-comments" title={texts.message.comments(message.commentCount)}>
            <Icon name="comment" size={16} />{message.commentCount}
          </span>
        )}
        {ticket.assigneeId && <Avatar user={assigneeOf(ticket, message)} size="small" />}
      </div>
      <div class="card-move">
        <StatusSelect value={ticket.status} label={texts.board.move(title)} onChange={(status) => onMove(message.id, title, status)} />
      </div>
    </li>
  );
}

// An unsent change of the assignee has only the id. Until the server answers, the previous assignee is shown.
function assigneeOf(ticket, message) {
  return ticket.assignee?.id === ticket.assigneeId ? ticket.assignee : message.ticket.assignee;
}
