//! What the operating system knows of processes: CPU time, instructions, memory, cores.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
pub(crate) use linux::{Meter, cores, end_with_parent, keep_to, memory, raise_file_limit};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{Meter, cores, end_with_parent, keep_to, memory, raise_file_limit};

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// CPU time of all its threads, in the kernel and outside.
    pub(crate) cpu: Duration,
    /// Instructions outside of the kernel, of the threads there were when counting began and of those they started; `None`
    /// where they cannot be counted.
    pub(crate) instructions: Option<u64>,
}

impl Usage {
    /// Returns what was used since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let instructions = self.instructions.zip(earlier.instructions);
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            instructions: instructions.map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// What a process holds in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// All that is resident.
    pub(crate) resident: u64,
    /// That part of it which no file backs: heap and stacks.
    pub(crate) anonymous: u64,
}
