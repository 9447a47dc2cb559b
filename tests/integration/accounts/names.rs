//! Names as people type them: different spellings of one name are equal, and names that look alike cannot coexist.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Server, Session, text};

const REGISTER: &str = "mutation ($i: RegisterInput!) { register(input: $i) { user { username displayName } } }";
const LOGIN: &str =
    "mutation ($n: String!, $p: String!) { login(input: { username: $n, password: $p }) { user { id } } }";
const CREATE: &str = "mutation ($n: String!) { createChannel(input: { name: $n }) { id } }";

async fn notifications_of(server: &Server, user: &Session) -> Vec<String> {
    let data = server.data(Some(user), "{ notifications(first: 50) { nodes { message } } }", json!({})).await;
    data["notifications"]["nodes"].as_array().expect("nodes").iter().map(|node| text(&node["message"])).collect()
}

#[tokio::test]
async fn a_user_signs_in_with_any_spelling_of_name_and_password() {
    let server = Server::start().await;
    let input = json!({"username": "Zoë", "password": "Grüße 1234"});
    server.data(None, REGISTER, json!({"i": input})).await;
    for (name, password) in [
        ("zoë", "Grüße 1234"),
        ("zoe\u{308}", "Gru\u{308}ße 1234"),
        (" ZOE\u{308} ", "Grüße\u{A0}1234"),
        ("ｚｏë", "Grüße 1234"),
    ] {
        server.data(None, LOGIN, json!({"n": name, "p": password})).await;
    }
    assert_eq!(server.error_code(None, LOGIN, json!({"n": "zoe", "p": "Grüße 1234"})).await, "UNAUTHENTICATED");
    for name in ["İbrahim", "हिन्दी", "น้ำ", "தமிழ்", "Straße"] {
        server.data(None, REGISTER, json!({"i": {"username": name, "password": PASSWORD}})).await;
        server.data(None, LOGIN, json!({"n": name, "p": PASSWORD})).await;
    }
    server.data(None, LOGIN, json!({"n": "STRASSE", "p": PASSWORD})).await;
}

#[tokio::test]
async fn names_that_look_like_another_user_are_rejected() {
    let server = Server::start().await;
    for name in ["admin", "eva", "alice"] {
        server.register(name).await;
    }
    for (username, display_name, code) in [
        ("аdmin", "x y", "CONFLICT"),
        ("ａdmin", "x y", "CONFLICT"),
        ("ADMIN", "x y", "CONFLICT"),
        ("еva", "x y", "CONFLICT"),
        ("ｅｖａ", "x y", "CONFLICT"),
        ("mallory", "admin", "CONFLICT"),
        ("mallory", "Аdmin", "CONFLICT"),
        ("mallory", "AIice", "CONFLICT"),
        ("mallory", "A|ice", "CONFLICT"),
        ("mallory", "aΙice", "CONFLICT"),
        ("mallory", "A1ICE", "CONFLICT"),
        ("mallory", "ad\u{200B}min", "BAD_USER_INPUT"),
        ("mallory", "\u{202E}nimda", "BAD_USER_INPUT"),
        ("mallory", "\u{FE0F}", "BAD_USER_INPUT"),
        ("mallory", "\u{3164}", "BAD_USER_INPUT"),
        ("ㅤᅟ", "x y", "BAD_USER_INPUT"),
        (".", "x y", "BAD_USER_INPUT"),
        ("e\u{200B}va", "x y", "BAD_USER_INPUT"),
        ("\u{301}", "x y", "BAD_USER_INPUT"),
    ] {
        let input = json!({"username": username, "password": PASSWORD, "displayName": display_name});
        assert_eq!(server.error_code(None, REGISTER, json!({"i": input})).await, code, "{username:?} {display_name:?}");
    }
    let input = json!({"username": "eva2", "password": PASSWORD, "displayName": "Eva B."});
    server.data(None, REGISTER, json!({"i": input})).await;
}

#[tokio::test]
async fn short_common_and_username_passwords_are_rejected() {
    let server = Server::start().await;
    for password in ["evangeline", "Evangeline", "        ", "aaaaaaaa", "password", "12345678", "short"] {
        let input = json!({"username": "evangeline", "password": password});
        let response = server.execute(None, REGISTER, json!({"i": input})).await;
        let shown = &response["errors"][0]["extensions"];
        assert_eq!(shown, &json!({"code": "BAD_USER_INPUT", "field": "password"}), "{password}");
    }
    let ann = server.register("evangeline").await;
    let change = "mutation ($n: String!, $c: String!) { changePassword(input: { current: $c, new: $n }) { token } }";
    let response = server.execute(Some(&ann), change, json!({"n": "evangeline", "c": PASSWORD})).await;
    assert_eq!(response["errors"][0]["extensions"]["field"], "new");
}

#[tokio::test]
async fn spellings_of_a_channel_name_conflict_and_find_the_same_channel() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let general = server.channel(&ann, "General").await;
    server.channel(&ann, "café").await;
    for (name, code) in [
        ("general", "CONFLICT"),
        ("GENERAL ", "CONFLICT"),
        ("gеneral", "CONFLICT"),
        ("generaI", "CONFLICT"),
        ("GeneraI", "CONFLICT"),
        ("genera|", "CONFLICT"),
        ("genera1", "CONFLICT"),
        ("cafe\u{301}", "CONFLICT"),
        ("general\u{200B}", "BAD_USER_INPUT"),
        ("\u{200B}", "BAD_USER_INPUT"),
        ("\u{3164}", "BAD_USER_INPUT"),
        ("a\u{202E}b", "BAD_USER_INPUT"),
    ] {
        assert_eq!(server.error_code(Some(&ann), CREATE, json!({"n": name})).await, code, "{name:?}");
    }
    let find = "query ($n: String!) { channel(name: $n) { id name } }";
    for name in ["General", "general", " GENERAL", "ｇeneral"] {
        let found = server.data(None, find, json!({"n": name})).await;
        assert_eq!(found["channel"], json!({"id": general, "name": "General"}), "{name:?}");
    }
    assert_eq!(
        server.data(None, find, json!({"n": "gеneral"})).await["channel"],
        Value::Null,
        "a name that only looks the same is not found"
    );
    let rename = "mutation ($c: ID!) { updateChannel(input: { id: $c, name: \"GENERAL\" }) { name } }";
    assert_eq!(server.data(Some(&ann), rename, json!({"c": general})).await["updateChannel"]["name"], "GENERAL");
}

#[tokio::test]
async fn channel_names_that_look_alike_conflict() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    for (first, second) in [("teaI", "teal"), ("Вob", "Bob"), ("r00t", "RООT"), ("|ist", "list")] {
        server.channel(&ann, first).await;
        assert_eq!(server.error_code(Some(&ann), CREATE, json!({"n": second})).await, "CONFLICT", "{second:?}");
    }
    for other in ["mail", "mall", "ali", "all"] {
        server.channel(&ann, other).await;
    }
}

#[tokio::test]
async fn organization_and_location_names_that_look_alike_conflict() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let make = "mutation ($n: String!) { createOrganization(input: { name: $n }) { id } }";
    let created = server.data(Some(&root), make, json!({"n": "Acme"})).await;
    let id = text(&created["createOrganization"]["id"]);
    let locate = "mutation ($o: ID!, $n: String!) {
        createLocation(input: { organizationId: $o, name: $n }) { id } }";
    server.data(Some(&root), locate, json!({"o": id, "n": "Oslo"})).await;
    for name in ["Acme", "ACME", "Аcme", "Ａcme"] {
        assert_eq!(server.error_code(Some(&root), make, json!({"n": name})).await, "CONFLICT", "{name:?}");
    }
    for name in ["Oslo", "OSLO", "0slo", "OsIo", "Оslo"] {
        let refusal = server.error_code(Some(&root), locate, json!({"o": id, "n": name})).await;
        assert_eq!(refusal, "CONFLICT", "{name:?}");
    }
    let other = server.data(Some(&root), make, json!({"n": "Acne"})).await;
    server.data(Some(&root), locate, json!({"o": other["createOrganization"]["id"], "n": "Oslo"})).await;
}

#[tokio::test]
async fn user_search_finds_every_spelling_of_a_name() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let input = json!({"username": "zoë", "password": PASSWORD, "displayName": "Zoë Größe"});
    server.data(None, REGISTER, json!({"i": input})).await;
    let search = "query ($s: String!) { users(search: $s) { nodes { username } } }";
    for part in ["Zo", "zoe\u{308}", "GRÖSSE", "größe", "Gro\u{308}", "ｚｏ"] {
        let found = server.data(Some(&ann), search, json!({"s": part})).await;
        assert_eq!(found["users"]["nodes"], json!([{"username": "zoë"}]), "{part}");
    }
    for part in ["%", "_", "\\", "zoe"] {
        let found = server.data(Some(&ann), search, json!({"s": part})).await;
        assert_eq!(found["users"]["nodes"], json!([]), "{part}");
    }
}

#[tokio::test]
async fn only_mentioned_users_are_notified() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let (zoe, with_dots, eva) =
        (server.register("zoe").await, server.register("zoë").await, server.register("eva").await);
    let channel = server.channel(&ann, "general").await;
    for no_mention in [
        "read https://blog.example/@zoe/post",
        "`@zoe`",
        "npm i @zoe/core",
        "```\n@zoe\n```",
        "@zoe@example.social",
        "mail zoe@zoe.example",
    ] {
        server.post(&ann, &channel, no_mention).await;
        assert_eq!(notifications_of(&server, &zoe).await, [""; 0], "{no_mention}");
    }
    server.post(&ann, &channel, "hi @zoe\u{308}").await;
    assert_eq!(
        (notifications_of(&server, &zoe).await.len(), notifications_of(&server, &with_dots).await.len()),
        (0, 1)
    );
    for (number, text) in
        ["＠eva", "@eva您好", "@eva.Please", ".@eva", "_@eva_", "@EVA!", "您好@eva"].into_iter().enumerate()
    {
        server.post(&ann, &channel, text).await;
        assert_eq!(notifications_of(&server, &eva).await.len(), number + 1, "{text}");
    }
}

#[tokio::test]
async fn names_in_notifications_are_isolated_from_the_text_direction() {
    let server = Server::start().await;
    let input = json!({"username": "david", "password": PASSWORD, "displayName": "דוד"});
    server.data(None, REGISTER, json!({"i": input})).await;
    let (david, eva) = (server.login("david").await, server.register("eva").await);
    let channel = server.channel(&david, "כללי").await;
    let message = server.post(&david, &channel, "@eva").await;
    let expected = format!("\u{2068}דוד\u{2069} mentioned you at message {message} in \u{2068}כללי\u{2069}");
    assert_eq!(notifications_of(&server, &eva).await, [expected]);
}

/// Rows as version 0.1.0 wrote them: two spellings of one name, and no derived columns for comparison.
#[tokio::test]
async fn users_and_channels_of_earlier_versions_stay_reachable() {
    let mut server = Server::start().await;
    let ann = server.register("ann").await;
    let (first, second) = (server.register("admin").await, server.register("second").await);
    let (general, other) = (server.channel(&ann, "General").await, server.channel(&ann, "other").await);
    let alike = server.channel(&ann, "third").await;
    server.close().await;
    super::deletion::sql(
        &server,
        &format!(
            "UPDATE users SET username = 'ａdmin' WHERE id = {}; UPDATE channels SET name = 'general' WHERE id = {other};
             UPDATE channels SET name = 'generaI' WHERE id = {alike};
             UPDATE users SET skeleton = '', search = ''; UPDATE channels SET skeleton = '', look = '', named_at = 0;
             UPDATE channel_members SET since = 0;",
            second.id
        ),
    );
    server.open().await;
    for (name, id) in [("admin", &first.id), ("Admin", &first.id), ("ａdmin", &second.id), ("ann", &ann.id)] {
        let found = server.data(None, LOGIN, json!({"n": name, "p": PASSWORD})).await;
        assert_eq!(&found["login"]["user"]["id"], id, "{name}");
    }
    let find = "query ($n: String!) { channel(name: $n) { id } }";
    for (name, id) in [("General", &general), ("general", &other), ("generaI", &alike), ("GENERAI", &alike)] {
        assert_eq!(&server.data(None, find, json!({"n": name})).await["channel"]["id"], id, "{name}");
    }
    // A channel that keeps its name can be changed, although another channel looks alike.
    server.post(&ann, &alike, "hello").await;
    let describe = "mutation ($c: ID!) { updateChannel(input: { id: $c, description: \"x\" }) { id } }";
    server.data(Some(&ann), describe, json!({"c": alike})).await;
    // New names that look like an existing one are rejected, and a search finds both existing users.
    assert_eq!(server.error_code(Some(&ann), CREATE, json!({"n": "GeneraI"})).await, "CONFLICT");
    let input = json!({"username": "аdmin", "password": PASSWORD});
    assert_eq!(server.error_code(None, REGISTER, json!({"i": input})).await, "CONFLICT");
    let search = "{ users(search: \"ADMIN\") { nodes { id } } }";
    let found = server.data(Some(&ann), search, json!({})).await;
    assert_eq!(found["users"]["nodes"].as_array().expect("nodes").len(), 2, "{found}");
}
