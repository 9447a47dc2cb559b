//! The thread that writes log lines to standard error, and the bounded queue in front of it.
//!
//! Standard error may be a pipe whose reader is alive but does not read: a terminal after Ctrl-S, `| less`, a log
//! driver that hangs. Writes then block until it reads again, so only this thread writes there. Lines that find the
//! queue full are dropped and counted. The crate `tracing-appender` has such a queue, but limits only the number of
//! lines and does not report dropped lines.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

/// Maximum number of lines in the queue.
const MAX_LINES: usize = 8_192;
/// Maximum number of bytes in the queue.
const MAX_BYTES: usize = 1024 * 1024;
/// Time between attempts to add a flush request to a full queue.
const FLUSH_RETRY: Duration = Duration::from_millis(5);

/// A handle to the queue. All clones feed the same thread. Writing to it never blocks.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<QueueEntry>,
    load: Arc<Load>,
}

/// The bytes in the queue, and the lines that were dropped and not reported yet.
#[derive(Default)]
struct Load {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

enum QueueEntry {
    /// A line, and the number of lines that were dropped just before it.
    Line { line: Vec<u8>, dropped_before: u64 },
    /// A request that is answered when all earlier lines are written.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Starts the thread. `notice` formats the line that reports a number of dropped lines.
    ///
    /// # Errors
    /// Fails if the system cannot start another thread.
    pub fn start(
        out: impl Write + AsFd + Send + 'static,
        notice: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, entries) = sync_channel(MAX_LINES);
        let load = Arc::new(Load::default());
        let writer = LineWriter { out, notice, load: Arc::clone(&load) };
        thread::Builder::new().name("log".into()).spawn(move || writer.run(&entries))?;
        Ok(Self { queue, load })
    }

    /// Adds a line to the queue. If the queue is full, the line is dropped and counted.
    pub fn push(&self, line: Vec<u8>) {
        let dropped_before = self.load.dropped.swap(0, Ordering::Relaxed);
        let length = line.len();
        let waiting = self.load.bytes.fetch_add(length, Ordering::Relaxed);
        let has_room = waiting + length <= MAX_BYTES;
        if has_room && self.queue.try_send(QueueEntry::Line { line, dropped_before }).is_ok() {
            return;
        }
        self.load.bytes.fetch_sub(length, Ordering::Relaxed);
        self.load.dropped.fetch_add(dropped_before + 1, Ordering::Relaxed);
    }

    /// Waits until all lines that are in the queue now are written, for at most `patience`.
    pub fn flush_within(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (done, written) = sync_channel(1);
        let mut flush = QueueEntry::Flush(done);
        while let Err(refused) = self.queue.try_send(flush) {
            let TrySendError::Full(again) = refused else { return };
            if Instant::now() >= deadline {
                return;
            }
            flush = again;
            thread::sleep(FLUSH_RETRY);
        }
        // An error means that the time is up or the thread has ended. Nothing more can be done about the lines.
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// `tracing_subscriber` passes one whole line in each call.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct LineWriter<W, N> {
    out: W,
    notice: N,
    load: Arc<Load>,
}

impl<W: Write + AsFd, N: Fn(u64) -> String> LineWriter<W, N> {
    fn run(mut self, entries: &Receiver<QueueEntry>) {
        loop {
            let entry = match entries.try_recv() {
                Ok(entry) => entry,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    self.report_dropped();
                    let Ok(entry) = entries.recv() else { return };
                    entry
                }
            };
            match entry {
                QueueEntry::Line { line, dropped_before } => {
                    self.report(dropped_before);
                    self.write(&line);
                    self.load.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                }
                QueueEntry::Flush(done) => {
                    self.report_dropped();
                    // An error means that the caller of `flush_within` has stopped waiting.
                    let _ = done.send(());
                }
            }
        }
    }

    fn report_dropped(&mut self) {
        let dropped = self.load.dropped.swap(0, Ordering::Relaxed);
        self.report(dropped);
    }

    fn report(&mut self, dropped: u64) {
        if dropped > 0 {
            let notice = (self.notice)(dropped);
            self.write(notice.as_bytes());
        }
    }

    /// Writes a whole line. A line that cannot be written is lost, for example because of a full disk or a pipe without
    /// a reader.
    fn write(&mut self, mut line: &[u8]) {
        while !line.is_empty() {
            match self.out.write(line) {
                Ok(0) => return,
                Ok(written) => line = &line[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process that shares the pipe may have made it non-blocking. Wait until it can be written.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut writable = [PollFd::new(&self.out, PollFlags::OUT)];
                    if poll(&mut writable, None).is_err_and(|error| error != rustix::io::Errno::INTR) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn start() -> (PipeReader, Lines) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (reader, started(writer))
    }

    fn started(out: PipeWriter) -> Lines {
        Lines::start(out, |dropped| format!("{dropped} dropped\n")).expect("a thread")
    }

    /// All lines until the pipe is closed. `lines` must be the only handle to the queue.
    fn read_all(reader: PipeReader, lines: Lines) -> Vec<String> {
        drop(lines);
        BufReader::new(reader).lines().map(|line| line.expect("text")).collect()
    }

    #[test]
    fn lines_come_in_order_and_a_flush_waits_for_them() {
        let (reader, lines) = start();
        for n in 0..100 {
            lines.push(format!("{n}\n").into_bytes());
        }
        lines.flush_within(PATIENCE);
        assert_eq!(lines.load.bytes.load(Ordering::Relaxed), 0);
        let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(read_all(reader, lines), expected);
    }

    #[test]
    fn lines_that_find_no_room_are_dropped_and_counted_in_place() {
        let (reader, lines) = start();
        let line = |n: usize| format!("{n:0>1023}\n").into_bytes();
        // A pipe holds 64 KiB and the queue 1 MiB, so most of these 3 MiB are dropped. No call blocks.
        for n in 0..3_000 {
            lines.push(line(n));
        }
        lines.flush_within(Duration::from_millis(1));
        let (notify, notified) = sync_channel(1);
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            for read in BufReader::new(reader).lines() {
                let read = read.expect("text");
                if read.ends_with("dropped") {
                    let _ = notify.try_send(());
                }
                all.push(read);
            }
            all
        });
        notified.recv_timeout(PATIENCE).expect("the notice is written without a further line");
        lines.push(line(3_000));
        drop(lines);
        let all = reading.join().expect("lines");
        let is_notice = |line: &&String| line.ends_with("dropped");
        let notices: Vec<&String> = all.iter().filter(is_notice).collect();
        let dropped: usize =
            notices.iter().map(|line| line.split(' ').next().expect("a number").parse::<usize>().expect("one")).sum();
        let shown = all.len() - notices.len();
        assert_eq!(shown + dropped, 3_001, "{notices:?}");
        assert!(shown > 1_000 && dropped > 1_000, "{shown} {dropped}");
        assert_eq!(all[..500].iter().filter(is_notice).count(), 0, "the lines that were kept come first");
        assert!(all.last().expect("a line").ends_with("3000"));
    }

    #[test]
    fn many_short_lines_are_bounded_too() {
        let (reader, lines) = start();
        for _ in 0..100_000 {
            lines.push(b"short line\n".to_vec());
        }
        assert!(lines.load.bytes.load(Ordering::Relaxed) <= (MAX_LINES + 1) * b"short line\n".len());
        assert!(lines.load.dropped.load(Ordering::Relaxed) > 0);
        drop(reader);
    }

    #[test]
    fn a_flush_ends_in_time_when_nothing_reads_or_the_reader_has_left() {
        let (reader, lines) = start();
        lines.push(vec![b'x'; 512 * 1024]);
        let began = Instant::now();
        lines.flush_within(Duration::from_millis(50));
        assert!(began.elapsed() < PATIENCE);
        drop(reader);
        lines.flush_within(PATIENCE);
        assert!(began.elapsed() < PATIENCE, "the write ends with an error");
    }

    #[test]
    fn a_non_blocking_pipe_gets_whole_lines() {
        let (reader, writer) = io::pipe().expect("a pipe");
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).expect("a flag");
        let lines = started(writer);
        let sent: Vec<String> = (0..200).map(|n| format!("{n:0>2000}")).collect();
        for line in &sent {
            lines.push(format!("{line}\n").into_bytes());
        }
        assert_eq!(read_all(reader, lines), sent);
    }
}
