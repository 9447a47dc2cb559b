//! Protocol conformance: the rules of the socket protocols as conversations (the `.txt` files beside this one explain
//! their syntax), and rules of HTTP that the audits of `tests/clients/audits.mjs` do not check.

mod close_codes;
mod http;
mod sockets;
