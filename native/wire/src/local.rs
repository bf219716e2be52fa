//! Unix sockets between a worker and the gateway of its own node: one user, no one else.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::{Kind, Result, WireError};

/// A listening Unix socket; its file goes when it is dropped.
pub struct Local {
    /// The listener, until a task takes it.
    pub listener: Option<UnixListener>,
    path: PathBuf,
}

impl Local {
    /// Listens on `path`, for this user alone. What a dead process left there is replaced.
    pub fn bind(path: &str) -> Result<Self> {
        let refuse = |error: io::Error| {
            WireError::new(Kind::Listen).because(format!("Unix socket: {}", error.kind()))
        };
        let path = PathBuf::from(path);
        clear(&path).map_err(refuse)?;
        let listener = UnixListener::bind(&path).map_err(refuse)?;
        // Whoever came in between is refused by its user.
        let only_us = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, only_us).map_err(refuse)?;
        listener.set_nonblocking(true).map_err(refuse)?;
        Ok(Local {
            listener: Some(listener),
            path,
        })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn clear(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() || UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    fs::remove_file(path)
}

/// Returns whether the process at the other end belongs to this process's user.
pub fn is_ours(stream: &tokio::net::UnixStream) -> bool {
    let own = || tokio::net::UnixStream::pair()?.0.peer_cred();
    match (stream.peer_cred(), own()) {
        (Ok(theirs), Ok(ours)) => theirs.uid() == ours.uid(),
        _ => false,
    }
}

/// Compares two secrets in a time that does not depend on where they differ.
pub fn is_same(left: &[u8], right: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    left.ct_eq(right).into()
}
