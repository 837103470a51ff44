//! Writes of identities by evaluation.

use burgee_core::Result;
use burgee_core::store::{IdentityWrite, StoredIdentity};

use super::sql::Backend;

impl Backend {
    pub(crate) async fn identify(
        &self,
        writes: &[IdentityWrite],
        batch: u64,
    ) -> Result<Vec<Result<StoredIdentity>>> {
        self.identify_in_order(writes, batch).await
    }
}
