//! The `Host` of a request, and the `Origin` of a page.

use super::{SOCKET, UPGRADE, answer};
use crate::support::Server;

/// DNS rebinding: a page can resolve its own name to 127.0.0.1, and the browser then treats the server as same-origin.
#[tokio::test]
async fn a_loopback_server_accepts_only_its_own_hosts() {
    let server = Server::start().await;
    let port = server.address().port();
    let get = async |host: &str, path: &str| {
        let first = format!("GET {path} HTTP/1.1");
        answer(server.address(), &first, &format!("Host: {host}\r\n")).await
    };
    let query = "/graphql?query=%7B__typename%7D";
    for host in [
        "localhost",
        "LocalHost",
        &format!("localhost:{port}"),
        "127.0.0.1",
        "[::1]:8000",
        "app.localhost:5173",
        "192.0.2.1",
    ] {
        assert_eq!(get(host, query).await.status(), 200, "{host}");
    }
    for host in
        ["evil.example", &format!("evil.example:{port}"), "localhost.evil.example", "127.0.0.1.evil.example", "x", ""]
    {
        for path in [query, "/", "/metrics", "/schema.graphql"] {
            let refused = get(host, path).await;
            assert_eq!(refused.status(), 421, "{host} {path}");
            assert!(refused.body().contains("TIDINGS_HOSTS") && refused.body().contains("TIDINGS_TRUSTED_PROXIES"));
        }
        let headers = format!("Host: {host}\r\nOrigin: http://{host}\r\n{SOCKET}{UPGRADE}");
        let socket = answer(server.address(), "GET /graphql HTTP/1.1", &headers).await;
        assert_eq!(socket.status(), 421, "a socket of a page with the same host, {host}");
        assert_eq!(get(host, "/healthz").await.status(), 200, "health checks accept any host: {host}");
        assert_eq!(get(host, "/readyz").await.status(), 200);
    }
    // The host in the request line takes precedence over the header.
    let first = format!("GET http://evil.example{query} HTTP/1.1");
    assert_eq!(answer(server.address(), &first, "Host: localhost\r\n").await.status(), 421);
}

#[tokio::test]
async fn configured_hosts_origins_and_proxies_extend_the_accepted_hosts() {
    let status = async |server: &Server, host: &str| {
        let first = "GET /graphql?query=%7B__typename%7D HTTP/1.1";
        answer(server.address(), first, &format!("Host: {host}\r\n")).await.status()
    };
    let named = Server::start_with(|config| config.hosts = Some("board.example, Other.Example".parse().unwrap())).await;
    for (host, expected) in
        [("board.example", 200), ("other.example:443", 200), ("board.example.", 200), ("evil.example", 421)]
    {
        assert_eq!(status(&named, host).await, expected, "{host}");
    }
    let behind = Server::start_with(|config| config.trusted_proxies = "127.0.0.1".parse().unwrap()).await;
    assert_eq!(status(&behind, "board.example").await, 200, "a trusted proxy may forward any host");
    let origins = Server::start_with(|config| config.allowed_origins = "https://app.example".parse().unwrap()).await;
    assert_eq!((status(&origins, "app.example").await, status(&origins, "evil.example").await), (200, 421));
    let any = Server::start_with(|config| config.hosts = Some("*".parse().unwrap())).await;
    assert_eq!(status(&any, "evil.example").await, 200);
}

#[tokio::test]
async fn repeated_hosts_are_rejected_and_only_http_1_0_may_omit_the_host() {
    let server = Server::start().await;
    for (first, headers, expected) in [
        ("GET /healthz HTTP/1.1", "", 400),
        ("GET /healthz HTTP/1.1", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("GET /healthz HTTP/1.0", "Host: localhost\r\nHost: other\r\n", 400),
        ("GET /graphql?query=%7B__typename%7D HTTP/1.0", "", 200),
        ("GET /healthz HTTP/1.0", "", 200),
        ("GET /healthz HTTP/1.1", "Host: localhost\r\n", 200),
    ] {
        assert_eq!(answer(server.address(), first, headers).await.status(), expected, "{first} {headers:?}");
    }
}

/// nginx with `proxy_set_header Host $host:$server_port` adds the default port.
#[tokio::test]
async fn the_default_port_in_the_host_does_not_make_an_origin_foreign() {
    let server = Server::start_with(|config| config.trusted_proxies = "127.0.0.1".parse().unwrap()).await;
    for (origin, host, expected) in [
        ("https://board.example", "board.example:443", 101),
        ("http://board.example", "board.example:80", 101),
        ("https://board.example", "BOARD.example", 101),
        ("https://board.example", "board.example", 101),
        ("https://board.example:8443", "board.example:8443", 101),
        ("https://board.example", "board.example:8443", 403),
        ("https://evil.example", "board.example:443", 403),
        ("null", "board.example", 403),
    ] {
        for path in ["/graphql", "/subscriptions", "/api/v1/ws"] {
            let headers = format!("Host: {host}\r\nOrigin: {origin}\r\n{SOCKET}{UPGRADE}");
            let socket = answer(server.address(), &format!("GET {path} HTTP/1.1"), &headers).await;
            assert_eq!(socket.status(), expected, "{origin} at {host}{path}");
        }
    }
}

/// Apollo Client, Sentry and OpenTelemetry add headers of their own.
#[tokio::test]
async fn preflights_of_allowed_origins_permit_every_requested_header() {
    let server = Server::start_with(|config| config.allowed_origins = "https://app.example".parse().unwrap()).await;
    let preflight = async |origin: &str, wanted: &str| {
        let headers = format!(
            "Host: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: {wanted}\r\n"
        );
        answer(server.address(), "OPTIONS /graphql HTTP/1.1", &headers).await
    };
    for wanted in
        ["apollographql-client-name,content-type", "authorization, traceparent, sentry-trace, baggage", "x-anything"]
    {
        let allowed = preflight("https://app.example", wanted).await;
        assert_eq!(allowed.status(), 204);
        assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example");
        assert_eq!(allowed.header("access-control-allow-headers"), wanted);
        assert_eq!(allowed.header("access-control-allow-methods"), "GET, POST");
        assert_eq!(allowed.header("access-control-max-age"), "600");
        assert!(allowed.header("vary").contains("access-control-request-headers"));
        let refused = preflight("https://evil.example", wanted).await;
        for name in ["origin", "headers", "methods"] {
            assert_eq!(refused.header(&format!("access-control-allow-{name}")), "", "{name}");
        }
    }
    let headers = "Host: localhost\r\nOrigin: https://app.example\r\n";
    let asked = answer(server.address(), "GET /graphql?query=%7B__typename%7D HTTP/1.1", headers).await;
    assert!(asked.header("access-control-expose-headers").contains("retry-after"));
}
