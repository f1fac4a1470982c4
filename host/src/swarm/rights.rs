//! Who may do what on the server, and its other settings: the text of its configuration. Whoever has no pass is not let
//! in. Pure.

use crate::swarm::names::{Kind, Lane, MACHINES};
use crate::swarm::pass::Role;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub role: Role,
    pub lane: Lane,
    /// The public key, as the server spells it.
    pub key: String,
}

/// Subjects on which a role may publish, and to which it may subscribe.
pub fn of(role: Role, lane: &Lane) -> (Vec<String>, Vec<String>) {
    let inbox = format!("{}.>", role.inbox(lane));
    if role == Role::Coordinator {
        let publish = ["swarm.>", "swarm-of.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "$O.>"];
        return (publish.map(String::from).to_vec(), vec!["swarm.>".into(), "swarm-of.>".into(), inbox]);
    }
    let (jobs, inputs, results) = (lane.jobs(), lane.inputs(), lane.results());
    let mut publish = vec![
        format!("$JS.API.CONSUMER.INFO.{jobs}.{MACHINES}"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{jobs}.{MACHINES}"),
        format!("$JS.ACK.{jobs}.{MACHINES}.>"),
    ];
    publish.extend(Kind::ALL.map(|kind| lane.any(kind)));
    // Blobs are read by requests. A consumer would let its maker choose where the server sends them.
    publish.extend([inputs, &results].iter().flat_map(|bucket| {
        [
            format!("$JS.API.STREAM.INFO.OBJ_{bucket}"),
            format!("$JS.API.STREAM.MSG.GET.OBJ_{bucket}"),
            format!("$JS.API.DIRECT.GET.OBJ_{bucket}"),
            format!("$JS.API.DIRECT.GET.OBJ_{bucket}.>"),
        ]
    }));
    publish.extend([format!("$O.{results}.C.*"), format!("$O.{results}.M.*")]);
    (publish, vec![inbox, lane.roll(), lane.stop(), lane.any_order()])
}

/// The server's configuration.
pub fn configuration(listen: SocketAddr, folder: &Path, logins: &[Login]) -> String {
    let quoted = |path: &Path| json!(path.to_string_lossy()).to_string();
    let users: String = logins
        .iter()
        .map(|Login { role, lane, key }| {
            let (publish, subscribe) = of(*role, lane);
            let permissions = json!({
                "publish": { "allow": publish },
                "subscribe": { "allow": subscribe },
                // A machine answers orders and rolls.
                "allow_responses": { "max": 1, "expires": "1m" },
            });
            format!("    {{ nkey: {key}, permissions: {permissions} }}\n")
        })
        .collect();
    format!(
        "# Written by `host swarm up` at each start, and when a contributor comes or goes.\n\
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
