//! What administrators ask.

use super::client::*;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use zookeeper_server::admin::{AdminServer, AdminSettings};

#[test]
fn four_letter_words_are_answered_as_by_java() {
    with_server(settings(), |server| {
        let _client = Client::start(server);
        let say = |word: &str| {
            let mut socket = open(server);
            socket.write_all(word.as_bytes()).unwrap();
            let mut text = String::new();
            socket.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(say("ruok"), "imok");
        assert_eq!(say("isro"), "rw");
        assert_eq!(
            say("dump"),
            "dump is not executed because it is not in the whitelist.\n"
        );
        assert_eq!(
            say("wchs"),
            "0 connections watching 0 paths\nTotal watches:0\n"
        );
        let srvr = say("srvr");
        let lines: Vec<&str> = srvr.lines().collect();
        assert_eq!(
            lines[0],
            "Zookeeper version: 3.9.5-0.1.0, built on 06/29/2018 04:05 GMT"
        );
        let labels: Vec<&str> = lines[1..]
            .iter()
            .map(|line| line.split(": ").next().unwrap())
            .collect();
        let expected = [
            "Latency min/avg/max",
            "Received",
            "Sent",
            "Connections",
            "Outstanding",
            "Zxid",
            "Mode",
            "Node count",
        ];
        assert_eq!(labels, expected);
        assert!(
            srvr.contains("\nMode: standalone\nNode count: 5\n"),
            "{srvr}"
        );
        let stat = say("stat");
        assert!(stat.contains("\nClients:\n /127.0.0.1:"), "{stat}");
        let mntr = say("mntr");
        assert!(mntr.contains("\nzk_server_state\tstandalone\n"), "{mntr}");
        assert!(mntr.contains("\nzk_znode_count\t5\n"), "{mntr}");
    });
}

/// The status line's number and the body of a GET.
fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

#[test]
fn the_admin_port_tells_a_stuck_node_and_one_that_does_not_serve_from_a_good_one() {
    with_server(settings(), |server| {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let runtime = tokio::runtime::Handle::current();
        let admin = runtime.block_on(AdminServer::bind(any)).unwrap();
        let address = admin.local_address().unwrap();
        let limits = AdminSettings {
            heartbeat_max: Duration::from_secs(60),
            ..AdminSettings::default()
        };
        let task = runtime.spawn(admin.run(Arc::clone(&server.service), limits));
        let _client = Client::start(server);

        assert_eq!(http_get(address, "/live").0, 200);
        assert_eq!(http_get(address, "/ready").0, 200);
        let (code, body) = http_get(address, "/member");
        assert_eq!(code, 200);
        let page: serde_json::Value = serde_json::from_str(&body).unwrap();
        let page = page.as_object().unwrap();
        let mut keys: Vec<&str> = page.keys().map(String::as_str).collect();
        keys.sort_unstable();
        let contract = [
            "acceptedEpoch",
            "clusterId",
            "config",
            "configVersion",
            "connections",
            "currentEpoch",
            "fault",
            "lastZxid",
            "leaderId",
            "learners",
            "role",
            "serverId",
            "serving",
            "state",
            "version",
            "voters",
        ];
        assert_eq!(keys, contract);
        assert_eq!(page["connections"], 1);
        assert_eq!(page["serving"], true);
        assert_eq!(page["lastZxid"], "0x100000001");
        assert_eq!(page["version"], "3.9.5-0.1.0");
        let (code, body) = http_get(address, "/commands/srvr");
        assert_eq!(code, 200);
        assert!(body.contains("\"command\":\"server_stats\""), "{body}");
        let (code, body) = http_get(address, "/commands/none");
        assert_eq!(code, 200, "as in Java");
        assert!(
            body.contains("\"error\":\"Unknown command: none\""),
            "{body}"
        );
        let (_, body) = http_get(address, "/commands/stmk?traceMask=5");
        assert!(body.contains("\"tracemask\":5"), "{body}");
        let (_, body) = http_get(address, "/commands/gtmk");
        assert!(body.contains("\"tracemask\":5"), "{body}");
        let (code, body) = http_get(address, "/commands/snapshot");
        assert_eq!(code, 401, "{body}");
        let (code, list) = http_get(address, "/commands");
        assert_eq!((code, list.matches("<a href=").count()), (200, 28));

        server.service.stop_serving();
        assert_eq!(http_get(address, "/ready").0, 503);
        assert_eq!(http_get(address, "/live").0, 200);
        server.service.status.write().heartbeat -= Duration::from_secs(61);
        assert_eq!(http_get(address, "/live").0, 503);
        task.abort();
    });
}
