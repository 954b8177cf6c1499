//! The configuration of one server: zoo.cfg as Java reads it, its dynamic part, `myid` and `-D`
//! pairs, parsed once into typed, checked values. Sources: `QuorumPeerConfig.java`, and for keys
//! that Java reads as system properties, the class named at the field.

mod build;
mod dynamic;
mod error;
mod foreign;
mod sections;
mod security;
mod settings;
mod source;
mod tls;

pub use crate::ensemble::{Ensemble, HostPort, Member, PeerAddress, Role};
pub use crate::properties::{Property, parse as parse_properties};
pub use build::{IdNeed, read_config};
pub use error::ConfigError;
pub use settings::{
    AdminConfig, AuthConfig, ClientConfig, Compression, ContainerConfig, DynamicConfig,
    MetricsConfig, PurgeConfig, QuorumConfig, ServerConfig, StorageConfig, TlsConfig,
};
pub use tls::{ClientAuth, StoreFile, StoreKind, TlsSide};

#[cfg(test)]
mod tests;
