//! The rules of the standards, each provoked: those of the socket protocols as conversations (the `.txt` files beside this
//! one say how they are read), those of HTTP that the audits of `tests/clients/audits.mjs` do not know.

mod close_codes;
mod http;
mod sockets;
