//! Lines wait here for a thread that writes them, so that no worker waits for a disk.

use crate::ledger_file::LedgerFile;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that come within this time are written together.
const GATHER: Duration = Duration::from_micros(800);
/// After so many times without a line, the thread sleeps until there is one. To wake it costs a worker more than to
/// add a line, but to look once for nothing costs as much as half a request.
const IDLE_MAX: u32 = 2;
/// After a write that failed, the next one is tried after this time.
const AGAIN: Duration = Duration::from_millis(100);
/// How long the end of a configuration waits for its lines.
const PATIENCE: Duration = Duration::from_millis(200);
/// More bytes do not wait: the lines that follow are lost, and counted.
const WAITING_MAX: usize = 8 * 1024 * 1024;

static LEDGERS: Mutex<Option<HashMap<PathBuf, Arc<Ledger>>>> = Mutex::new(None);

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The thread has taken lines that are not in the file yet.
    writing: bool,
    /// The thread does not look for lines until it is woken.
    asleep: bool,
    /// How many wait until no line waits.
    settling: u32,
}

/// One file, and the lines that are not in it yet.
#[derive(Default)]
pub struct Ledger {
    waiting: Mutex<Waiting>,
    some: Condvar,
    none: Condvar,
    written: AtomicU64,
    lost: AtomicU64,
    /// The last write failed, and is tried again.
    failing: AtomicBool,
}

impl Ledger {
    /// The ledger of a path. There is one for each, whichever configuration asks for it.
    pub fn of(path: &Path) -> Arc<Ledger> {
        let mut all = LEDGERS.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get_or_insert_default().entry(path.to_owned());
        Arc::clone(found.or_insert_with(|| {
            let ledger = Arc::<Ledger>::default();
            let (writer, file) = (Arc::clone(&ledger), LedgerFile::at(path.to_owned()));
            let made = thread::Builder::new().name("bateau-ledger".into()).spawn(move || writer.write_all(file));
            if let Err(error) = made {
                crate::envoy::log(crate::abi::LOG_ERROR, &format!("bateau_gate: no ledger is written: {error}"));
            }
            ledger
        }))
    }

    /// Have a line written; it ends with a line feed.
    pub fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.lines.len() + line.len() > WAITING_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.lines.extend_from_slice(line);
        let asleep = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.some.notify_one();
        }
    }

    /// Wait a moment until no line waits.
    pub fn settle(&self) {
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let mut waiting = self.waiting();
        waiting.settling += 1;
        drop(self.none.wait_timeout_while(waiting, PATIENCE, busy));
        self.waiting().settling -= 1;
    }

    /// Whether lines cannot be written at the moment, as on a full disk.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// How many lines were written and lost since this was asked last.
    pub fn new_lines(&self) -> (u64, u64) {
        (take(&self.written), take(&self.lost))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does.
    fn write_all(&self, mut file: LedgerFile) {
        let (mut lines, mut idle) = (Vec::new(), IDLE_MAX);
        loop {
            if idle >= IDLE_MAX {
                let mut waiting = self.waiting();
                waiting.asleep = waiting.lines.is_empty();
                drop(self.some.wait_while(waiting, |waiting| waiting.asleep));
            }
            thread::sleep(GATHER);
            {
                let mut waiting = self.waiting();
                std::mem::swap(&mut waiting.lines, &mut lines);
                waiting.writing = !lines.is_empty();
            }
            idle = if lines.is_empty() { idle + 1 } else { 0 };
            if idle == 0 {
                self.write(&mut file, &mut lines);
                let mut waiting = self.waiting();
                waiting.writing = false;
                let settling = waiting.settling > 0;
                drop(waiting);
                if settling {
                    self.none.notify_all();
                }
            } else {
                file.release();
            }
        }
    }

    /// Write lines, however often that fails.
    fn write(&self, file: &mut LedgerFile, lines: &mut Vec<u8>) {
        let mut told = false;
        loop {
            let result = file.append(lines);
            self.failing.store(result.is_err(), Ordering::Relaxed);
            match result {
                Ok(count) => {
                    self.written.fetch_add(count, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        let says = format!("bateau_gate: the ledger is not written at the moment: {error}");
                        crate::envoy::log(crate::abi::LOG_ERROR, &says);
                    }
                    thread::sleep(AGAIN);
                }
            }
        }
    }
}

fn take(count: &AtomicU64) -> u64 {
    if count.load(Ordering::Relaxed) == 0 { 0 } else { count.swap(0, Ordering::Relaxed) }
}
