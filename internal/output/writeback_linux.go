package output

import (
	"os"
	"sync/atomic"
	"syscall"
)

// writebackStep is after how many bytes a file's pages are sent on to the disk.
const writebackStep = 32 << 20

// writeback writes a file and has the kernel send what was written on to the disk meanwhile. Left alone, it
// would begin with gigabytes of a file only when fsync is called, and the end of an export would wait for them all:
// a second for two million invoices. It is a hint, and errors are fsync's to report.
type writeback struct {
	*os.File
	written, sent int64
	sending       atomic.Bool
}

func (w *writeback) Write(b []byte) (int, error) {
	n, err := w.File.Write(b)
	w.written += int64(n)
	if w.written-w.sent >= writebackStep && w.sending.CompareAndSwap(false, true) {
		from, length := w.sent, w.written-w.sent
		w.sent = w.written
		go func() { // it may wait for the disk
			defer w.sending.Store(false)
			const begin = 2 // SYNC_FILE_RANGE_WRITE
			if c, err := w.SyscallConn(); err == nil {
				_ = c.Control(func(fd uintptr) { _ = syscall.SyncFileRange(int(fd), from, length, begin) })
			}
		}()
	}
	return n, err
}

// hastened returns the writer of a file that is to be on the disk in the end.
func withWriteback(f *os.File) *writeback { return &writeback{File: f} }
