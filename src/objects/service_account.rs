//! The ServiceAccount of the members: an identity without rights or token.

use super::{Kind, metadata};
use crate::valid::ValidCluster;
use k8s_openapi::api::core::v1::ServiceAccount;

pub(super) fn service_account(cluster: &ValidCluster) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(cluster, Kind::ServiceAccount),
        automount_service_account_token: Some(false),
        ..Default::default()
    }
}
