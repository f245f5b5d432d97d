//! The file of the ledger: whole lines are added to it, by several processes, while another renames it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long the lock is kept while lines come one after another. To take it costs as much as to write a line.
const KEPT: Duration = Duration::from_millis(20);

/// A file that is open, and the device and number by which a path names it.
struct Open {
    file: File,
    identity: (u64, u64),
    /// Since when there is a lock.
    locked: Option<Instant>,
}

/// The file, which is opened again where another one has its path, or none.
pub struct LedgerFile {
    path: PathBuf,
    open: Option<Open>,
    /// The file ends with a part of a line.
    torn: bool,
}

impl LedgerFile {
    /// The file at a path; it is opened when there is something to write.
    pub fn at(path: PathBuf) -> LedgerFile {
        LedgerFile { path, open: None, torn: false }
    }

    /// Add whole lines, and remove from `lines` those that are in the file; return their number.
    ///
    /// After an error, the rest is to be tried again.
    pub fn append(&mut self, lines: &mut Vec<u8>) -> io::Result<u64> {
        let mut written = 0;
        while !lines.is_empty() {
            let torn = self.torn;
            let mut file = self.lock()?;
            // A part of a line stays, as one damaged line; the whole line follows.
            let result = if torn { file.write_all(b"\n") } else { Ok(()) }.and_then(|()| file.write(lines));
            if result.is_err() {
                self.release();
            }
            let count = result?;
            let whole = whole_lines(&lines[..count]);
            self.torn = whole < count;
            written += memchr::memchr_iter(b'\n', &lines[..whole]).count() as u64;
            lines.drain(..whole);
            if count == 0 {
                self.release();
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        if self.open.as_ref().and_then(|open| open.locked).is_some_and(|since| since.elapsed() >= KEPT) {
            self.release();
        }
        Ok(written)
    }

    /// Give the lock back: no line comes soon.
    pub fn release(&mut self) {
        if let Some(open) = &mut self.open
            && open.locked.take().is_some()
            && open.file.unlock().is_err()
        {
            self.open = None; // with the file, its lock is gone
        }
    }

    /// The file that has the path now, with a lock.
    ///
    /// Whoever has renamed the file takes the other lock once. Then he knows that no line is on its way to it.
    fn lock(&mut self) -> io::Result<&File> {
        loop {
            let mut open = match self.open.take() {
                Some(open) if open.locked.is_some() => return Ok(&self.open.insert(open).file),
                Some(open) => open,
                None => self.open()?,
            };
            open.file.lock_shared()?;
            open.locked = Some(Instant::now());
            let named = self.path.metadata().is_ok_and(|named| (named.dev(), named.ino()) == open.identity);
            if named {
                return Ok(&self.open.insert(open).file);
            }
        }
    }

    fn open(&mut self) -> io::Result<Open> {
        self.torn = false;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let about = file.metadata()?;
        Ok(Open { file, identity: (about.dev(), about.ino()), locked: None })
    }
}

/// How many bytes of what was written are whole lines.
fn whole_lines(written: &[u8]) -> usize {
    memchr::memrchr(b'\n', written).map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::{KEPT, LedgerFile, whole_lines};
    use std::path::PathBuf;
    use std::{fs, thread};

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("gate-file-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn lines_go_to_the_file_that_has_the_name() {
        let (here, mut file) = (folder("named"), LedgerFile::at(folder("named").join("l")));
        assert_eq!(file.append(&mut b"one\ntwo\n".to_vec()).unwrap(), 2);
        file.release();
        fs::rename(here.join("l"), here.join("old")).unwrap();
        fs::write(here.join("l"), "new\n").unwrap();
        file.append(&mut b"three\n".to_vec()).unwrap();
        file.release();
        fs::remove_file(here.join("l")).unwrap();
        file.append(&mut b"four\n".to_vec()).unwrap();
        assert_eq!(fs::read_to_string(here.join("old")).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(here.join("l")).unwrap(), "four\n");
        fs::remove_dir_all(here).unwrap();
    }

    #[test]
    fn whoever_has_renamed_the_file_waits_for_its_last_line() {
        let (here, mut file) = (folder("renamed"), LedgerFile::at(folder("renamed").join("l")));
        file.append(&mut b"one\n".to_vec()).unwrap();
        fs::rename(here.join("l"), here.join("old")).unwrap();
        let old = fs::File::open(here.join("old")).unwrap();
        assert!(old.try_lock().is_err(), "a line may be on its way");
        file.append(&mut b"two\n".to_vec()).unwrap();
        thread::sleep(KEPT);
        file.append(&mut b"three\n".to_vec()).unwrap();
        assert!(old.try_lock().is_ok());
        old.unlock().unwrap();
        file.append(&mut b"four\n".to_vec()).unwrap();
        assert_eq!(fs::read_to_string(here.join("old")).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(fs::read_to_string(here.join("l")).unwrap(), "four\n");
        fs::remove_dir_all(here).unwrap();
    }

    #[test]
    fn a_write_that_failed_keeps_the_lines() {
        let here = folder("failed");
        let mut file = LedgerFile::at(here.join("gone").join("l"));
        let mut lines = b"one\n".to_vec();
        assert!(file.append(&mut lines).is_err());
        assert_eq!(lines, b"one\n");
        fs::create_dir(here.join("gone")).unwrap();
        assert_eq!(file.append(&mut lines).unwrap(), 1);
        assert!(lines.is_empty());
        fs::remove_dir_all(here).unwrap();
    }

    #[test]
    fn only_whole_lines_are_done() {
        for (written, bytes) in [("", 0), ("a", 0), ("a\n", 2), ("a\nb", 2), ("a\nb\n", 4)] {
            assert_eq!(whole_lines(written.as_bytes()), bytes);
        }
    }

    #[test]
    fn a_part_of_a_line_is_ended_before_the_whole_one() {
        let here = folder("torn");
        let mut file = LedgerFile::at(here.join("l"));
        file.append(&mut b"one\n".to_vec()).unwrap();
        fs::write(here.join("l"), "one\ntw").unwrap();
        file.torn = true;
        file.append(&mut b"two\n".to_vec()).unwrap();
        assert_eq!(fs::read_to_string(here.join("l")).unwrap(), "one\ntw\ntwo\n");
        fs::remove_dir_all(here).unwrap();
    }
}
