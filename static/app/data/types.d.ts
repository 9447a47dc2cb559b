// The central data structures of the web client. Each object type has the fields that the fragments of documents.js
// select. Types only: this file is not in the build.

import type { ShownEntry } from '../../outbox.js';

/** A decimal number of any length. Ids grow; `compareIds` in reducer.js orders them. */
export type Id = string;

/** A position in the server's log. */
export type Cursor = string;

export interface User {
  id: Id;
  username: string;
  displayName: string;
  role: 'MEMBER' | 'ADMIN';
  /** Only in the answer of the query `USERS`. */
  disabled?: boolean;
}

/** A user as an author, an assignee or an owner. */
export type Person = Pick<User, 'id' | 'displayName'> & Partial<User>;

export interface Channel {
  id: Id;
  name: string;
  description: string | null;
  visibility: 'PUBLIC' | 'PRIVATE';
  createdAt: string;
  owner: Person | null;
  /** Only in answers of queries; events do not contain it. */
  unreadCount?: number;
}

export type TicketStatus = 'OPEN' | 'IN_PROGRESS' | 'RESOLVED' | 'CLOSED';
export type Priority = 'LOW' | 'MEDIUM' | 'HIGH' | 'URGENT';

export interface Ticket {
  status: TicketStatus;
  priority: Priority;
  assigneeId: Id | null;
  assignee: Person | null;
}

export interface Message {
  id: Id;
  channelId: Id;
  title: string | null;
  content: string;
  authorId: Id;
  author: Person | null;
  createdAt: string;
  updatedAt: string;
  commentCount: number;
  revision: Cursor;
  ticket: Ticket | null;
}

/** A message that is a ticket. */
export type TicketMessage = Message & { ticket: Ticket };

export interface Comment {
  id: Id;
  messageId: Id;
  content: string;
  authorId: Id;
  author: Person | null;
  createdAt: string;
  updatedAt: string;
  cursor: Cursor;
}

export interface Template {
  id: Id;
  name: string;
  content: string;
  authorId: Id;
}

export interface Notification {
  id: Id;
  /** null for an announcement to all users. */
  userId: Id | null;
  title: string;
  message: string;
  priority: Priority;
  createdAt: string;
  readAt: string | null;
}

/** A message with a page of its comments, as the query `THREAD` answers. */
export type Thread = Message & { comments: Connection<Comment> };

/** A page of a list. */
export interface Connection<Node> {
  edges: { cursor: string; node: Node }[];
  /** A query selects only the field that it needs; the other one is undefined. */
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean };
}

/** The ids of a list that are loaded, oldest first. */
export interface LoadedList {
  ids: Id[];
  /** Whether the server has older items. */
  hasMore: boolean;
  /** The cursor of the oldest loaded item, for loading older ones; null for an empty list. */
  edge: string | null;
}

export interface Unread {
  /** The number of unread messages at the last answer of the server. */
  count: number;
  /** The ids of unread messages that arrived since then. */
  ids: Set<Id>;
}

/** The data that components show. Never changed in place: the functions of reducer.js return a new state. */
export interface State {
  /** The signed-in user; null until the first answer. */
  me: User | null;
  isLoaded: boolean;
  /** Grows when components must load their data again. */
  epoch: number;
  channels: Map<Id, Channel>;
  messages: Map<Id, Message>;
  /** Ids of the messages that are tickets. */
  tickets: Set<Id>;
  /** The messages of each channel, by channel id. */
  timelines: Map<Id, LoadedList>;
  comments: Map<Id, Comment>;
  /** The comments of each message, by message id. */
  threads: Map<Id, LoadedList>;
  templates: Map<Id, Template>;
  notifications: Map<Id, Notification>;
  /** The unread messages of each channel, by channel id. */
  unread: Map<Id, Unread>;
  /** The latest broadcast of each channel, by channel id. */
  broadcasts: Map<Id, unknown>;
  /** The channel on the screen. */
  opened: Id | null;
  /** The channel whose newest messages the user looks at: messages that arrive there count as read. */
  viewing: Id | null;
  /** Ids of messages whose number of comments must be queried. */
  recount: Set<Id>;
  /** Ids of users whose names must be queried. */
  renamed: Set<Id>;
  /** The channels whose permissions have changed and must be queried, or null. */
  requery: Id[] | 'everything' | null;
}

/** The collections of the state that the reducer may change. */
export type Collection = { [Name in keyof State]: State[Name] extends Map<Id, unknown> | Set<Id> ? Name : never }[keyof State];

/** The lists that are always in memory. `Client` collects them from the pages of the query `BASE`. */
export interface Base {
  cursor: Cursor;
  me: User;
  channels: Channel[];
  templates: Template[];
  notifications: Notification[];
}

/** A comment of the event `CommentAdded`: it has the new number of comments of its message. */
type AddedComment = Comment & { message?: { id: Id; commentCount: number } };

/** The fields of each kind of event, besides `__typename` and `cursor`. */
export interface EventFields {
  MessageAdded: { message: Message };
  MessageUpdated: { message: Message };
  MessageDeleted: { messageId: Id; channelId: Id };
  CommentAdded: { comment: AddedComment };
  CommentUpdated: { comment: AddedComment };
  CommentDeleted: { commentId: Id; messageId: Id };
  ChannelAdded: { channel: Channel };
  ChannelUpdated: { channel: Channel };
  ChannelDeleted: { channelId: Id };
  TemplateAdded: { template: Template };
  TemplateDeleted: { templateId: Id };
  NotificationAdded: { notification: Notification };
  RoomBroadcast: { channelId: Id; data: unknown };
  AccessChanged: { changedChannelId: Id | null };
  UserUpdated: { userId: Id };
}

/** An event that the reducer can apply. The answers of mutations are applied as events, too, without a cursor. */
export type Event = { [Name in keyof EventFields]: { __typename: Name; cursor?: Cursor } & EventFields[Name] }[keyof EventFields];

/** An item of the subscription `events`. A `Checkpoint` says that all events up to its cursor were delivered. */
export type StreamEvent = { cursor: Cursor } & (Event | { __typename: 'Checkpoint' });

/** The input of each kind of outbox entry. */
export interface Inputs {
  message: { channelId: Id; content: string; title?: string; ticket?: Partial<Ticket> };
  comment: { messageId: Id; content: string };
  ticket: { id: Id; ticket: Partial<Ticket> };
}

/** The fields of a failed entry that a composer can edit again. */
export type EditableInput = Pick<Inputs['message'], 'content' | 'title' | 'ticket'>;

/**
 * An entry of the outbox as `Outbox.entries` returns it. `since` is the newest id that was loaded when the user wrote
 * the entry. The input of an unreadable entry is the stored text.
 */
export type OutboxEntry = ShownEntry &
  ({ [Kind in keyof Inputs]: { kind: Kind; input: Inputs[Kind]; since?: Id } }[keyof Inputs] | { kind: 'unreadable'; input: string });

/** The state of the connection: see connection.js. */
export interface Connectivity {
  phase: 'connecting' | 'catching-up' | 'live' | 'waiting';
  /** The time of the next connection attempt, in milliseconds since 1970; 0 if none is scheduled. */
  until: number;
  isOffline: boolean;
}

export type ConnectionEvent =
  | { type: 'offline' | 'online' | 'connecting' | 'connected' | 'live' }
  | { type: 'lost'; until?: number };

/** The stored session of the signed-in user. */
export interface SignedIn {
  token: string;
  expiresAt: string;
  /** Continues the session once the token has expired. Each one is valid once. Sessions of older pages have none. */
  refreshToken?: string;
  user: User;
}

/** The members of a Web Storage that the client uses. */
export type KeyedStorage = Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'>;
