//! The refusals the API server speaks, as CEL rules in the CRD.
//!
//! Each one says what to change. There is no webhook: a refused resource is
//! refused even while the operator is down. `valid.rs` repeats none of them; it
//! parses, and reports what could only get past these by an older CRD.

use kube::core::{Message, Rule};

/// zoo.cfg keys that the operator writes itself, so a user's would contradict it.
pub const RESERVED_KEYS: [&str; 24] = [
    "DigestAuthenticationProvider.superDigest",
    "DigestAuthenticationProvider.superDigestFile",
    "admin.enableServer",
    "admin.serverAddress",
    "admin.serverPort",
    "clientPort",
    "clientPortAddress",
    "dataDir",
    "dataLogDir",
    "db.autocreate",
    "dynamicConfigFile",
    "electionAlg",
    "enforce.auth.enabled",
    "enforce.auth.schemes",
    "metricsProvider.className",
    "metricsProvider.httpHost",
    "metricsProvider.httpPort",
    "peerType",
    "quorumListenOnAllIPs",
    "reconfigEnabled",
    "sasl.usersFile",
    "sessionRequireClientSASLAuth",
    "skipReconfigACL",
    "standaloneEnabled",
];

/// Key prefixes that the operator writes itself.
pub const RESERVED_PREFIXES: [&str; 3] = ["server.", "group.", "weight."];

/// zoo.cfg keys of TLS, which the operator is going to write from `spec.tls`.
pub const TLS_KEYS: [&str; 7] = [
    "client.portUnification",
    "portUnification",
    "secureClientPort",
    "secureClientPortAddress",
    "sslQuorum",
    "client.certReload",
    "sslQuorumReloadCertFiles",
];

/// Prefixes of more of them.
pub const TLS_PREFIXES: [&str; 1] = ["ssl."];

/// Prefixes of keys with a password in them: a ConfigMap is no place for one.
pub const SECRET_PREFIXES: [&str; 2] = ["sasl.user.", "SASLAuthenticationProvider.superPassword"];

/// The most users.
pub const USERS_MAX: usize = 100;
/// The longest name of one.
pub const USER_NAME_LENGTH_MAX: usize = 128;

/// zoo.cfg keys that people set, so that a wrong spelling of one is told apart.
pub const KNOWN_KEYS: [&str; 20] = [
    "autopurge.purgeInterval",
    "autopurge.snapRetainCount",
    "4lw.commands.whitelist",
    "cnxTimeout",
    "forceSync",
    "globalOutstandingLimit",
    "initLimit",
    "leaderServes",
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "maxClientCnxns",
    "maxCnxns",
    "maxSessionTimeout",
    "minSessionTimeout",
    "preAllocSize",
    "skipACL",
    "snapCount",
    "syncEnabled",
    "syncLimit",
    "tickTime",
];

/// How many zoo.cfg keys may be set; it bounds what a rule over them can cost.
pub const CONFIG_KEYS_MAX: u32 = 64;
/// The longest zoo.cfg value, for the same reason.
pub const CONFIG_VALUE_LENGTH_MAX: u32 = 1024;

/// The longest cluster name. Revision labels are `<name>-<10 characters>`, and
/// the longest service `<name>-headless`; both must fit into 63 with room to spare.
pub const NAME_LENGTH_MAX: usize = 40;

/// The most voting members. More only makes writes slower.
pub const REPLICAS_MAX: i32 = 15;

/// The most members without a vote. Each of them costs the leader a stream.
pub const OBSERVERS_MAX: i32 = 50;

/// The size of a data volume when none is named.
pub const DEFAULT_VOLUME_SIZE: &str = "10Gi";

fn rule(expression: impl Into<String>, sentence: impl Into<String>) -> Rule {
    Rule::new(expression.into()).message(Message::Message(sentence.into()))
}

pub(super) fn name_fits() -> Rule {
    rule(
        format!(
            "self.metadata.name.size() <= {NAME_LENGTH_MAX} && \
             self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
        ),
        format!(
            "choose a name of at most {NAME_LENGTH_MAX} lower-case letters, digits and '-' that begins \
             with a letter: pods, services and their DNS names are made from it"
        ),
    )
}

pub(super) fn replicas_in_range() -> Rule {
    rule(
        format!("self >= 1 && self <= {REPLICAS_MAX}"),
        format!(
            "set replicas to a number from 1 to {REPLICAS_MAX}; an odd one, 3 or 5, is best. To stop \
             an ensemble and keep its volumes, delete the resource with storage.retention: Retain"
        ),
    )
}

pub(super) fn observers_in_range() -> Rule {
    rule(
        format!("self >= 0 && self <= {OBSERVERS_MAX}"),
        format!("set observers to a number from 0 to {OBSERVERS_MAX}"),
    )
}

pub(super) fn no_tls_yet() -> Rule {
    rule(
        "false",
        "please remove tls: its place is kept for a later release. This one does not encrypt, and would \
         rather refuse than pretend to",
    )
}

pub(super) fn no_tls_key() -> Rule {
    let keys = TLS_KEYS
        .iter()
        .map(|key| (*key).to_owned())
        .chain(misspellings(TLS_KEYS));
    let prefixes = TLS_PREFIXES
        .map(|prefix| format!("key.startsWith('{prefix}')"))
        .join(" || ");
    rule(
        format!("{} && self.all(key, !({prefixes}))", none_of(keys)),
        "please remove this key of TLS from config: the operator of this release does not encrypt yet. A \
         later one writes ports, stores and certificates itself, from spec.tls, which is reserved for it",
    )
}

pub(super) fn no_password_in_config() -> Rule {
    let prefixes = SECRET_PREFIXES
        .map(|prefix| format!("key.startsWith('{prefix}')"))
        .join(" || ");
    rule(
        format!("self.all(key, !({prefixes}))"),
        "remove the password from config, which everyone can read: put it into a Secret and name that in \
         auth.users",
    )
}

pub(super) fn user_name_fits() -> Rule {
    rule(
        "self != 'super' && self.matches('^[A-Za-z0-9][A-Za-z0-9._@-]*$')",
        "choose a user name of letters, digits, '.', '_', '@' and '-' that begins with a letter or a digit; \
         super is the superuser's, whose password auth.superuser has",
    )
}

pub(super) fn required_users_are_there() -> Rule {
    rule(
        "!(has(self.requireAuthentication) && self.requireAuthentication) || \
         (has(self.users) && size(self.users) > 0)",
        "name users in auth.users, or remove auth.requireAuthentication: without users no client could \
         come in",
    )
}

pub(super) fn ephemeral_stays() -> Rule {
    let ephemeral = |object: &str| {
        format!(
            "(has({object}.storage) && has({object}.storage.ephemeral) && {object}.storage.ephemeral)"
        )
    };
    rule(
        format!("{} == {}", ephemeral("self"), ephemeral("oldSelf")),
        "storage.ephemeral is immutable: the data would be left behind. Set it back, or create a second \
         cluster",
    )
}

pub(super) fn ephemeral_or_volumes() -> Rule {
    rule(
        "!(has(self.storage) && has(self.storage.ephemeral) && self.storage.ephemeral) || \
         !(has(self.storage.data) || has(self.storage.log))",
        "remove storage.data and storage.log, or storage.ephemeral: data kept in the pods has no volumes",
    )
}

pub(super) fn ids_fit() -> Rule {
    rule(
        "(has(self.firstServerId) ? self.firstServerId : 1) >= 1 && \
         (has(self.firstServerId) ? self.firstServerId : 1) + self.replicas + \
         (has(self.observers) ? self.observers : 0) <= 256",
        "server ids run from 1 to 255: lower firstServerId so that firstServerId + replicas + observers \
         - 1 stays within them",
    )
}

pub(super) fn first_server_id_stays() -> Rule {
    rule(
        "(has(self.firstServerId) ? self.firstServerId : 1) == \
         (has(oldSelf.firstServerId) ? oldSelf.firstServerId : 1)",
        "firstServerId is immutable: the ids are written on the members' disks. Set it back",
    )
}

/// `storage.<volume>.<field>`, or `otherwise` where any part of the way is unset.
fn volume_field(object: &str, volume: &str, field: &str, otherwise: &str) -> String {
    format!(
        "(has({object}.storage) && has({object}.storage.{volume}) && \
         has({object}.storage.{volume}.{field}) ? {object}.storage.{volume}.{field} : '{otherwise}')"
    )
}

pub(super) fn volume_never_shrinks(volume: &str) -> Rule {
    let new = volume_field("self", volume, "size", DEFAULT_VOLUME_SIZE);
    let old = volume_field("oldSelf", volume, "size", DEFAULT_VOLUME_SIZE);
    rule(
        format!(
            "!isQuantity({new}) || !isQuantity({old}) || \
             quantity({new}).compareTo(quantity({old})) >= 0"
        ),
        format!(
            "storage.{volume}.size cannot shrink: Kubernetes has no way to make a volume smaller. \
             Set it back, or to more (unset means {DEFAULT_VOLUME_SIZE})"
        ),
    )
}

pub(super) fn storage_class_stays(volume: &str) -> Rule {
    let new = volume_field("self", volume, "storageClassName", "");
    let old = volume_field("oldSelf", volume, "storageClassName", "");
    rule(
        format!("{new} == {old}"),
        format!(
            "storage.{volume}.storageClassName is immutable: a volume cannot change its class. Set it \
             back, or create a second cluster"
        ),
    )
}

pub(super) fn log_volume_stays() -> Rule {
    rule(
        "(has(self.storage) && has(self.storage.log)) == (has(oldSelf.storage) && has(oldSelf.storage.log))",
        "storage.log can be neither added nor removed on a living ensemble: its transaction log would \
         be left behind on the other volume. Set it back, or create a second cluster",
    )
}

pub(super) fn size_is_a_quantity() -> Rule {
    rule(
        "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        "write the size as a Kubernetes quantity above zero, such as 10Gi",
    )
}

/// Every listed key in the spellings people use by mistake.
///
/// The API server bounds what a rule may cost before it ever runs one, and a
/// map's key has no bound: lower-casing any key is too expensive in its eyes,
/// while comparing it with a literal is cheap. Other spellings are left to `valid.rs`.
fn misspellings<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut forms = Vec::new();
    for key in keys {
        let (first, rest) = key.split_at(1);
        for form in [
            key.to_ascii_lowercase(),
            key.to_ascii_uppercase(),
            format!("{}{rest}", first.to_ascii_uppercase()),
        ] {
            if form != key && !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

fn none_of(keys: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let keys: Vec<String> = keys
        .into_iter()
        .map(|key| format!("'{}'", key.as_ref()))
        .collect();
    format!("self.all(key, !(key in [{}]))", keys.join(", "))
}

pub(super) fn no_reserved_key() -> Rule {
    let forms = misspellings(RESERVED_KEYS);
    rule(
        none_of(
            RESERVED_KEYS
                .iter()
                .map(|key| (*key).to_owned())
                .chain(forms),
        ),
        "remove this key from config: the operator writes directories, ports, quorumListenOnAllIPs, \
         standaloneEnabled, reconfigEnabled, dynamicConfigFile, db.autocreate, the AdminServer and the \
         metrics provider itself, and from auth the superuser, the users and whether a login is required",
    )
}

pub(super) fn no_member_line() -> Rule {
    let prefixes = RESERVED_PREFIXES
        .map(|prefix| format!("key.startsWith('{prefix}')"))
        .join(" || ");
    rule(
        format!("self.all(key, !({prefixes}))"),
        "remove server.N, group.N and weight.N from config: the operator writes the members itself, \
         from replicas",
    )
}

pub(super) fn no_property_prefix() -> Rule {
    rule(
        "self.all(key, !key.startsWith('zookeeper.'))",
        "write the key without 'zookeeper.': in zoo.cfg it is the bare name (snapCount, not \
         zookeeper.snapCount), and the same key by two spellings would leave open which one counts",
    )
}

pub(super) fn no_misspelt_key() -> Rule {
    rule(
        none_of(misspellings(KNOWN_KEYS)),
        "zoo.cfg keys are case-sensitive: write tickTime, not ticktime. A second spelling would be \
         another key, and the same setting by two spellings leaves open which one counts",
    )
}

pub(super) fn values_are_lines() -> Rule {
    rule(
        "self.all(key, type(self[key]) == int || !self[key].matches(r'[\\n\\r\\\\]'))",
        "a zoo.cfg value is one line without a backslash",
    )
}

/// A key whose value is a whole number within bounds, where it is set.
pub(super) fn number_within(key: &str, min: u32, max: u32, why: &str) -> Rule {
    let value = format!("self['{key}']");
    rule(
        format!(
            "!('{key}' in self) || (type({value}) == int ? ({value} >= {min} && {value} <= {max}) : \
             ({value}.matches('^[0-9]{{1,9}}$') && int({value}) >= {min} && int({value}) <= {max}))"
        ),
        format!("config.{key} must be a whole number from {min} to {max}: {why}"),
    )
}
