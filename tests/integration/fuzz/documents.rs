//! Random documents, most of them nearly valid. Two engines must reach the same verdict, quickly, and accepted queries
//! must execute without an internal error.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings::graphql::{Caller, Engine, OperationLimits, OperationType, Request};
use tokio::runtime::Runtime;

use super::{Choices, Tally, check_property, choices, mutated};
use crate::support::Server;

/// The longest accepted time for a verdict and an answer, on any machine.
const MAX_TIME: Duration = Duration::from_secs(5);
/// The stack size of the server's threads, in bytes.
const STACK: usize = 2 << 20;

/// Some types, with their fields and the type of each field (empty for scalars).
const TYPES: &[(&str, &[(&str, &str)])] = &[
    (
        "Query",
        &[
            ("cursor", ""),
            ("me", "User"),
            ("channels", "ChannelConnection"),
            ("messages", "MessageConnection"),
            ("message(id: 1)", "Message"),
            ("metrics", "Metric"),
            ("__schema", "__Schema"),
            ("__type(name: \"User\")", "__Type"),
        ],
    ),
    ("User", &[("id", ""), ("username", ""), ("organization", "Organization")]),
    ("Organization", &[("id", ""), ("locations", "Location")]),
    ("Location", &[("id", ""), ("organization", "Organization")]),
    ("ChannelConnection", &[("totalCount", ""), ("nodes", "Channel")]),
    ("Channel", &[("id", ""), ("name", ""), ("messages", "MessageConnection"), ("owner", "User")]),
    ("MessageConnection", &[("__typename", ""), ("nodes", "Message")]),
    (
        "Message",
        &[("id", ""), ("content", ""), ("author", "User"), ("channel", "Channel"), ("comments", "CommentConnection")],
    ),
    ("CommentConnection", &[("__typename", ""), ("nodes", "Comment")]),
    ("Comment", &[("id", ""), ("message", "Message"), ("author", "User")]),
    ("Metric", &[("metric", ""), ("value", "")]),
    ("__Schema", &[("__typename", ""), ("types", "__Type"), ("queryType", "__Type")]),
    ("__Type", &[("name", ""), ("fields", "__Field"), ("ofType", "__Type")]),
    ("__Field", &[("name", ""), ("type", "__Type"), ("args", "__InputValue")]),
    ("__InputValue", &[("name", ""), ("type", "__Type")]),
];
const VALUES: &[&str] =
    &["1", "$n", "100", "null", "[[1]]", "{a: {a: $n}}", "\"x\"", "RED", "-1", "99999999999", "1.5"];
/// The largest depth of a generated document; deeper than the limit.
const DEEPEST: usize = 20;

/// Generates a document. A well-formed one has no deliberate mistakes, but may exceed a limit or have conflicting
/// fields.
struct DocumentGenerator<'w, 'c> {
    choices: &'w mut Choices<'c>,
    is_well_formed: bool,
    text: String,
}

impl DocumentGenerator<'_, '_> {
    fn document(mut self) -> String {
        if self.is_well_formed {
            self.text.push_str(
                "query ($n: Int = 100, $b: Boolean = true) { messages(first: $n) @include(if: $b) { __typename } ",
            );
            self.fields("Query", 1);
            self.text.push('}');
            return self.text;
        }
        for number in 0..=self.choices.below(3) {
            let name = if number == 0 { String::new() } else { format!("q{number}") };
            let variables = *self.choices.one(&["($n: Int = 100, $b: Boolean = true)", "", "($n: Int, $b: Boolean!)"]);
            let kind = *self.choices.one(&["query", "query", "subscription", "mutation"]);
            write!(self.text, "{kind} {name}{variables} ").expect("text");
            self.selections("Query", 1);
        }
        for number in 0..self.choices.below(4) {
            let of = self.choices.one(TYPES).0;
            write!(self.text, " fragment f{number} on {of} ").expect("text");
            self.selections(of, 1);
        }
        self.text
    }

    fn selections(&mut self, of: &str, depth: usize) {
        self.text.push_str("{ ");
        self.fields(of, depth);
        self.text.push_str("} ");
    }

    fn fields(&mut self, of: &str, depth: usize) {
        let fields = TYPES.iter().find(|(name, _)| *name == of).map_or(&[("id", "")][..], |(_, fields)| fields);
        for _ in 0..=self.choices.below(4) {
            match self.choices.below(8) {
                6 if !self.is_well_formed => write!(self.text, "...f{} ", self.choices.below(4)).expect("text"),
                7 if depth < DEEPEST => {
                    let on = if self.is_well_formed { "" } else { *self.choices.one(&["", "on Query", "on User"]) };
                    write!(self.text, "... {on} ").expect("text");
                    self.directive();
                    self.selections(of, depth + 1);
                }
                _ => {
                    let field = *self.choices.one(fields);
                    self.field(field, depth);
                }
            }
        }
    }

    fn field(&mut self, (name, of): (&str, &str), depth: usize) {
        // A well-formed document uses no aliases, so no response key has two meanings.
        if self.choices.below(5) == 4 && !self.is_well_formed {
            write!(self.text, "a{}: ", self.choices.below(3)).expect("text");
        }
        self.text.push_str(name);
        if of.ends_with("Connection") && self.choices.below(2) == 1 && !self.is_well_formed {
            write!(self.text, "({}: {})", self.choices.one(&["first", "last", "after"]), self.choices.one(VALUES))
                .expect("text");
        }
        if self.is_well_formed && of.ends_with("Connection") {
            self.text.push_str("(first: $n)");
        }
        self.text.push(' ');
        self.directive();
        if !of.is_empty() && depth < DEEPEST {
            self.selections(of, depth + 1);
        } else if !of.is_empty() {
            self.text.push_str("{ __typename } ");
        }
    }

    fn directive(&mut self) {
        let directives = ["", "", "", "", "@include(if: $b) ", "@skip(if: false) ", "@nothing ", "@skip "];
        let known = if self.is_well_formed { 6 } else { directives.len() };
        let directive = *self.choices.one(&directives[..known]);
        self.text.push_str(directive);
    }
}

#[test]
fn random_documents_get_one_verdict_within_five_seconds() {
    let fuzzing = std::thread::Builder::new().stack_size(STACK).spawn(|| {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(Server::start());
        let limits = OperationLimits {
            depth: 15,
            tokens: 2_000,
            aliases: 30,
            directives: 50,
            cost: 5_000,
            response: 16 << 20,
            hints: true,
        };
        let engine = || Arc::new(Engine::new(Arc::clone(server.board()), limits, true));
        let (one, other) = (engine(), engine());
        let viewer = server.board().accounts.anonymous_viewer(Ipv4Addr::LOCALHOST.into());
        let caller = Caller { viewer, address: IpAddr::V4(Ipv4Addr::LOCALHOST), user_agent: None, extends: None };
        let tally = Tally::default();
        check_property(500, &choices(300), |choices| {
            let mut choices = Choices::new(&choices);
            let is_well_formed = choices.below(2) == 0;
            let mut text = DocumentGenerator { choices: &mut choices, is_well_formed, text: String::new() }.document();
            if !is_well_formed {
                text = String::from_utf8_lossy(&mutated(text.as_bytes(), &mut choices)).into_owned();
            }
            let request = || Request { query: text.clone(), operation_name: None, variables: None };
            let since = Instant::now();
            let verdicts = [&one, &other].map(|engine| engine.prepare(&request(), &caller));
            let errors = verdicts.each_ref().map(|verdict| verdict.as_ref().err().map(|refusal| refusal.errors()));
            if errors[0] != errors[1] {
                return Err(format!("the engines disagree: {errors:?} for {text}"));
            }
            let [verdict, _] = verdicts;
            let code = errors[0].as_ref().and_then(|errors| errors.pointer("/0/extensions/code")?.as_str());
            tally.count(code.unwrap_or("accepted"));
            if code == Some("INTERNAL_SERVER_ERROR") {
                return Err(format!("internal error in preparation: {text}"));
            }
            if let Some(prepared) = verdict.ok().filter(|prepared| prepared.kind() == OperationType::Query) {
                let answer = runtime.block_on(one.answer(prepared, caller.clone()));
                if answer.is_ok_and(|answer| answer.is_fault) {
                    return Err(format!("internal error in execution: {text}"));
                }
            }
            if since.elapsed() > MAX_TIME { Err(format!("{:?} for {text}", since.elapsed())) } else { Ok(()) }
        });
        let each = ["accepted", "QUERY_TOO_COMPLEX", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"];
        tally.show("documents", &each);
        runtime.block_on(async { drop(server) });
    });
    fuzzing.expect("a thread").join().expect("no case panics");
}
