//! Who may do what on the server, and its other settings: the text of its configuration. Whoever has no pass is not let
//! in. Pure.

use crate::swarm::names::{ANY_BEAT, ANY_ORDER, ANY_RECEIPT, ANY_SAID, INPUTS, JOBS, MACHINES, RESULTS, ROLL, STOP};
use crate::swarm::pass::Role;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;

/// Subjects on which a role may publish, and to which it may subscribe.
pub fn of(role: Role) -> (Vec<String>, Vec<String>) {
    let inbox = format!("{}.>", role.inbox());
    match role {
        Role::Coordinator => {
            let publish = ["swarm.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "$O.>"];
            (publish.map(String::from).to_vec(), vec!["swarm.>".into(), inbox])
        }
        Role::Machine => {
            let publish = [
                format!("$JS.API.CONSUMER.INFO.{JOBS}.{MACHINES}"),
                format!("$JS.API.CONSUMER.MSG.NEXT.{JOBS}.{MACHINES}"),
                format!("$JS.ACK.{JOBS}.{MACHINES}.>"),
                ANY_RECEIPT.into(),
                ANY_SAID.into(),
                ANY_BEAT.into(),
                format!("$JS.API.STREAM.INFO.OBJ_{INPUTS}"),
                format!("$JS.API.STREAM.MSG.GET.OBJ_{INPUTS}"),
                format!("$JS.API.DIRECT.GET.OBJ_{INPUTS}.>"),
                format!("$JS.API.CONSUMER.CREATE.OBJ_{INPUTS}"),
                format!("$JS.API.CONSUMER.CREATE.OBJ_{INPUTS}.>"),
                format!("$JS.API.CONSUMER.DELETE.OBJ_{INPUTS}.>"),
                format!("$JS.FC.OBJ_{INPUTS}.>"),
                format!("$JS.API.STREAM.INFO.OBJ_{RESULTS}"),
                format!("$JS.API.STREAM.MSG.GET.OBJ_{RESULTS}"),
                format!("$JS.API.DIRECT.GET.OBJ_{RESULTS}.>"),
                format!("$O.{RESULTS}.C.*"),
                format!("$O.{RESULTS}.M.*"),
            ];
            (publish.to_vec(), vec![inbox, ROLL.into(), STOP.into(), ANY_ORDER.into()])
        }
    }
}

/// The server's configuration. `logins` are the public keys by which each role logs in.
pub fn configuration(listen: SocketAddr, folder: &Path, logins: &[(Role, String)]) -> String {
    let quoted = |path: &Path| json!(path.to_string_lossy()).to_string();
    let users: String = logins
        .iter()
        .map(|(role, login)| {
            let (publish, subscribe) = of(*role);
            let permissions = json!({
                "publish": { "allow": publish },
                "subscribe": { "allow": subscribe },
                // A machine answers orders and rolls.
                "allow_responses": { "max": 1, "expires": "1m" },
            });
            format!("    {{ nkey: {login}, permissions: {permissions} }}\n")
        })
        .collect();
    format!(
        "# Written by `host swarm up` at each start.\n\
         server_name: nightlab\n\
         listen: \"{listen}\"\n\
         max_payload: 1MB\n\
         max_connections: 10000\n\
         max_subscriptions: 1000\n\
         tls {{\n    cert_file: {cert}\n    key_file: {key}\n    min_version: \"1.3\"\n    timeout: 10\n}}\n\
         jetstream {{\n    store_dir: {store}\n}}\n\
         authorization {{\n    timeout: 10\n    users = [\n{users}    ]\n}}\n",
        cert = quoted(&folder.join("cert.pem")),
        key = quoted(&folder.join("key.pem")),
        store = quoted(&folder.join("jetstream")),
    )
}
